"""What `fleet-agent` shows to people: lines of text, aligned, that a pipe can carry too."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fleet.agent.config.catalogue import Catalogue
from fleet.agent.local.socket import LocalStatus
from fleet.model import JsonSchema, State, counted
from fleet.schema import kind

_WELL = (State.STARTING, State.RUNNING, State.COMPLETED)


def healthy(status: LocalStatus) -> bool:
    """Whether nobody needs to look at this station."""
    states = [one.state for named in status.roles.values() for one in named.values()]
    return status.connected and status.rejected is None and all(s in _WELL for s in states)


def status(status: LocalStatus) -> Iterator[str]:
    """The station, then its instances, those that need somebody first."""
    link = "connected to" if status.connected else "NOT connected to"
    yield f"station {status.station}, fleet-agent {status.agent}, {link} {status.broker}"
    if status.trouble:
        yield f"not connected: {status.trouble}"
    yield f"revision {status.revision} is in force"
    if status.rejected is not None:
        yield f"a later one was rejected: {status.rejected.type}: {status.rejected.message}"
    rows = [
        (
            f"{role}/{name}",
            one.state.value,
            f"{one.since.astimezone():%H:%M:%S %Z}",
            str(one.restarts),
            " ".join(filter(None, (one.reason, one.message))),
        )
        for role, named in status.roles.items()
        for name, one in named.items()
    ]
    rows.sort(key=lambda row: (row[1] in [state.value for state in _WELL], row))
    if rows:
        yield ""
        yield from table([("INSTANCE", "STATE", "SINCE", "RESTARTS", "REASON"), *rows])


def roles(catalogue: Catalogue) -> Iterator[str]:
    """Each role with its limit, settings and commands; then what is broken or blocked."""
    for name, factory in catalogue.described.items():
        most = factory.instances
        limit = f"at most {counted(most, 'instance')}" if most else "any number of instances"
        blocked = ", blocked by this station's settings" if name in catalogue.blocked else ""
        yield f"{name} ({limit}{blocked})"
        yield from table(_rows(factory.settings, "  "))
        for command, schema in factory.commands.items():
            about = schema.arguments.get("description", "")
            yield f"  command {command}  {about}".rstrip()
            yield from table(_rows(schema.arguments, "    "))
        yield ""
    for name, reason in catalogue.broken.items():
        yield f"{name} is broken: {reason}"
    for name in sorted(catalogue.blocked - catalogue.described.keys()):
        yield f"{name} is blocked by this station's settings"


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns aligned; the last is as long as it likes."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def _rows(schema: JsonSchema, indent: str) -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []
    for name, setting in schema["properties"].items():
        default = "required" if name in schema["required"] else ""
        if "default" in setting and "properties" not in setting:
            default = json.dumps(setting["default"], ensure_ascii=False)
        about = " ".join(filter(None, (setting.get("description"), _unit(setting))))
        rows.append((indent + name, kind(setting), default, about))
        if "properties" in setting:
            rows.extend(_rows(setting, indent + "  "))
        arms = [
            arm
            for several in ("oneOf", "anyOf")
            for arm in setting.get(several, ())
            if "properties" in arm
        ]
        for arm in arms:
            if len(arms) == 1 and _untagged(arm) == arm["properties"]:
                rows.extend(_rows(arm, indent + "  "))
            else:
                rows.append((f"{indent}  {_tag(arm)}", "", "", ""))
                inner = {**arm, "properties": _untagged(arm)}
                rows.extend(_rows(inner, indent + "    "))
    return rows


def _unit(setting: Mapping[str, Any]) -> str:
    return f"[{setting['unit']}]" if "unit" in setting else ""


def _tag(arm: JsonSchema) -> str:
    tag = arm["properties"].get("type", {}).get("const")
    return f'type = "{tag}"' if tag is not None else "without a type"


def _untagged(arm: JsonSchema) -> Mapping[str, Any]:
    return {name: one for name, one in arm["properties"].items() if "const" not in one}
