"""Decides about a config that comes in: what to answer, and what to save.

Pure: (memory, payload, catalogue) -> decision. A revision not above the one in force is never
applied; a higher one is always validated, and every problem named. The answer to an old one is
the last decision: the rejection of a higher revision, else `accepted` for the one in force.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from attrs import Factory, asdict, evolve, field, frozen

from fleet.agent.config.catalogue import Catalogue
from fleet.agent.config.validate import Examined, brief, examine, invalid
from fleet.agent.engine.reconcile import Key, Unrunnable, Wanted
from fleet.bound import misled
from fleet.model import (
    CONFIG_ERRORS,
    MAX_PAYLOAD,
    MAX_REVISION,
    Ack,
    Boot,
    Config,
    Error,
    InForce,
    Problem,
    Result,
    Revision,
    Signature,
    counted,
)
from fleet.strict import Mistakes, show
from fleet.wire import Undecodable, encode, from_json, loads

_KEPT_FOR_ERROR: Final = 4096
"""Bytes every ack keeps free, so that it can also say why a later revision is rejected."""
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


@frozen
class Rejection:
    """A revision that was refused, and why."""

    revision: Revision
    error: Error


@frozen
class Memory:
    """What a station keeps on disk: the config in force, and a later one it refused."""

    in_force: Config | None = None
    rejection: Rejection | None = None

    @property
    def revision(self) -> int:
        """The one in force, 0 if there is none."""
        return self.in_force.revision if self.in_force else 0


@frozen
class Decision:
    """`ack` is complete; `memory` is to be saved where it changed.

    `wanted`: what is to run from now on; None where that does not change. `payload`: the ack as
    it travels; it holds the whole config, and is made once.
    """

    ack: Ack
    memory: Memory
    wanted: Mapping[Key, Wanted | Unrunnable] | None = None
    payload: bytes = field(
        default=Factory(lambda made: encode(made.ack), takes_self=True), eq=False, repr=False
    )


@frozen
class _Envelope:
    """A config whose roles are not believed yet."""

    revision: Revision
    at: datetime | None
    by: str | None
    roles: Mapping[str, Any]
    name: str | None = None
    room: str | None = None
    signature: Signature | None = None


def decide(
    memory: Memory,
    payload: bytes,
    catalogue: Catalogue,
    boot: Boot,
    at: datetime,
    bound: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Decision | None:
    """What to do about a payload of the config topic; None: nothing (the broker holds none).

    `bound`: the station's secrets that may not go everywhere, and where they may.
    """
    if not payload:
        return None
    try:
        value = loads(payload)
        revision = _revision(value)
    except Undecodable as wrong:
        message = f"the payload cannot be read: {wrong}"
        error = _error([invalid(message)])
        return Decision(Ack(None, boot, at, Result.REJECTED, error, _in_force(memory)), memory)
    if revision <= memory.revision:
        return Decision(current_ack(memory, boot, at), memory)
    try:
        envelope = from_json(value, _Envelope)
    except Mistakes as mistakes:
        examined = examine(_roles(value), catalogue)
        own = [invalid(f"{m.pointer or '/'} {m.message}") for m in mistakes.mistakes]
        return reject(memory, revision, (*own, *examined.problems), boot, at)
    examined = examine(envelope.roles, catalogue)
    if problems := (*examined.problems, *_misled(examined, bound)):
        return reject(memory, revision, problems, boot, at)
    return _accept(memory, envelope, examined, boot, at)


def reject(
    memory: Memory, revision: int, problems: Sequence[Problem], boot: Boot, at: datetime
) -> Decision:
    """Refuse a revision above the one in force, and remember that."""
    ack = Ack(revision, boot, at, Result.REJECTED, None, _in_force(memory))
    error = _fitting(problems, MAX_PAYLOAD - len(encode(ack)))
    remembered = evolve(memory, rejection=Rejection(revision, error))
    return Decision(evolve(ack, error=error), remembered)


def current_ack(memory: Memory, boot: Boot, at: datetime) -> Ack:
    """The last decision once more."""
    in_force = _in_force(memory)
    if memory.rejection is not None:
        rejection = memory.rejection
        return Ack(rejection.revision, boot, at, Result.REJECTED, rejection.error, in_force)
    result = Result.ACCEPTED if memory.in_force else None
    return Ack(memory.revision, boot, at, result, None, in_force)


def _misled(examined: Examined, bound: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    for key, found in examined.instances.items():
        if isinstance(found, Wanted):
            for path, message in misled(found.settings, bound):
                yield invalid(message, key.role, key.instance, path)


def _accept(
    memory: Memory, envelope: _Envelope, examined: Examined, boot: Boot, at: datetime
) -> Decision:
    config = Config(**asdict(envelope, recurse=False))
    accepted = Memory(config)
    decision = Decision(current_ack(accepted, boot, at), accepted, examined.instances)
    size, most = len(decision.payload), MAX_PAYLOAD - _KEPT_FOR_ERROR
    if size > most:
        message = f"the roles are too long to be reported back: {size} bytes, at most {most}"
        return reject(memory, config.revision, [invalid(message)], boot, at)
    return decision


def _revision(value: Any) -> int:
    if not isinstance(value, dict):
        raise Undecodable(f"expected a table with a revision, got {show(value)}")
    revision = value.get("revision")
    if not isinstance(revision, int) or isinstance(revision, bool):
        raise Undecodable(f"expected a whole number as revision, got {show(revision)}")
    if not 1 <= revision <= MAX_REVISION:
        raise Undecodable(f"expected a revision from 1 to {MAX_REVISION}, got {show(revision)}")
    return revision


def _roles(value: Mapping[str, Any]) -> Mapping[str, Any]:
    roles = value.get("roles")
    return roles if isinstance(roles, dict) else {}


def _in_force(memory: Memory) -> InForce:
    config = memory.in_force
    if config is None:
        return InForce.none()
    return InForce(config.revision, config.roles, config.signature)


def _fitting(problems: Sequence[Problem], most: int) -> Error:
    """As many of the problems as `most` bytes can carry, and the number of the others."""
    most -= len(encode(_error(problems, [])))
    shown: list[Problem] = []
    for problem in problems:
        most -= len(encode(problem)) + 1
        if most < 0:
            return _error(problems, shown)
        shown.append(problem)
    return _error(problems)


def _error(problems: Sequence[Problem], shown: Sequence[Problem] | None = None) -> Error:
    """`shown`: those that fit, where that is not all."""
    types = {problem.type for problem in problems}
    kind = next(error.__name__ for error in CONFIG_ERRORS if error.__name__ in types)
    first = next(problem for problem in problems if problem.type == kind)
    message = brief(_sentence(first))
    if len(problems) > 1:
        message = f"{len(problems)} problems, such as: {message}"
    if shown is None:
        return Error(kind, message, tuple(problems))
    more = invalid(
        f"{counted(len(problems) - len(shown), 'more problem')} left out, fix these first"
    )
    return Error(kind, message, (*shown, more))


def _sentence(problem: Problem) -> str:
    where = "/".join(filter(None, (problem.role, problem.instance)))
    text = f"{problem.path} {problem.message}" if problem.path else problem.message
    return f"{where}: {text}" if where else text
