"""Finds the roles this station can run, each by itself, so that a broken one hurts no other.

Role files lie in `fleet/roles/`, in the directory the settings name, or come as entry points of
the group `fleet.roles` (each naming a module that registers its factories when imported).
"""

import importlib
import importlib.metadata
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from attrs import frozen

import fleet.role
import fleet.roles
from fleet.agent.config import trial
from fleet.agent.config.declared import describe, reason
from fleet.guard import is_typed
from fleet.model import Factory
from fleet.role import RoleFactory
from fleet.shared import logged, unchanged

log = logging.getLogger(__name__)

_GROUP: Final = "fleet.roles"
_OWN: Final = "role of fleet"


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


@frozen
class _Source:
    """A file, or an entry point, that registers roles where it is imported.

    `module`: its name among those that are imported, or that of the package it is in. `stamp` is
    another one where it has changed; it is empty before the first import where only then is known
    what belongs to it.
    """

    said: str
    """What it is, as the log says it."""
    imports: str
    """The path of a file, or the name of a module."""
    name: str
    module: str
    load: Callable[[], object]
    stamp: Callable[[], tuple[int, ...]]


class RoleFiles:
    """Imports every role; those that work are then in `fleet.role.factories`."""

    def __init__(self, roles_dir: Path | None) -> None:
        self.broken: dict[str, str] = {}
        """The files and entry points that do not work, with the reason."""
        self._dir = roles_dir
        self._sources: dict[str, _Source] = {}
        self._stamps: dict[str, tuple[int, ...]] = {}
        """What each source was like when it was imported."""
        self._names: dict[str, set[str]] = {}
        """The roles that each registered."""
        self._release = _release()
        if roles_dir is not None and not roles_dir.is_dir():
            log.error("roles_dir %s is not a directory: no role is loaded from it", roles_dir)

    def look(self) -> None:
        """Import what is new or changed, and forget what is gone.

        Of what has changed and does not work any more, what it registered before is kept. What
        did not work is tried again: what it lacked may be there now.
        """
        importlib.invalidate_caches()
        upgraded = _release() != self._release
        sources = {f"{one.said} {one.name}": one for one in self._there(upgraded)}
        for key in self._sources.keys() - sources.keys():
            log.info("the %s is gone", key)
            self._stamps.pop(key, None)
            self.broken.pop(self._sources[key].name, None)
            for name in self._names.pop(key, set()):
                fleet.role.factories.pop(name, None)
        self._sources = sources
        stamps = {key: source.stamp() for key, source in sources.items()}
        new = {
            key: source
            for key, source in sources.items()
            if (stamps[key] != self._stamps.get(key) or source.name in self.broken)
            and not (upgraded and source.said == _OWN)
        }
        hazards = trial.hazards([one.imports for one in new.values() if one.said != _OWN])
        for key, source in new.items():
            before = self._stamps.get(key)
            if before not in (None, stamps[key]):
                log.info("the %s has changed", key)
            if source.imports in hazards:
                self._is_broken(source.name, f"ImportError: {hazards[source.imports]}")
            else:
                self._import(key, source, again=before is not None)
            self._stamps[key] = stamps[key] or source.stamp()

    def _import(self, key: str, source: _Source, *, again: bool) -> None:
        before, modules = dict(fleet.role.factories), _modules(source.module) if again else {}
        of_these = {name for name, one in before.items() if type(one).__module__ in modules}
        for name in self._names.get(key, set()) | of_these:
            fleet.role.factories.pop(name, None)
        for name in modules:
            del sys.modules[name]
        rest = set(fleet.role.factories)
        if self._provide(source.name, source.load):
            self._names[key] = fleet.role.factories.keys() - rest
        else:
            _put_back(before)
            sys.modules.update(modules)

    def _there(self, upgraded: bool) -> Iterator[_Source]:
        """Every source there is now, our own first.

        Where fleet itself was `upgraded`, its new files are for the next agent: this one has the
        rest of the old release.
        """
        if upgraded:
            yield from (one for one in self._sources.values() if one.said == _OWN)
        else:
            yield from _own()
        yield from _installed()
        if self._dir is not None:
            for file in _files(self._dir):
                module = f"roles_dir.{file.stem}"
                load, stamp = partial(trial.import_file, file, module), partial(_stamp, file)
                yield _Source("role file", str(file), file.stem, module, load, stamp)

    def _provide(self, name: str, provide: Callable[[], object]) -> bool:
        before = dict(fleet.role.factories)
        try:
            with unchanged(logged(f"the role file {name}", logging.WARNING)):
                provide()
        except BaseException as error:
            if is_typed(error):
                raise
            _put_back(before)
            self._is_broken(name, reason(error))
            log.debug("it failed here", exc_info=error)
            return False
        self.broken.pop(name, None)
        return True

    def _is_broken(self, name: str, why: str) -> None:
        if self.broken.get(name) != why:
            log.error("the role file %s is not used: %s", name, why)
        self.broken[name] = why


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
        except BaseException as error:
            if is_typed(error):
                raise
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


def _own() -> Iterator[_Source]:
    for file in _files(Path(fleet.roles.__file__).parent):
        module = f"fleet.roles.{file.stem}"
        load, stamp = partial(importlib.import_module, module), partial(_stamp, file)
        yield _Source(_OWN, module, file.stem, module, load, stamp)


def _installed() -> Iterator[_Source]:
    for entry in sorted(importlib.metadata.entry_points(group=_GROUP), key=lambda e: e.name):
        top = entry.module.partition(".")[0]
        module = entry.module if top == fleet.__name__ else top
        stamp = partial(_stamp_of_module, module)
        yield _Source("installed role", entry.module, entry.name, module, entry.load, stamp)


def _release() -> tuple[int, ...]:
    """What is another one where another release of fleet was installed, or is being."""
    package = Path(fleet.__file__).parent
    rest = (file for file in sorted(package.rglob("*.py")) if file.parent.name != "roles")
    return tuple(number for file in rest for number in _stamp(file))


def _modules(top: str) -> dict[str, ModuleType]:
    """A module with all below it, as far as they are imported."""
    return {
        name: one
        for name, one in list(sys.modules.items())
        if name == top or name.startswith(f"{top}.")
    }


def _stamp_of_module(top: str) -> tuple[int, ...]:
    files = {getattr(one, "__file__", None) for one in _modules(top).values()}
    return tuple(number for file in sorted(filter(None, files)) for number in _stamp(Path(file)))


def _files(directory: Path) -> list[Path]:
    return sorted(file for file in directory.glob("*.py") if not file.name.startswith(("_", ".")))


def _stamp(file: Path) -> tuple[int, ...]:
    """What is another one where the file is."""
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
