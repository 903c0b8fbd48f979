"""Waits of every other kind, over connections that break: for results, the first of several, values, events, the time.

What waits for messages is in test_message_faults.py, with plain code that waits for events, and readers outside of
workflows are in test_stream_faults.py.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.processes.conftest import Start
from tests.support.proxy import PostgresProxy
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

ANSWERS = {"get_result": None, "wait_first": "w", "read_stream": [0, 1], "get_event": 2}
SLEPT = (
    "select cast(output as double precision) < extract(epoch from clock_timestamp())"
    " from operation_outputs where workflow_uuid = 'sleep'"
)


def recorded(database_url: str) -> Counter[str]:
    """How many steps of each workflow are on record."""
    return Counter(dict(run_sql(database_url, "select workflow_uuid, count(*) from operation_outputs group by 1")))


@pytest.mark.parametrize("name", ["await_by", "await_by_async"])
def test_connections_that_break_inside_every_wait(start_on: Start, postgres_url: str, name: str) -> None:
    """First all are cut; then the server is away while what they wait for happens, and a sleep ends."""
    with PostgresProxy(postgres_url) as proxy:
        here, there = start_on(proxy.url, executor_id="a"), start_on(postgres_url, executor_id="b")
        there.call("start", "relay", "w", 2)
        for way in ANSWERS:
            here.call("start", name, way, way, "w")
        outside = here.begin("result", "w")
        eventually(lambda: set(here.call("waiting")) == {*ANSWERS})
        proxy.cut_now()
        there.call("send", "w", 0)
        eventually(lambda: recorded(postgres_url)["read_stream"] == 1)

        here.call("start", name, "sleep", "sleep", "w")
        eventually(lambda: recorded(postgres_url)["sleep"] == 1)
        proxy.refuse()
        proxy.cut_now()
        there.call("send", "w", 1)
        there.call("result", "w")
        eventually(lambda: run_sql(postgres_url, SLEPT) == [(True,)])
        assert not outside.done()
        proxy.heal()

        assert outside.result(30) is None
        assert {way: here.call("result", way) for way in ANSWERS} == ANSWERS
        assert here.call("result", "sleep") > 0.49  # by the database's clock, read anew over the new connection
    rows = run_sql(postgres_url, "select epoch, recovery_attempts from workflow_status")
    assert rows == [(1, 1)] * (len(ANSWERS) + 2), "a wait was given up, and its workflow begun again"
    steps = recorded(postgres_url)
    expected = {"get_result": 1, "wait_first": 2, "read_stream": 3, "get_event": 2, "sleep": 1}
    assert {each: steps[each] for each in expected} == expected
