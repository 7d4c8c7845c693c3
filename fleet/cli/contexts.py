"""The operator's file, `~/.config/fleet/config.toml`: several brokers, each by a name."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from fleet.settings import BadSettings, load
from fleet.strict import close_match

_FILE: Final = "fleet/config.toml"


@frozen
class Context:
    """How to reach one fleet; what is None is as without a file.

    Paths may begin with `~`; others are beside the file.
    """

    broker: str | None = None
    username: str | None = None
    password_file: str | None = None
    prefix: str | None = None
    ca_file: str | None = None


@frozen
class ClientFile:
    """The keys of the file. `context`: the one that is used where none is named."""

    context: str | None = None
    contexts: Mapping[str, Context] = field(factory=dict)


def path() -> Path:
    """Where the file is, if there is one."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join("~", ".config")  # noqa: PTH118
    return Path(base).expanduser() / _FILE


def read() -> ClientFile:
    """The file; an empty one where there is none.

    Raises:
        BadSettings: it cannot be used.
    """
    try:
        file = path()
        there = file.exists()
    except RuntimeError:  # nobody knows our home
        return ClientFile()
    except PermissionError:
        there = True  # and reading it will say so
    return load(file, ClientFile) if there else ClientFile()


def chosen(name: str | None) -> Context:
    """The context of this name, else the file's own choice, else one that says nothing.

    Raises:
        BadSettings: the file cannot be used, or has no context of that name.
    """
    file = read()
    wanted = name or file.context
    if wanted is None:
        return Context()
    if wanted not in file.contexts:
        there = ", ".join(file.contexts) or "none"
        hint = close_match(wanted, list(file.contexts)) or f" (there are: {there})"
        raise BadSettings(f"{path()} has no context {wanted!r}{hint}")
    found = file.contexts[wanted]
    return Context(
        found.broker,
        found.username,
        _beside(found.password_file),
        found.prefix,
        _beside(found.ca_file),
    )


def _beside(file: str | None) -> str | None:
    try:
        return str(path().parent / Path(file).expanduser()) if file else None
    except RuntimeError as error:
        raise BadSettings(f"{path()}: {file!r} is nowhere: {error}") from None
