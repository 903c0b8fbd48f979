"""A notification is a hint: with all of them lost, everything still works, at the pace of polling."""

import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.processes.conftest import Start
from tests.support.proxy import PostgresProxy
from tests.support.waiting import at_best, eventually
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
    numbers = itertools.count()

    def time_of_an_end() -> float:
        workflow_id = f"gated-{next(numbers)}"
        its_gate = gate.with_name(workflow_id)
        runner.call("start", "gated", workflow_id, str(its_gate))
        waiting = other.begin("result_at", workflow_id)
        eventually(lambda: len(ledger.begun(workflow_id)) == 2)
        its_gate.touch()
        runner.call("result", workflow_id)
        heard_at: float = waiting.result(30)
        return heard_at - ledger.read(workflow_id)[-1].at

    def time_of_a_cancellation() -> float:
        workflow_id = f"doze-{next(numbers)}"
        runner.call("start", "doze", workflow_id, 60)
        heard = runner.begin("result", workflow_id)
        eventually(lambda: ledger.begun(workflow_id))
        cancelled_at: float = other.call("cancel", workflow_id)
        with pytest.raises(WorkerError, match="DBOSAwaitedWorkflowCancelledError"):
            heard.result(30)
        return time.monotonic() - cancelled_at

    def time_of_a_message(name: str) -> float:
        workflow_id = f"{name}-{next(numbers)}"
        runner.call("start", name, workflow_id, 1)
        waiting = other.begin("event_at", workflow_id, "got 0")
        sent_at: float = other.call("send", workflow_id, "hello")
        assert runner.call("result", workflow_id) == ["hello"]
        heard_at: float = waiting.result(30)
        return heard_at - sent_at

    def time_of_a_value() -> float:
        workflow_id = f"relay-{next(numbers)}"
        runner.call("start", "relay", workflow_id, 1)
        reading = [other.begin("read_stream", workflow_id, "relayed", as_coroutine) for as_coroutine in (False, True)]
        sent_at: float = other.call("send", workflow_id, "hello")
        assert [each.result(30) for each in reading] == [["hello"]] * 2
        return time.monotonic() - sent_at

    once = POLLING_SECONDS + SLACK_SECONDS
    measures: list[tuple[Callable[[], float], int]] = [
        (time_of_an_end, 1),
        (time_of_a_cancellation, 1),
        (partial(time_of_a_message, "collect"), 2),  # heard there, and heard of here
        (partial(time_of_a_message, "collect_async"), 2),
        (time_of_a_value, 3),  # the message is received, the value read, and the end of the workflow noticed
    ]
    for measure, times in measures:
        assert at_best(measure, times * once) < times * once

    last_doze = max(entry.workflow_id for entry in ledger.begun() if entry.workflow_id.startswith("doze"))
    other.call("resume", last_doze)  # whoever runs it next, it sleeps on: nobody is waiting for an hour
    other.call("cancel", last_doze)
