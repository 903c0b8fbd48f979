"""A notification is a hint: with all of them lost, everything still works, at the pace of polling."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.conftest import Start
from tests.support.proxy import PostgresProxy
from tests.support.waiting import eventually
from tests.support.worker_ledger import Ledger
from tests.support.workers import Worker, WorkerError

POLLING_SECONDS = 1.0  # the floor
SLACK_SECONDS = 2.0  # for a busy machine


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres_url) as proxy:
        yield proxy


DROPPED = pytest.param("dropped on the way", marks=pytest.mark.own_session("there is nothing to drop"))


@pytest.fixture(params=[DROPPED, "not asked for"])
def pair(
    request: pytest.FixtureRequest, start_on: Start, proxy: PostgresProxy, postgres_url: str
) -> Iterator[tuple[Worker, Worker]]:
    """Two executors that hear nothing of each other."""
    if request.param == "not asked for":
        yield start_on(postgres_url, use_listen_notify=False), start_on(postgres_url, use_listen_notify=False)
        return
    proxy.drop_notifications()
    yield start_on(proxy.url), start_on(proxy.url)
    assert proxy.notifications_dropped > 0, "nobody notified: the test proves nothing"


def test_everything_works_by_polling(pair: tuple[Worker, Worker], ledger: Ledger, gate: Path) -> None:
    runner, other = pair

    runner.call("start", "gated", "gated", str(gate))
    waiting = other.begin("result_at", "gated")
    eventually(lambda: len(ledger.begun("gated")) == 2)
    gate.touch()
    runner.call("result", "gated")
    assert waiting.result(30) - ledger.read("gated")[-1].at < POLLING_SECONDS + SLACK_SECONDS

    runner.call("start", "doze", "doze", 60)
    heard = runner.begin("result", "doze")
    eventually(lambda: ledger.begun("doze"))
    cancelled_at = other.call("cancel", "doze")
    with pytest.raises(WorkerError, match="DBOSAwaitedWorkflowCancelledError"):
        heard.result(30)
    assert time.monotonic() - cancelled_at < POLLING_SECONDS + SLACK_SECONDS

    for name in ("collect", "collect_async"):
        runner.call("start", name, name, 1)
        waiting = other.begin("event_at", name, "got 0")
        sent_at = other.call("send", name, "hello")
        assert runner.call("result", name) == ["hello"]
        assert waiting.result(30) - sent_at < 2 * (POLLING_SECONDS + SLACK_SECONDS)  # heard there, and heard of here

    runner.call("start", "relay", "relay", 1)
    reading = [other.begin("read_stream", "relay", "relayed", in_a_coroutine) for in_a_coroutine in (False, True)]
    other.call("send", "relay", "hello")
    for each in reading:  # the message is received, the value read, and the end of the workflow noticed
        assert each.result(3 * (POLLING_SECONDS + SLACK_SECONDS)) == ["hello"]

    other.call("resume", "doze")  # whoever runs it next, it sleeps on: nobody is waiting for an hour
    other.call("cancel", "doze")
