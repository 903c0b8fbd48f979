"""A database that is set up against us: few connections, hostile defaults, sessions that are ended."""

import threading
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import create_engine

from dbos import DBOS
from dbos.error import DBOSInitializationError
from dbos.store.database import Role, Session, StoreSettings
from dbos.store.statements import Statement
from dbos.store.store import Store
from tests.acceptance import tour
from tests.acceptance.hostile_settings import BEARABLE, FOREIGN, HOSTILE, change_defaults
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql

pytestmark = pytest.mark.owner("changes the database")

OPTIONS = pytest.mark.own_session("a pooler takes no options")


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """All of this is about Postgres, and changes the database."""
    return postgres_url


def shown(session: Session, name: str) -> object:
    return session.run(Statement("show", f"show {name}", ()), {})[0][0]


def encoding_of(store: Store) -> object:
    """What a new connection of the writer's speaks."""
    session = store._pool.database.connect(Role.WRITER)
    try:
        return shown(session, "client_encoding")
    finally:
        session.close()


def test_one_connection_is_enough(launch: Launch, database_url: str) -> None:
    take = tour.define(database_url)
    launch(sys_db_pool_size=1)
    assert take("one") == tour.EXPECTED


def test_hostile_defaults_do_no_harm(launch: Launch, database_url: str, direct_url: str) -> None:
    change_defaults(direct_url, {**BEARABLE, **FOREIGN})
    take = tour.define(database_url)
    launch()
    assert take("hostile") == tour.EXPECTED


@pytest.mark.own_session("settings of a session")
def test_hostile_defaults_are_overruled(database_url: str, direct_url: str) -> None:
    settings = {**HOSTILE, **FOREIGN}
    change_defaults(direct_url, settings)
    with Store.open(StoreSettings(url=database_url)) as store:
        for role in Role:
            session = store._pool.database.connect(role)
            try:
                lock_timeout = {Role.WRITER: "250ms", Role.READER: "1s"}.get(role, "0")
                overruled = ["0", lock_timeout, "1min", "read committed", "on", "on", "UTF8"]
                assert [shown(session, name) for name in settings] == overruled
            finally:
                session.close()


def test_who_waits_for_a_lock_is_not_cut_off(database_url: str, direct_url: str) -> None:
    """With the defaults of the database a migration that waits for another one would have failed."""
    change_defaults(direct_url, HOSTILE)
    with psycopg.connect(direct_url, options="-c idle_in_transaction_session_timeout=0") as other:
        other.execute("select pg_advisory_xact_lock(hashtextextended('dbos-journal dbos', 0))")
        released = threading.Event()

        def release() -> None:
            released.set()
            other.rollback()

        timer = threading.Timer(0.3, release)
        timer.start()
        Store.migrate(StoreSettings(url=database_url))
        assert released.is_set(), "it went by the lock"
        timer.join()


@pytest.mark.own_session("settings of a session")
def test_what_the_url_sets_is_left_alone(database_url: str) -> None:
    options = quote("-c statement_timeout=5000 -c synchronous_commit=off")
    with Store.open(StoreSettings(url=f"{database_url}?options={options}")) as store:
        session = store._pool.database.connect(Role.READER)
        try:
            assert [shown(session, name) for name in ("statement_timeout", "synchronous_commit")] == ["5s", "off"]
        finally:
            session.close()


@pytest.mark.parametrize(
    "chosen", ["client_encoding=LATIN1", pytest.param("options=-c%20client_encoding%3DLATIN1", marks=OPTIONS)]
)
def test_nobody_chooses_the_encoding_of_batches(database_url: str, chosen: str) -> None:
    with Store.open(StoreSettings(url=f"{database_url}?{chosen}")) as store:
        assert encoding_of(store) == "UTF8"


@pytest.mark.own_session("settings of a session")
def test_nor_does_the_engine_of_the_user(database_url: str) -> None:
    engine = create_engine(f"{database_url.replace('postgresql', 'postgresql+psycopg')}?client_encoding=LATIN1")
    with Store.open(StoreSettings(url=database_url, engine=engine)) as store:
        assert encoding_of(store) == "UTF8"
    engine.dispose()


def test_a_role_that_may_only_read_is_told_how_to_change_that(database_url: str, direct_url: str) -> None:
    change_defaults(direct_url, {"default_transaction_read_only": "on"})
    with pytest.raises(DBOSInitializationError, match=r"alter role .* set default_transaction_read_only = off;"):
        Store.open(StoreSettings(url=database_url))


def test_each_session_is_ended_in_turn(launch: Launch, database_url: str) -> None:
    take = tour.define(database_url)
    launch()
    sessions = "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    assert take("before") == tour.EXPECTED
    ended: set[int] = set()
    for number in range(6):
        left = [pid for (pid,) in run_sql(database_url, sessions) if pid not in ended]
        assert left
        ended.add(left[0])
        run_sql(database_url, "select pg_terminate_backend(?)", left[0])
        assert take(f"after {number}") == tour.EXPECTED
    assert DBOS.list_workflows(status=["PENDING", "ENQUEUED"]) == []
