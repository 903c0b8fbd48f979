"""Cancelling while things happen: what the crash scenarios ran into, pinned down one race at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from dbos import DBOS, SetWorkflowID
from dbos.api import launched
from dbos.error import DBOSAwaitedWorkflowCancelledError
from tests.support.waiting import Gate, eventually

LONG_SECONDS = 30.0


def status(workflow_id: str) -> str | None:
    found = DBOS.get_workflow_status(workflow_id)
    return found and found.status


def test_whoever_waits_for_a_cancelled_workflow_hears_of_it_while_its_body_still_runs(
    launch: Callable[..., type[DBOS]],
) -> None:
    gate = Gate()

    @DBOS.step()
    def stuck() -> None:
        gate.pass_through()

    @DBOS.workflow()
    def work() -> None:
        stuck()

    launch()
    with gate:
        handle = DBOS.start_workflow(work)
        gate.wait_for_arrival()
        DBOS.cancel_workflow(handle.workflow_id)
        with pytest.raises(DBOSAwaitedWorkflowCancelledError):
            handle.get_result()
        assert gate.passes == 1


def test_cancel_reaches_a_grandchild_that_is_started_meanwhile(
    launch: Callable[..., type[DBOS]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    listings: list[list[str]] = []

    @DBOS.workflow()
    def grandchild() -> None:
        DBOS.sleep(LONG_SECONDS)

    @DBOS.step()
    def wait() -> None:
        gate.pass_through()

    @DBOS.workflow()
    def child() -> None:
        wait()
        with SetWorkflowID("late"):
            grandchild()

    @DBOS.workflow()
    def parent() -> None:
        child()

    launch()
    workflows = launched.current_engine().store.workflows
    list_children = workflows.children

    def list_then_let_the_child_go_on(ids: Sequence[str]) -> list[str]:
        listings.append(list_children(ids))
        if len(listings) == 1:
            gate.open()
            eventually(lambda: status("late"))
        return listings[-1]

    monkeypatch.setattr(workflows, "children", list_then_let_the_child_go_on)
    with gate:
        with SetWorkflowID("parent"):
            DBOS.start_workflow(parent)
        gate.wait_for_arrival()
        DBOS.cancel_workflow("parent", cancel_children=True)
    assert [status(each) for each in ("parent", "parent-1", "late")] == ["CANCELLED"] * 3
