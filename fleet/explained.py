"""What a role takes, from its schema, as lines that people can read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fleet.model import CommandSchema, Factory, JsonSchema, counted


def explained(name: str, factory: Factory, more: str = "") -> Iterator[str]:
    """A role with its limit, settings and commands; `more` follows its limit."""
    yield f"{name} ({limit(factory)}{more})"
    yield from table(rows(factory.settings, "  "))
    for command, schema in factory.commands.items():
        yield from command_explained(f"  command {command}", schema)


def command_explained(name: str, schema: CommandSchema) -> Iterator[str]:
    """A command, and beneath it what it takes."""
    yield f"{name}  {schema.arguments.get('description', '')}".rstrip()
    indent = " " * (len(name) - len(name.lstrip()) + 2)
    yield from table(rows(schema.arguments, indent))


def limit(factory: Factory) -> str:
    """How many instances a station may have."""
    most = factory.instances
    return f"at most {counted(most, 'instance')}" if most else "any number of instances"


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns aligned; the last is as long as it likes."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def rows(schema: JsonSchema, indent: str = "") -> list[tuple[str, str, str, str]]:
    """Name, type with bounds, default and meaning of each setting, in the schema's order."""
    found: list[tuple[str, str, str, str]] = []
    for name, setting in schema.get("properties", {}).items():
        default = "required" if name in schema.get("required", ()) else ""
        if "default" in setting and "properties" not in setting:
            default = json.dumps(setting["default"], ensure_ascii=False)
        about = " ".join(filter(None, (setting.get("description"), _unit(setting))))
        found.append((indent + name, kind(setting), default, about))
        if "properties" in setting:
            found.extend(rows(setting, indent + "  "))
        arms = [
            arm
            for several in ("oneOf", "anyOf")
            for arm in setting.get(several, ())
            if "properties" in arm
        ]
        for arm in arms:
            if len(arms) == 1 and _untagged(arm) == arm["properties"]:
                found.extend(rows(arm, indent + "  "))
            else:
                found.append((f"{indent}  {_tag(arm)}", "", "", ""))
                inner = {**arm, "properties": _untagged(arm)}
                found.extend(rows(inner, indent + "    "))
    return found


def kind(setting: Mapping[str, Any]) -> str:
    """A setting's type and range in a few words: `integer 1 to 86400`."""
    for several in ("oneOf", "anyOf"):
        if several in setting:
            return " or ".join(dict.fromkeys(kind(arm) for arm in setting[several]))
    if "enum" in setting:
        return "one of " + ", ".join(map(str, setting["enum"]))
    if "const" in setting:
        return str(setting["const"])
    text = {"object": "table", "array": "list"}.get(setting.get("type", ""), setting.get("type"))
    text = text or "anything"
    low, high = setting.get("minimum"), setting.get("maximum")
    above, below = setting.get("exclusiveMinimum"), setting.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{text} {low} to {high}"
    bounds = (("from", low), ("above", above), ("to", high), ("below", below))
    return " ".join([text, *(f"{word} {bound}" for word, bound in bounds if bound is not None)])


def _unit(setting: Mapping[str, Any]) -> str:
    return f"[{setting['unit']}]" if "unit" in setting else ""


def _tag(arm: JsonSchema) -> str:
    tag = arm["properties"].get("type", {}).get("const")
    return f'type = "{tag}"' if tag is not None else "without a type"


def _untagged(arm: JsonSchema) -> Mapping[str, Any]:
    return {name: one for name, one in arm["properties"].items() if "const" not in one}
