"""Telling everybody what was done to workflows from outside: the attempts that ran here, who waits, other processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dbos.model.workflow import Status
from dbos.runtime.context import Attempt
from dbos.runtime.engine import Engine


def running_here(engine: Engine, workflow_ids: Sequence[str]) -> dict[str, Attempt | None]:
    """The attempts that a change of these workflows ends. To be asked before the change: after it others may run."""
    return {workflow_id: engine.attempt_of(workflow_id) for workflow_id in workflow_ids}


def announce_cancelled(engine: Engine, workflow_ids: Sequence[str], before: Mapping[str, Attempt | None]) -> None:
    """These were cancelled; `before` are the attempts that ran here before that."""
    for workflow_id in workflow_ids:
        engine.supersede(workflow_id, Status.CANCELLED, before.get(workflow_id))
        engine.waiters.wake("workflow", workflow_id)
    engine.store.hints.publish("cancelled", workflow_ids)


def announce_deleted(engine: Engine, workflow_ids: Sequence[str], before: Mapping[str, Attempt]) -> None:
    """These are gone; `before` are the attempts that ran here before that."""
    for workflow_id in workflow_ids:
        engine.supersede(workflow_id, Status.PENDING, before.get(workflow_id))
        engine.waiters.wake("workflow", workflow_id)
    engine.store.hints.publish("deleted", workflow_ids)
