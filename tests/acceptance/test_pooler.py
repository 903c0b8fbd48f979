"""Through a connection pooler that gives every transaction another session: the same results, and no traces there."""

import contextlib
import logging

import psycopg
import pytest
import sqlalchemy

from dbos import DBOS
from dbos.error import DBOSException, DBOSInitializationError
from dbos.store.database import StoreSettings
from dbos.store.hints import Hint
from dbos.store.postgres import hints
from dbos.store.store import Store
from tests.acceptance import tour
from tests.acceptance.hostile_settings import BEARABLE, change_defaults
from tests.store.records import checkpoint, start
from tests.support.fixture_types import Launch
from tests.support.pooler import Pooler, PoolMode
from tests.support.postgres import PostgresCluster
from tests.support.proxy import PostgresProxy
from tests.support.waiting import PATIENCE_SECONDS, eventually

SESSIONS = 12  # more than the pooler holds open in these tests


@pytest.fixture
def database_url(pooler: Pooler, direct_url: str) -> str:
    """A database of the test's own, through a pooler."""
    return pooler.through(direct_url)


def announcements(caplog: pytest.LogCaptureFixture) -> list[str]:
    """How a process said that it hears of others."""
    return [text for text in caplog.messages if "(push)" in text or "(poll)" in text]


def test_everything_works_and_leaves_nothing_behind(launch: Launch, database_url: str, direct_url: str) -> None:
    take = tour.define(database_url)
    launch()
    assert take("first") == tour.EXPECTED
    launch()
    assert take("again") == tour.EXPECTED
    DBOS.destroy()
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=None) as connection:
        traces = {
            connection.execute(
                "select (select count(*) from pg_prepared_statements), current_setting('jit'),"
                " current_setting('enable_seqscan'), current_setting('plan_cache_mode'),"
                " current_setting('statement_timeout'),"
                " exists (select from pg_listening_channels() as channel where channel not like 'dbos test %')"
            ).fetchone()
            for _ in range(SESSIONS)
        }
    with psycopg.connect(direct_url, autocommit=True) as connection:
        default = connection.execute(
            "select 0, current_setting('jit'), current_setting('enable_seqscan'), current_setting('plan_cache_mode'),"
            " current_setting('statement_timeout'), false"
        ).fetchone()
    assert traces == {default}


@pytest.mark.parametrize(("mode", "announced"), [("transaction", "poll"), ("session", "push"), (None, "push")])
def test_the_self_test_says_in_one_line_whether_it_hears(
    postgres: PostgresCluster,
    direct_url: str,
    mode: PoolMode | None,
    announced: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(hints, "HEARING_SECONDS", 0.3 if announced == "poll" else PATIENCE_SECONDS)
    with contextlib.ExitStack() as stack:
        url = direct_url
        if mode is not None:
            if not Pooler.is_installed():
                pytest.skip("pgbouncer is not installed")
            url = stack.enter_context(Pooler(postgres, mode)).through(direct_url)
        store = stack.enter_context(Store.open(StoreSettings(url=url)))
        other = stack.enter_context(Store.open(StoreSettings(url=direct_url)))
        stack.enter_context(caplog.at_level(logging.INFO, logger="dbos"))
        received: list[Hint] = []
        eventually(lambda: received.extend(store.hints.receive(0.05, 1)) or announcements(caplog))
        other.hints.publish("workflow", ["w"])
        if announced == "push":
            eventually(lambda: received.extend(store.hints.receive(0.05, 1)) or ("workflow", "w") in received)
        else:
            assert store.hints.receive(0.05, 1) == []
        assert [f"({announced})" in line for line in announcements(caplog)] == [True]


def test_a_pooler_that_comes_later_and_goes_again(
    pooler: Pooler, direct_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a name in the network is given to another machine: open connections end, new ones lead there."""
    monkeypatch.setattr(hints, "HEARING_SECONDS", PATIENCE_SECONDS)
    with (
        PostgresProxy(direct_url) as proxy,
        Store.open(StoreSettings(url=proxy.url)) as store,
        caplog.at_level(logging.INFO, logger="dbos"),
    ):

        def announced(how: str) -> bool:
            store.hints.receive(0.05, 1)
            return how in "".join(announcements(caplog)[-1:])

        def lead_to(url: str, hearing_seconds: float) -> None:
            monkeypatch.setattr(hints, "HEARING_SECONDS", hearing_seconds)
            proxy.lead_to(url)
            proxy.cut_now()

        eventually(lambda: announced("(push)"))
        assert store.journal.write([start("w")]) == [(None, 1)]
        lead_to(pooler.through(direct_url), 0.3)
        for step in range(2, 10):
            assert store.journal.write([checkpoint("w", step)]) == [()]
            assert store.workflows.standing("w") == ("PENDING", 1)
        eventually(lambda: announced("(poll)"))
        lead_to(direct_url, PATIENCE_SECONDS)
        assert store.journal.write([checkpoint("w", 10)]) == [()]
        assert store.workflows.standing("w") == ("PENDING", 1)
        eventually(lambda: announced("(push)"))
        assert len(announcements(caplog)) == 3


def test_a_pooler_that_gives_no_transactions_is_refused(postgres: PostgresCluster, direct_url: str) -> None:
    Store.migrate(StoreSettings(url=direct_url))
    with Pooler(postgres, "statement") as pooler, pytest.raises(DBOSInitializationError, match="pool_mode = transact"):
        Store.open(StoreSettings(url=pooler.through(direct_url)))


def test_settings_of_the_role_that_harm_are_named(
    launch: Launch, database_url: str, direct_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where sessions are not ours, only the role can have others; until then everything still comes out."""
    change_defaults(direct_url, BEARABLE)
    take = tour.define(database_url)
    launch()
    assert take("hostile") == tour.EXPECTED
    warning = next(each for each in caplog.messages if each.startswith("Behind a connection pooler"))
    assert [line for line in warning.splitlines() if line.startswith("alter")] == [
        "alter role \"postgres\" set array_nulls = 'on';",
        "alter role \"postgres\" set default_transaction_isolation = 'read committed';",
        "alter role \"postgres\" set lock_timeout = '0';",
        "alter role \"postgres\" set statement_timeout = '0';",
        "alter role \"postgres\" set synchronous_commit = 'on';",
    ]


def test_a_missing_database_is_made_through_one_that_has_known_it(pooler: Pooler, direct_url: str) -> None:
    """Who asks for it is let in, and told late that it is gone; when it is there, it is told so for a while."""
    settings = StoreSettings(url=pooler.through(f"{direct_url}_missing"))
    try:
        with Store.open(settings) as store:
            store.journal.write([start("w")])
        Store.drop(settings)
        Store.truncate(settings)  # nothing there is fine
        with pytest.raises(DBOSInitializationError):
            Store.open(settings._replace(run_migrations=False))
        with Store.open(settings) as store:
            assert store.workflows.load("w") is None
    finally:
        Store.drop(settings)


def test_an_engine_that_speaks_another_encoding_is_refused(database_url: str) -> None:
    """In a session of its own it is told to speak ours."""
    engine = sqlalchemy.create_engine(
        database_url.replace("postgresql://", "postgresql+psycopg://"), connect_args={"client_encoding": "LATIN1"}
    )
    with pytest.raises(DBOSException, match="client_encoding=UTF8"):
        Store.open(StoreSettings(url="", engine=engine))
    engine.dispose()
