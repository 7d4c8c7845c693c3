"""The operator's file, `~/.config/fleet/config.toml`: several brokers, each by a name."""

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import field, frozen

from fleet import kept
from fleet.model import plain
from fleet.settings import BadSettings, load, read_text
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


@frozen
class Home:
    """Whose file it is: `directory` has it (and is made); `owner`, user and group, gets it."""

    directory: Path
    owner: tuple[int, int] | None = None


def names(home: Home) -> frozenset[str]:
    """The contexts that the file there has.

    Raises:
        BadSettings: it cannot be used.
    """
    file = home.directory / _FILE
    return frozenset(load(file, ClientFile).contexts if file.exists() else ())


def keep(
    name: str,
    context: Context,
    password: str,
    ca: str | None,
    home: Home,
    current: bool = False,
) -> Path:
    """Keep how to reach a fleet, under this name, for its owner alone; the file.

    `password` and `ca` (PEM) go into files beside it; what else it says stays, with its comments.
    It is the one that is used by itself where it is `current`, or the file had no choice yet.

    Raises:
        BadSettings: the file cannot be used, or not be written.
    """
    import tomlkit  # an operator who only asks needs it not

    beside = {f"{name}.password": f"{password}\n"}
    entry = {"broker": context.broker, "username": context.username, "prefix": context.prefix}
    entry["password_file"] = f"{name}.password"
    if ca is not None:
        beside[f"{name}-ca.pem"] = ca
        entry["ca_file"] = f"{name}-ca.pem"
    file = home.directory / _FILE
    try:
        with _as(home.owner):  # as root we would write wherever their links lead
            file = file.resolve()
            there = file.exists()
            if there:
                load(file, ClientFile)
            said = tomlkit.parse(read_text(file) if there else "")
            said.setdefault("context", name)
            if current:
                said["context"] = name
            found = said.setdefault("contexts", tomlkit.table(is_super_table=True))
            found[name] = {key: value for key, value in entry.items() if value is not None}
            file.parent.mkdir(0o700, parents=True, exist_ok=True)
            files = {file.parent / one: text for one, text in beside.items()}
            files[file] = tomlkit.dumps(said)
            for path, text in files.items():
                kept.replace(path, text.encode(), mode=0o600)
    except OSError as error:
        raise BadSettings(f"{file} cannot be written: {plain(error)}") from None
    return file


@contextmanager
def _as(owner: tuple[int, int] | None) -> Iterator[None]:
    """Have the rights of that user and group alone for a while; None: those that we have."""
    if owner is None:
        yield
        return
    user, group, groups = os.geteuid(), os.getegid(), os.getgroups()
    may = user == 0
    if may:
        os.setgroups([])
    try:
        os.setegid(owner[1])
        os.seteuid(owner[0])
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)
        if may:
            os.setgroups(groups)


def own_home() -> Home:
    """Ours; with sudo that of who typed it.

    Raises:
        BadSettings: nobody knows where that is.
    """
    try:
        if os.geteuid() == 0 and (user := os.environ.get("SUDO_USER")):
            who = pwd.getpwnam(user)
            return Home(Path(who.pw_dir) / ".config", (who.pw_uid, who.pw_gid))
        return Home(path().parent.parent)
    except (KeyError, RuntimeError) as error:
        raise BadSettings(f"nobody knows where your home is: {error}") from None


def _beside(file: str | None) -> str | None:
    try:
        return str(path().parent / Path(file).expanduser()) if file else None
    except RuntimeError as error:
        raise BadSettings(f"{path()}: {file!r} is nowhere: {error}") from None
