"""Finds the roles this station can run, each by itself, so that a broken one hurts no other.

Role files lie in `fleet/roles/`, in the directory the settings name, or come as entry points of
the group `fleet.roles` (each naming a module that registers its factories when imported).
"""

import importlib
import importlib.metadata
import importlib.util
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import frozen

import fleet.role
import fleet.roles
from fleet.agent.config.declared import describe, reason
from fleet.model import Factory
from fleet.role import RoleFactory

log = logging.getLogger(__name__)

_GROUP: Final = "fleet.roles"


@frozen
class Catalogue:
    """What this station can run, and what it has but cannot, with the reason.

    A role in `broken` may also be in `factories`: then a second provider of it was refused.
    """

    factories: Mapping[str, RoleFactory[Any]]
    described: Mapping[str, Factory]
    """What the registration says of each of `factories`."""
    broken: Mapping[str, str]
    blocked: frozenset[str] = frozenset()
    unequipped: Mapping[str, RoleFactory[Any]] = {}
    """Those in `broken` only because their programs are not installed, or not at the moment."""


def load(roles_dir: Path | None) -> Mapping[str, str]:
    """Import every role; those that work are then in `fleet.role.factories`.

    The result names the files and entry points that do not, with the reason.
    """
    broken: dict[str, str] = {}
    for name, provide in _providers(roles_dir):
        before = dict(fleet.role.factories)
        try:
            provide()
        except (Exception, SystemExit) as error:
            fleet.role.factories.clear()
            fleet.role.factories.update(before)
            broken[name] = reason(error)
            log.error("the role file %s is not used: %s", name, broken[name])
            log.debug("it failed here", exc_info=error)
    return broken


def offer(broken: Mapping[str, str], blocked: frozenset[str] = frozenset()) -> Catalogue:
    """The catalogue as of now: a role whose programs are not installed is withheld."""
    broken = dict(broken)
    factories: dict[str, RoleFactory[Any]] = {}
    unequipped: dict[str, RoleFactory[Any]] = {}
    described: dict[str, Factory] = {}
    for name, factory in sorted(fleet.role.factories.items()):
        try:
            found = describe(factory)
            missing = missing_tools(factory)
        except Exception as error:
            broken[name] = reason(error)
            continue
        if missing:
            broken[name], unequipped[name] = missing, factory
        else:
            factories[name], described[name] = factory, found
    return Catalogue(factories, described, broken, blocked, unequipped)


def missing_tools(factory: RoleFactory[Any]) -> str | None:
    """Which of its programs are not installed, and how to install them; None: all are there."""
    missing = {tool: package for tool, package in factory.tools.items() if not shutil.which(tool)}
    if not missing:
        return None
    verb = "is" if len(missing) == 1 else "are"
    packages = " ".join(sorted(set(missing.values())))
    return f"{', '.join(sorted(missing))} {verb} not installed: apt install {packages}"


def _providers(roles_dir: Path | None) -> Iterator[tuple[str, Callable[[], object]]]:
    """Name and import of every place a role can come from, our own first."""
    own = Path(fleet.roles.__file__).parent
    for file in _files(own):
        yield file.stem, partial(importlib.import_module, f"fleet.roles.{file.stem}")
    if roles_dir is not None:
        if not roles_dir.is_dir():
            log.error("roles_dir %s is not a directory: no role is loaded from it", roles_dir)
        for file in _files(roles_dir):
            yield file.stem, partial(_import_file, file)
    for entry in sorted(importlib.metadata.entry_points(group=_GROUP), key=lambda e: e.name):
        yield entry.name, entry.load


def _files(directory: Path) -> list[Path]:
    return sorted(file for file in directory.glob("*.py") if not file.name.startswith(("_", ".")))


def _import_file(file: Path) -> None:
    name = f"roles_dir.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations in it are looked up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
