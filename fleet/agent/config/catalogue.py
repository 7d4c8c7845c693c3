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


class RoleFiles:
    """Imports every role; those that work are then in `fleet.role.factories`."""

    def __init__(self, roles_dir: Path | None) -> None:
        self.broken: dict[str, str] = {}
        """The files and entry points that do not work, with the reason."""
        self._dir = roles_dir
        self._stamps: dict[Path, tuple[int, ...]] = {}
        """What each file of `roles_dir` was like when it was imported."""
        self._names: dict[Path, set[str]] = {}
        """The roles that each registered."""
        for name, provide in _installed():
            self._provide(name, provide)
        if roles_dir is not None and not roles_dir.is_dir():
            log.error("roles_dir %s is not a directory: no role is loaded from it", roles_dir)

    def look(self) -> None:
        """Import the files of `roles_dir` that are new or changed, and forget those that are gone.

        Of a changed file that does not work any more, what it registered before is kept. One that
        did not work is tried again: what it lacked may be there now.
        """
        files = {file: _stamp(file) for file in _files(self._dir)} if self._dir is not None else {}
        for file in self._stamps.keys() - files.keys():
            log.info("the role file %s is gone", file)
            self._forget(file)
        for file, stamp in files.items():
            if stamp == self._stamps.get(file) and file.stem not in self.broken:
                continue
            if file in self._stamps and stamp != self._stamps[file]:
                log.info("the role file %s has changed", file)
            self._stamps[file] = stamp
            before, names = dict(fleet.role.factories), self._names.get(file, set())
            for name in names:
                fleet.role.factories.pop(name, None)
            rest = set(fleet.role.factories)
            if self._provide(file.stem, partial(_import_file, file)):
                self._names[file] = fleet.role.factories.keys() - rest
            else:
                _put_back(before)

    def _forget(self, file: Path) -> None:
        del self._stamps[file]
        self.broken.pop(file.stem, None)
        for name in self._names.pop(file, set()):
            fleet.role.factories.pop(name, None)

    def _provide(self, name: str, provide: Callable[[], object]) -> bool:
        before = dict(fleet.role.factories)
        try:
            provide()
        except (Exception, SystemExit) as error:
            _put_back(before)
            why = reason(error)
            if self.broken.get(name) != why:
                log.error("the role file %s is not used: %s", name, why)
                log.debug("it failed here", exc_info=error)
            self.broken[name] = why
            return False
        self.broken.pop(name, None)
        return True


def _put_back(factories: Mapping[str, RoleFactory[Any]]) -> None:
    fleet.role.factories.clear()
    fleet.role.factories.update(factories)


def load(roles_dir: Path | None) -> Mapping[str, str]:
    """Import every role once; the files and entry points that do not work, with the reason."""
    files = RoleFiles(roles_dir)
    files.look()
    return files.broken


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


def _installed() -> Iterator[tuple[str, Callable[[], object]]]:
    """Name and import of every role that is installed, our own first."""
    own = Path(fleet.roles.__file__).parent
    for file in _files(own):
        yield file.stem, partial(importlib.import_module, f"fleet.roles.{file.stem}")
    for entry in sorted(importlib.metadata.entry_points(group=_GROUP), key=lambda e: e.name):
        yield entry.name, entry.load


def _files(directory: Path) -> list[Path]:
    return sorted(file for file in directory.glob("*.py") if not file.name.startswith(("_", ".")))


def _stamp(file: Path) -> tuple[int, ...]:
    """What is another one where the file is."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _import_file(file: Path) -> None:
    name = f"roles_dir.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations in it are looked up there
    try:
        # What Python keeps of a file is as good as its size and the second it was written in.
        exec(compile(file.read_bytes(), file, "exec"), vars(module))  # noqa: S102 (a role's file)
    except BaseException:
        del sys.modules[name]
        raise
