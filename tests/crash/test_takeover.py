"""Taking over in the very moment a workflow begins, and what a takeover must not make slow."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from dbos import DBOS, SetWorkflowID, SetWorkflowTimeout
from dbos.api import launched
from dbos.error import DBOSAwaitedWorkflowCancelledError
from dbos.runtime.context import Attempt
from tests.support.waiting import Gate, at_best

LEASE_SECONDS = 60.0  # far longer than the tests: nothing here may depend on a lease that runs out


@pytest.mark.timeout(30)
def test_a_workflow_taken_over_before_it_began_is_run_by_the_newer_attempt(
    launch: Callable[..., type[DBOS]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()

    @DBOS.step()
    def work() -> str:
        gate.pass_through()
        return "done"

    @DBOS.workflow()
    def begin_twice() -> str:
        return work()

    launch(executor_lease_sec=LEASE_SECONDS)
    engine = launched.current_engine()
    begin = engine.begin
    late: list[Attempt] = []

    def begin_late(attempt: Attempt) -> None:
        if attempt.epoch == 1 and not late:
            late.append(attempt)
            DBOS._recover_pending_workflows(["local"])
            gate.wait_for_arrival()
        begin(attempt)

    monkeypatch.setattr(engine, "begin", begin_late)
    with gate:
        with SetWorkflowID("twice"):
            handle = DBOS.start_workflow(begin_twice)
        running = engine.attempt_of("twice")
        assert running is not None
        assert running.epoch == 2
        gate.open()
        assert handle.get_result() == "done"


def test_the_deadline_of_an_adopted_workflow_is_kept_to_the_point(launch: Callable[..., type[DBOS]]) -> None:
    @DBOS.workflow()
    def sleeper() -> None:
        DBOS.sleep(30)

    def delay_ms() -> float:
        launch(executor_lease_sec=LEASE_SECONDS)
        with SetWorkflowTimeout(0.4):
            handle = DBOS.start_workflow(sleeper)
        deadline_ms = handle.get_status().workflow_deadline_epoch_ms
        launch(executor_lease_sec=LEASE_SECONDS)
        with pytest.raises(DBOSAwaitedWorkflowCancelledError):
            DBOS.get_result(handle.workflow_id)
        assert deadline_ms is not None
        delay_ms = time.time() * 1000 - deadline_ms
        assert delay_ms >= 0
        return delay_ms

    assert at_best(delay_ms, 500) <= 500  # half of a sweep
