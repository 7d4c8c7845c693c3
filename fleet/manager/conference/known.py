"""The roles that come with fleet: what a station of this release says of a config is known here."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

import fleet.role
import fleet.roles
from fleet.model import JsonSchema
from fleet.role import RoleFactory
from fleet.schema import json_schema


@cache
def factories() -> Mapping[str, RoleFactory[Any]]:
    """Those of `fleet.roles`, by the role's name."""
    files = [one.name for one in pkgutil.iter_modules(fleet.roles.__path__, "fleet.roles.")]
    for file in files:
        importlib.import_module(file)
    return {
        name: factory
        for name, factory in fleet.role.factories.items()
        if type(factory).__module__ in files
    }


@cache
def schema(role: str) -> JsonSchema | None:
    """What they say of their settings, None for a role that is not known here."""
    factory = factories().get(role)
    return json_schema(factory.settings) if factory else None
