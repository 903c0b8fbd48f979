"""The proxy cuts where it is told to and nowhere else, and counts what a client really waited for."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.postgres_wire import ClientStream, Flight
from tests.support.proxy import CutPhase, PostgresProxy

DEADLINE_SECONDS = 10.0


@pytest.fixture
def proxy(direct_url: str) -> Iterator[PostgresProxy]:
    with psycopg.connect(direct_url) as connection:
        connection.execute("create table entry (id int primary key)")
    with PostgresProxy(direct_url) as proxy:
        yield proxy


def entries(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("select id from entry order by id")]


def insert(connection: psycopg.Connection, number: int) -> None:
    connection.execute("insert into entry (id) values (%s)", [number], prepare=True)


# ---------------------------------------------------------------- cutting


@pytest.mark.parametrize(("phase", "survivors"), [("before", [1, 2]), ("after", [1, 2, 3])])
def test_cutting_at_a_write_that_commits_itself(
    proxy: PostgresProxy, direct_url: str, phase: CutPhase, survivors: list[int]
) -> None:
    with psycopg.connect(proxy.url, autocommit=True) as connection:
        insert(connection, 1)
        cut = proxy.cut_at(2, phase)
        connection.execute("select id from entry for update")  # a locking read is not a write
        insert(connection, 2)  # prepared by now: only its name travels
        with pytest.raises(psycopg.OperationalError):
            insert(connection, 3)
        assert cut.done.wait(DEADLINE_SECONDS)
        assert cut.flight is not None
        assert cut.flight.statements == ("insert into entry (id) values ($1)",)
    assert entries(direct_url) == survivors


@pytest.mark.parametrize(("phase", "survivors"), [("before", []), ("after", [1, 2])])
def test_cutting_at_a_commit(proxy: PostgresProxy, direct_url: str, phase: CutPhase, survivors: list[int]) -> None:
    cut = proxy.cut_at(3, phase)
    with psycopg.connect(proxy.url) as connection:
        insert(connection, 1)
        insert(connection, 2)
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    assert cut.done.wait(DEADLINE_SECONDS)
    assert cut.flight is not None
    assert cut.flight.mentions("COMMIT")
    assert entries(direct_url) == survivors


@pytest.mark.parametrize(("phase", "survivors"), [("before", []), ("after", [1, 2])])
def test_cutting_at_a_pipeline(proxy: PostgresProxy, direct_url: str, phase: CutPhase, survivors: list[int]) -> None:
    cut = proxy.cut_at(1, phase)
    with psycopg.connect(proxy.url, autocommit=True) as connection:
        with pytest.raises(psycopg.OperationalError), connection.pipeline():
            insert(connection, 1)
            insert(connection, 2)
    assert cut.done.wait(DEADLINE_SECONDS)
    assert entries(direct_url) == survivors


def test_cutting_at_the_statement_that_contains_a_text(proxy: PostgresProxy) -> None:
    cut = proxy.cut_at(containing="pg_backend_pid")
    with psycopg.connect(proxy.url, autocommit=True) as connection:
        insert(connection, 1)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT PG_BACKEND_PID()")
    assert cut.done.wait(DEADLINE_SECONDS)


def test_other_connections_survive_a_cut(proxy: PostgresProxy, direct_url: str) -> None:
    with psycopg.connect(proxy.url, autocommit=True) as victim, psycopg.connect(proxy.url, autocommit=True) as other:
        proxy.cut_at()
        with pytest.raises(psycopg.OperationalError):
            insert(victim, 1)
        insert(other, 2)
    assert entries(direct_url) == [2]


def test_cutting_everything_now(proxy: PostgresProxy) -> None:
    with psycopg.connect(proxy.url) as one, psycopg.connect(proxy.url) as two:
        proxy.cut_now()
        for connection in (one, two):
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
    with psycopg.connect(proxy.url) as fresh:
        assert fresh.execute("select 1").fetchone() == (1,)


# ---------------------------------------------------------------- other failures


def test_a_delay_is_felt_once_per_round_trip(proxy: PostgresProxy) -> None:
    with psycopg.connect(proxy.url, autocommit=True) as connection:
        proxy.delay(0.05)
        started = time.monotonic()
        connection.execute("select 1")
        connection.execute("select 1")
        assert time.monotonic() - started >= 0.1


def test_a_blackhole_lets_nothing_through_until_it_heals(proxy: PostgresProxy, direct_url: str) -> None:
    with psycopg.connect(proxy.url, autocommit=True) as connection:
        insert(connection, 1)
        proxy.blackhole()
        writer = threading.Thread(target=insert, args=(connection, 2))
        writer.start()
        writer.join(0.1)
        assert writer.is_alive()
        assert entries(direct_url) == [1]
        proxy.heal()
        writer.join(DEADLINE_SECONDS)
        assert not writer.is_alive()
    assert entries(direct_url) == [1, 2]


def test_refusing_new_connections_leaves_the_open_ones(proxy: PostgresProxy) -> None:
    with psycopg.connect(proxy.url, autocommit=True) as connection:
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(proxy.url)
        assert connection.execute("select 1").fetchone() == (1,)
        proxy.heal()
        psycopg.connect(proxy.url).close()


def test_dropped_notifications_never_arrive(proxy: PostgresProxy, direct_url: str) -> None:
    with psycopg.connect(proxy.url, autocommit=True) as listener, psycopg.connect(direct_url, autocommit=True) as s:
        listener.execute("listen news")
        s.execute("notify news, 'heard'")
        assert [n.payload for n in listener.notifies(timeout=DEADLINE_SECONDS, stop_after=1)] == ["heard"]
        proxy.drop_notifications()
        s.execute("notify news, 'lost'")
        listener.execute("select 1")  # whatever was sent before its answer has passed the proxy by now
        assert proxy.notifications_dropped == 1
        proxy.heal()
        s.execute("notify news, 'heard again'")
        assert [n.payload for n in listener.notifies(timeout=DEADLINE_SECONDS, stop_after=1)] == ["heard again"]


# ---------------------------------------------------------------- counting


def test_round_trips_and_writes_are_counted(proxy: PostgresProxy) -> None:
    with psycopg.connect(proxy.url, autocommit=True) as connection:
        insert(connection, 1)  # prepares and executes: two round trips
        proxy.round_trips = proxy.writes = 0
        insert(connection, 2)
        insert(connection, 3)
        connection.execute("select 1")
        assert (proxy.round_trips, proxy.writes) == (3, 2)
        with connection.pipeline():
            insert(connection, 4)
            insert(connection, 5)
        assert (proxy.round_trips, proxy.writes) == (4, 3)


def test_copying_keeps_the_count_right(proxy: PostgresProxy, direct_url: str) -> None:
    with psycopg.connect(proxy.url, autocommit=True) as connection:
        with connection.cursor() as cursor, cursor.copy("copy entry (id) from stdin") as copy:
            for number in range(5_000):
                copy.write_row([number])
        proxy.round_trips = 0
        cut = proxy.cut_at(1, "after")
        connection.execute("select 1")
        assert proxy.round_trips == 1
        with pytest.raises(psycopg.OperationalError):
            insert(connection, 5_000)
        assert cut.done.wait(DEADLINE_SECONDS)
    assert len(entries(direct_url)) == 5_001


def test_closing_ends_every_thread(direct_url: str) -> None:
    before = set(threading.enumerate())
    proxy = PostgresProxy(direct_url)
    connection = psycopg.connect(proxy.url)
    proxy.blackhole()
    proxy.close()
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended, too
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    connection.close()


# ---------------------------------------------------------------- reading along


@pytest.mark.parametrize(
    ("sql", "is_write"),
    [
        ("insert into entry values (1)", True),
        ("with gone as (delete from entry returning id) select count(*) from gone", True),
        ("update entry set id = 2", True),
        ("COMMIT", True),
        ("select 1 from entry for update skip locked", False),
        ("select 1 from entry for no key update", False),
        ("select updated_at, inserted from entry", False),
        ("begin", False),
    ],
)
def test_what_counts_as_a_write(sql: str, is_write: bool) -> None:
    assert Flight(b"", (sql,)).is_write is is_write


def test_flights_come_out_the_same_however_the_bytes_arrive() -> None:
    def message(kind: bytes, body: bytes) -> bytes:
        return kind + (len(body) + 4).to_bytes(4, "big") + body

    startup = (8).to_bytes(4, "big") + (196_608).to_bytes(4, "big")
    parse = message(b"P", b"stmt\0insert into entry values ($1)\0\0\0")
    run = message(b"B", b"\0stmt\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0") + message(b"S", b"")
    whole = startup + parse + run + run + message(b"X", b"")

    stream = ClientStream()
    flights = [flight for byte in whole for flight in stream.feed(bytes([byte]))]
    assert flights == list(ClientStream().feed(whole))
    assert [flight.statements for flight in flights] == [
        (),
        ("insert into entry values ($1)",),
        ("insert into entry values ($1)",),
        (),
    ]
    assert b"".join(flight.payload for flight in flights) == whole
