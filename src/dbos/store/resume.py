"""Reopening workflows: what a failed one has to forget so that it runs on from its last completed step.

A workflow fails because of an error that some step recorded (unless the body itself raised). Replaying that checkpoint
would only fail again, so it is dropped, and if it is the result of a child that failed, the child is reopened as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dbos.error import DBOSNonExistentWorkflowError
from dbos.model.workflow import INTERNAL_QUEUE, Status
from dbos.store.pool import Run

GET_RESULT = "DBOS.getResult"  # the step that records what a child returned or raised


@dataclass(frozen=True, slots=True)
class EndedStep:
    """How a step ended: `error` is the stored error, None if it completed."""

    step_id: int
    name: str
    error: str | None
    child_workflow_id: str | None


def resume(run: Run, ids: Sequence[str], queue_name: str) -> list[str]:
    """Reopen workflows in one transaction; the ids of all that were, children included."""
    rows = run("lock_to_resume", ids=json.dumps(ids))
    missing = [workflow_id for workflow_id in ids if workflow_id not in {row[0] for row in rows}]
    if missing:
        raise DBOSNonExistentWorkflowError("target", ", ".join(missing))
    children: set[str] = set()
    for workflow_id, status, error in rows:
        if status == Status.ERROR:
            children |= _forget_failure(run, workflow_id, error)
    reopened = [row[0] for row in run("resume", ids=json.dumps(ids), queue_name=queue_name)]
    return reopened + _reopen_failed(run, sorted(children - set(ids)))


def _reopen_failed(run: Run, ids: Sequence[str]) -> list[str]:
    """Reopen those children that are in ERROR, and theirs, one generation after the other."""
    if not ids:
        return []
    failed = {row[0] for row in run("lock_to_resume", ids=json.dumps(ids)) if row[1] == Status.ERROR}
    return resume(run, sorted(failed), INTERNAL_QUEUE) if failed else []


def _forget_failure(run: Run, workflow_id: str, error: str | None) -> set[str]:
    """Drop the checkpoints that recorded the failure; the children whose failure they were."""
    steps = [EndedStep(*row) for row in run("failures", workflow_id=workflow_id)]
    dropped = steps_of_failure(steps, error)
    if dropped:
        run("forget_steps", workflow_id=workflow_id, step_ids=json.dumps([str(step.step_id) for step in dropped]))
    return {step.child_workflow_id for step in dropped if step.name == GET_RESULT and step.child_workflow_id}


def steps_of_failure(steps: Sequence[EndedStep], error: str | None) -> list[EndedStep]:
    """Which of the steps, in order, made a workflow fail with `error`.

    Those that failed after the last one that completed. If there are none, the failure came from an earlier step whose
    error was caught, or kept while others completed (`gather`): the last one with the very error of the workflow, else
    the last one that failed at all. A workflow whose body raised by itself has none.
    """
    last_completed = max((place for place, step in enumerate(steps) if step.error is None), default=-1)
    tail = list(steps[last_completed + 1 :])
    if tail:
        return tail
    failed = [step for step in steps if step.error is not None]
    same = [step for step in failed if step.error == error]
    return (same or failed)[-1:]
