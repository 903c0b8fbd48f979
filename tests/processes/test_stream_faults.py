"""Streams between processes that die, and over connections that break, while somebody reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes.conftest import Start
from tests.support.proxy import PostgresProxy
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

WRITERS = ["relay", "relay_async"]
COUNT = 20


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres_url) as proxy:
        yield proxy


def written(database_url: str) -> int:
    number: int = run_sql(database_url, "select count(*) from streams where workflow_uuid = 'w'")[0][0]
    return number


@pytest.mark.parametrize("name", WRITERS)
def test_a_reader_elsewhere_gets_every_value_once_though_the_writer_is_killed(
    start: Start, database_url: str, name: str
) -> None:
    reader = start(executor_id="reader")
    writer = start(executor_id="writer")
    writer.call("start", name, "w", COUNT)
    reading = [reader.begin("read_stream", "w", "relayed", in_a_coroutine) for in_a_coroutine in (False, True)]
    for number in range(COUNT):
        reader.call("send", "w", number)
        if number == COUNT // 2:
            eventually(lambda: written(database_url) >= COUNT // 4)
            writer.kill()
            writer = start(executor_id="writer")
    for each in reading:
        assert each.result(30) == list(range(COUNT))


@pytest.mark.parametrize("name", WRITERS)
def test_connections_that_break_while_somebody_writes_and_reads(
    start_on: Start, proxy: PostgresProxy, postgres_url: str, name: str
) -> None:
    """In the middle of waits, before a write arrives, and after it was committed."""
    here, sender = start_on(proxy.url, executor_id="a"), start_on(postgres_url, executor_id="b")
    here.call("start", name, "w", 4)
    reading = [here.begin("read_stream", "w", "relayed", in_a_coroutine) for in_a_coroutine in (False, True)]
    proxy.cut_now()
    sender.call("send", "w", 0)
    eventually(lambda: written(postgres_url) == 1)
    proxy.cut_now()
    for number, phase in enumerate(("before", "after"), 1):
        cut = proxy.cut_at(1, phase, containing="append_to_stream(")  # type: ignore[arg-type]
        sender.call("send", "w", number)
        eventually(lambda number=number: written(postgres_url) == number + 1)  # type: ignore[misc]
        assert cut.done.wait(10)  # the row can be seen before the proxy has cut
    sender.call("send", "w", 3)
    for each in reading:
        assert each.result(30) == [0, 1, 2, 3]
