"""The store in both its forms: a file, and a database on a real PostgreSQL."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import define, field

from fleet.manager.store import ManagerStore
from tests.manager.boxes import Boxes
from tests.manager.postgres import Postgres, initialise, serve
from tests.stranger import Stranger

STORES = Path(__file__).parent / "stores"


@pytest.fixture(scope="session")
def postgres(once: Callable[[str, Callable[[Path], object]], Path]) -> Iterator[Postgres]:
    """A PostgreSQL for all tests of this process."""
    with serve(once("cluster", initialise)) as server:
        yield server


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store with nothing in it, to be copied: making one takes a while."""
    directory = tmp_path_factory.mktemp("store")
    ManagerStore.in_directory(directory).close()
    return directory / "manager.sqlite"


@define
class Place:
    """Where one test keeps its store. `url`: None for a file in `directory`."""

    directory: Path
    url: str | None
    _opened: list[ManagerStore] = field(factory=list)

    def open(self) -> ManagerStore:
        """The store, made where it is not there yet."""
        store = ManagerStore.at(self.url) if self.url else ManagerStore.in_directory(self.directory)
        self._opened.append(store)
        return store

    def close(self) -> None:
        """Close all that were opened."""
        for store in self._opened:
            store.close()

    def copy(self) -> str:
        """The URL of a copy of the database, which nobody uses now."""
        assert self.url is not None
        whole = sa.make_url(self.url)
        copied = f"{whole.database}copy"
        engine = sa.create_engine(whole.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"create database {copied} template {whole.database}"))
        engine.dispose()
        return whole.set(database=copied).render_as_string(hide_password=False)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While inside, another program lets nobody write."""
        if self.url is None:
            path = self.directory / "manager.sqlite"
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute("BEGIN EXCLUSIVE")
            try:
                yield
            finally:
                connection.close()
            return
        engine = sa.create_engine(self.url)
        with engine.begin() as other:
            for table in ("keeper", "station", "presence"):
                other.execute(sa.text(f"lock table {table} in exclusive mode"))
            yield
        engine.dispose()

    @property
    def arguments(self) -> tuple[str, ...]:
        """What a manager needs to be told."""
        return ("--store", self.url) if self.url else ()

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """What an SQL statement finds (or does), past the store."""
        engine = sa.create_engine(self.url or f"sqlite:///{self.directory / 'manager.sqlite'}")
        try:
            with engine.begin() as connection:
                result = connection.execute(sa.text(sql))
                return [tuple(row) for row in result] if result.returns_rows else []
        finally:
            engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """An empty place for a store, once a file and once a database."""
    url = None
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database()
    made = Place(tmp_path / "manager", url)
    yield made
    made.close()


@pytest.fixture
def old_store(place: Place) -> Callable[[str], None]:
    """Put a store of an earlier release (`stores/<revision>.sql`) in place."""

    def put(revision: str) -> None:
        script = (STORES / f"{revision}.sql").read_text()
        if place.url is None:
            place.directory.mkdir()
            with sqlite3.connect(place.directory / "manager.sqlite") as connection:
                connection.executescript(script)
            connection.close()
        else:
            _copy(script, place.url, revision)

    return put


def _copy(script: str, url: str, revision: str) -> None:
    """The same tables and rows on another database, its shape made by the same steps."""
    from alembic import command
    from alembic.config import Config

    import fleet.manager.store.database as database

    source = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    target = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(database._MIGRATIONS))
    with source.connect() as old, target.begin() as new:
        raw: Any = old.connection.dbapi_connection
        raw.executescript(script)
        config.attributes["connection"] = new
        command.upgrade(config, revision)
        tables = sa.MetaData()
        tables.reflect(new)
        for table in tables.sorted_tables:
            if table.name != "alembic_version":
                rows = [dict(row) for row in old.execute(sa.select(table)).mappings()]
                if rows:
                    new.execute(sa.insert(table), rows)
    source.dispose()
    target.dispose()


@pytest.fixture
async def boxes(stranger: Stranger) -> AsyncIterator[Boxes]:
    """Stations that come online and do with each config what the test says."""
    made = Boxes(stranger)
    yield made
    await made.end()
