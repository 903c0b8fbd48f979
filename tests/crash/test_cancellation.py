"""Cancelling while things happen: what the crash scenarios ran into, pinned down one race at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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


def test_cancel_reaches_a_child_that_is_started_meanwhile(
    launch: Callable[..., type[DBOS]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    listed: list[Any] = []

    @DBOS.workflow()
    def child() -> None:
        DBOS.sleep(LONG_SECONDS)

    @DBOS.step()
    def wait() -> None:
        gate.pass_through()

    @DBOS.workflow()
    def parent() -> None:
        wait()
        with SetWorkflowID("late"):
            child()

    launch()
    engine = launched.current_engine()
    list_children = engine.store.workflows.children

    def list_then_let_the_child_start(ids: Sequence[str]) -> list[str]:
        children = list_children(ids)
        listed.append(children)
        if len(listed) == 1:
            gate.open()
            eventually(lambda: status("late") or status("parent") == "CANCELLED")
        return children

    monkeypatch.setattr(engine.store.workflows, "children", list_then_let_the_child_start)
    with gate:
        with SetWorkflowID("parent"):
            DBOS.start_workflow(parent)
        gate.wait_for_arrival()
        DBOS.cancel_workflow("parent", cancel_children=True)
    assert status("parent") == "CANCELLED"
    assert status("late") in (None, "CANCELLED")
