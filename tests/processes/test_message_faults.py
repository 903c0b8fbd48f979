"""Messages between processes that die, and over connections that break, while somebody waits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from dbos.model.mailbox import place
from tests.processes.conftest import Start
from tests.support.proxy import PostgresProxy
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

NAMES = ["collect", "collect_async"]
DOUBLED = '["s", "message", ["[\\"w\\", \\"t\\"]"]]'


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres_url) as proxy:
        yield proxy


def received(database_url: str, workflow_id: str) -> list[tuple[Any, ...]]:
    return run_sql(
        database_url,
        "select output from operation_outputs where workflow_uuid = ? and function_name = 'DBOS.recv'"
        " order by function_id",
        workflow_id,
    )


@pytest.mark.parametrize("name", NAMES)
def test_receivers_that_are_killed_again_and_again_lose_and_double_nothing(
    start: Start, database_url: str, name: str
) -> None:
    """I29, I30: a sender that goes on, receivers killed in the middle, and every message in its place once."""
    count = 60
    sender = start(executor_id="sender")
    receiver = start(executor_id="receiver")
    receiver.call("start", name, "w", count)

    def send_all() -> None:
        for number in range(count):
            sender.call("send", "w", number)

    sending = threading.Thread(target=send_all)
    sending.start()
    try:
        for share in (10, 25, 40):
            eventually(lambda share=share: len(received(database_url, "w")) >= share, 40)
            receiver.kill()
            receiver = start(executor_id="receiver")
    finally:
        sending.join()
    assert sender.call("result", "w") == list(range(count))
    assert [text for (text,) in received(database_url, "w")] == [str(number) for number in range(count)]
    assert run_sql(database_url, "select count(*) from notifications where not consumed") == [(0,)]


@pytest.mark.parametrize("name", NAMES)
def test_connections_that_break_while_somebody_waits(
    start_on: Start, proxy: PostgresProxy, postgres_url: str, name: str
) -> None:
    """Every connection is cut while one waits for a message and another for an event; then the server goes away."""
    receiver, sender = start_on(proxy.url, executor_id="a"), start_on(postgres_url, executor_id="b")
    receiver.call("start", name, "w", 2)
    waiting = [receiver.begin("event_at", "w", f"got {number}") for number in range(2)]
    eventually(lambda: run_sql(postgres_url, "select 1 from operation_outputs where function_id = 2"))
    proxy.cut_now()
    sender.call("send", "w", "first")
    waiting[0].result(30)
    proxy.refuse()
    proxy.cut_now()
    sender.call("send", "w", "second")
    proxy.heal()
    waiting[1].result(30)
    assert sender.call("result", "w") == ["first", "second"]
    assert [text for (text,) in received(postgres_url, "w")] == ['"first"', '"second"']


def test_notifications_that_are_doubled_late_or_nonsense_change_nothing(start_on: Start, postgres_url: str) -> None:
    receiver = start_on(postgres_url)
    receiver.call("start", "collect_async", "w", 3, "t")
    with psycopg.connect(postgres_url, autocommit=True, prepare_threshold=None) as stranger:
        for number in range(3):
            for text in (DOUBLED, '["s", "message", ["nonsense", "[1]"]]', '["s", "event", ["w"]]'):
                stranger.execute("select pg_notify('dbos dbos', %s)", (text,))
            receiver.call("send", "w", number, "t")
            stranger.execute("select pg_notify('dbos dbos', %s)", (DOUBLED,))
    assert receiver.call("result", "w") == [0, 1, 2]


def test_doubled_and_late_notifications_of_values_events_and_ends_change_nothing(
    start_on: Start, postgres_url: str
) -> None:
    here, there = start_on(postgres_url, executor_id="a"), start_on(postgres_url, executor_id="b")
    hints = [
        ("stream", place("r", "relayed")),
        ("event", place("w", "got 0")),
        ("event", place("w", "got 1")),
        ("workflow", "r"),
        ("workflow", "w"),
    ]

    def notify_again(stranger: psycopg.Connection[Any]) -> None:
        for kind, identifier in hints * 2:
            stranger.execute("select pg_notify('dbos dbos', %s)", (json.dumps(["s", kind, [identifier]]),))

    there.call("start", "relay", "r", 2)
    there.call("start", "collect", "w", 2)
    reading = [here.begin("read_stream", "r", "relayed", in_a_coroutine) for in_a_coroutine in (False, True)]
    heard = [here.begin("event_at", "w", f"got {number}") for number in range(2)]
    ended = here.begin("result", "w")
    with psycopg.connect(postgres_url, autocommit=True, prepare_threshold=None) as stranger:
        for number in range(2):
            notify_again(stranger)  # of what has not happened yet, or happened long ago
            assert not ended.done()
            assert not heard[number].done()
            assert not any(each.done() for each in reading)
            for workflow_id in ("r", "w"):
                there.call("send", workflow_id, number)
            heard[number].result(20)
        assert ended.result(20) == [0, 1]
        notify_again(stranger)
    assert [each.result(20) for each in reading] == [[0, 1], [0, 1]]


@pytest.mark.own_session("there nobody is heard at once")
def test_another_process_is_heard_soon(start: Start) -> None:
    """Milliseconds usually; a generous bound here, which polling alone would break most of the time."""
    receiver = start(executor_id="a", notification_listener_polling_interval_sec=30.0)
    sender = start(executor_id="b", notification_listener_polling_interval_sec=30.0)
    receiver.call("start", "collect_async", "w", 5)
    receiver.call("start", "relay", "r", 5)
    ended = sender.begin("result", "r")
    begun = time.monotonic()
    for number in range(5):
        heard = sender.begin("event_at", "w", f"got {number}")
        read = sender.begin("stream_value", "r", "relayed", number)
        for workflow_id in ("w", "r"):
            sender.call("send", workflow_id, number)
        heard.result(20)
        assert read.result(20) == number
    assert ended.result(20) is None
    assert time.monotonic() - begun < 20
    assert receiver.call("result", "w") == [0, 1, 2, 3, 4]
