"""Why something was not done, as it travels and as it is raised."""

from typing import Annotated, Final

from attrs import frozen
from msgspec import Meta

from fleet.model.bounds import MAX_PROBLEMS


class Refusal(Exception):
    """Somebody asked for something that cannot be; the class name is the type on the wire."""

    def __init__(self, message: str, problems: "tuple[Problem, ...]" = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = problems

    @property
    def error(self) -> "Error":
        """The refusal as it travels, with as many problems as may."""
        return Error(type(self).__name__, self.message, self.problems[:MAX_PROBLEMS])


class BlockedRole(Refusal):
    """The station's owner forbids this role here."""


class MissingRoleFactory(Refusal):
    """The station has nothing that can build this role."""


class InvalidConfiguration(Refusal):
    """The settings, the number of instances or the payload itself are wrong."""


class UnknownCommand(Refusal):
    """No role that runs here has registered such a command."""


class NoSuchInstance(Refusal):
    """The instance named does not run, or none was named and several do."""


class InvalidArguments(Refusal):
    """The arguments of a command are wrong."""


class CommandFailed(Refusal):
    """The command ran and did not succeed."""


class DeadlineExceeded(Refusal):
    """The command's deadline passed before it was done."""


class Forbidden(Refusal):
    """The caller may not do this."""


CONFIG_ERRORS: Final = (BlockedRole, MissingRoleFactory, InvalidConfiguration)
"""What can be wrong with a config, the one that names an ack first."""


@frozen
class Problem:
    """One thing wrong, said so that it can be fixed without the station's logs.

    `path` is a JSON Pointer into the settings or arguments; None where the role or instance
    as a whole is meant.
    """

    type: str
    role: str | None
    instance: str | None
    path: str | None
    message: str

    @property
    def text(self) -> str:
        """`InvalidConfiguration record/main /segment_seconds: expected 1 to 86400, got 0`."""
        instance = "/".join(filter(None, (self.role, self.instance)))
        where = " ".join(filter(None, (self.type, instance, self.path)))
        return f"{where}: {self.message}"

    @property
    def sentence(self) -> str:
        """`record/main /segment_seconds: expected 1 to 86400, got 0`; of a role, its message."""
        if self.instance is None:
            return self.message
        where = " ".join(filter(None, (f"{self.role}/{self.instance}", self.path)))
        return f"{where}: {self.message}"


@frozen
class Error:
    """Why an ack rejects or a reply refuses."""

    type: str
    message: str
    problems: Annotated[tuple[Problem, ...], Meta(max_length=MAX_PROBLEMS)] = ()
