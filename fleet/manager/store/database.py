"""What the two kinds of database have in common: transactions, the newest shape, said troubles."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from fleet.manager.store.records import BadStore, StoreAway
from fleet.model import DeadlineExceeded

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
DEADLINE: Final[ContextVar[float]] = ContextVar("deadline", default=math.inf)
"""Monotonic seconds after which nothing is written for whoever asked: they were told it failed."""
PATIENCE: Final = 3.0
"""Seconds to wait for a lock that somebody else holds."""

Explain = Callable[[sa.exc.SQLAlchemyError, str], BadStore]
"""(error, `read` or `written`) -> what is wrong, for people."""


class Database:
    """An open database. `cut` ends a wait for it in another thread, where that can be done; `look`
    raises `StoreAway` where what is written would go nowhere.
    """

    def __init__(
        self,
        engine: sa.Engine,
        explain: Explain,
        look: Callable[[sa.Connection], None] = lambda _: None,
        cut: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._writer = engine.execution_options(writing=True)
        self._explain = explain
        self._look = look
        self._cut = cut
        self._given_up = False

    @property
    def place(self) -> str:
        """Where it is, without a password."""
        return self._engine.url.render_as_string()

    def close(self) -> None:
        """Close it."""
        self._engine.dispose()

    def give_up(self) -> None:
        """Have the transaction that hangs in another thread end without a change."""
        self._given_up = True
        self._cut()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction; committed at its end.

        Raises:
            BadStore: it failed; nothing has changed, unless it is a `StoreAway` that is `unsure`.
        """
        began = self._given_up = False
        try:
            with self._writer.begin() as connection:
                self._look(connection)
                self._go_on()
                began = True
                yield connection
                self._go_on()
        except sa.exc.SQLAlchemyError as error:
            trouble = self._explain(error, "written")
            if isinstance(trouble, StoreAway):
                trouble.unsure = trouble.unsure and began
            raise trouble from None

    @contextmanager
    def in_time(self) -> Iterator[sa.Connection]:
        """As `writing`, of what somebody waits for: what comes too late for them is taken back.

        Raises:
            BadStore: as `writing`.
            DeadlineExceeded: it came too late; nothing has changed.
        """
        with self.writing() as connection:
            yield connection
            if time.monotonic() > DEADLINE.get():
                raise DeadlineExceeded("it took too long; nothing was changed")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One transaction that changes nothing.

        Raises:
            BadStore: it could not be read.
        """
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise self._explain(error, "read") from None

    def _go_on(self) -> None:
        if self._given_up:  # whoever wanted it was told that it failed
            raise StoreAway("the store did not answer in time")

    def migrate(self) -> None:
        """Make or upgrade the tables: all, or nothing.

        Raises:
            BadStore: they are those of a newer release.
        """
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with self._writer.begin() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise BadStore(
                    f"the store is not one this release can read ({error}); "
                    "it was last used by a newer fleet-manager: install that one"
                ) from None


def cause(error: sa.exc.SQLAlchemyError) -> str:
    """What the database itself says, on one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
