"""How much of anything travels, and the types of what does."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta

Settings = Mapping[str, Any]
"""The settings of one instance, as plain JSON values."""
Roles = Mapping[str, Mapping[str, Settings]]
"""role name -> instance name -> settings."""
JsonSchema = Mapping[str, Any]
MAX_PAYLOAD: Final = 256 * 1024
"""Bytes a payload may have, except for the manager's requests and replies."""
MAX_REQUEST: Final = 16 * 1024 * 1024
"""Bytes a manager's request or reply may have."""
MAX_CORRELATION: Final = 256
"""Bytes of correlation data: they are remembered, and sent back."""
MAX_REVISION: Final = 2**53 - 1
"""The highest revision: the largest integer every JSON reader holds exactly (RFC 7493)."""
Boot = Annotated[str, Meta(min_length=1, max_length=64)]
"""Random text made at each start of a program."""
Signature = Annotated[str, Meta(max_length=100)]
"""Of a config; nobody but the manager that issued it looks inside."""
MAX_SHORT: Final = 200
"""Characters of a short text."""
ShortText = Annotated[str, Meta(max_length=MAX_SHORT)]
Count = Annotated[int, Meta(ge=0, le=MAX_REVISION)]
"""How often, or how many."""
Revision = Annotated[int, Meta(ge=1, le=MAX_REVISION)]
RevisionOrNone = Annotated[int, Meta(ge=0, le=MAX_REVISION)]
"""0 stands for no revision at all."""
MAX_INSTANCES: Final = 1000
"""Instances a station can have: more do not fit into one status."""
MAX_FAMILIES: Final = 2000
MAX_SAMPLES: Final = 5000
"""Of one family."""
MAX_PROBLEMS: Final = 2000
MAX_SPANS: Final = 100
"""Stretches of one kind that are told of one segment."""
MAX_CALLS: Final = 32
"""Commands given directly that a station tells of: the last."""
MAX_STOPS: Final = 100
"""Instances of a station that can be stopped by hand at once."""
MAX_KEY_FRAMES: Final = 64
"""Groups of even key frames that are told of one segment."""
MAX_LISTED: Final = 1000
"""Addresses, devices, roles or problems that one message can list."""
MAX_SECRETS: Final = 200
"""Of a station."""
EXEC: Final = "exec"
"""The role that runs any program: a station blocks it unless its settings allow it."""
ALLOW_EXEC: Final = (
    "allow_exec = true in the station's /etc/fleet/agent.toml allows it, where blocked_roles does "
    "not name it; then restart the agent"
)
INTERVAL: Final = 10.0
"""Seconds between two heartbeats, unless the station says otherwise."""
MAX_INTERVAL: Final = 31 * 86400.0
SILENT_INTERVALS: Final = 3
"""Intervals an online station may stay unheard before it is `lost`."""
