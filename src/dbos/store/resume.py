"""Reopening workflows: a failed one forgets failures that nothing was built upon, and runs on from what it completed.

Replaying the checkpoint of such a failure would only fail again. If it is the result of a child that failed, the child
is reopened as well. Which failures these are is a rule of the model (model/resuming.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from dbos.error import DBOSNonExistentWorkflowError
from dbos.model.resuming import EndedStep, steps_to_forget
from dbos.model.workflow import INTERNAL_QUEUE, Status
from dbos.store.pool import Run

GET_RESULT = "DBOS.getResult"  # the step that records what a child returned or raised


def resume(run: Run, ids: Sequence[str], queue_name: str) -> list[str]:
    """Reopen workflows in one transaction; the ids of all that were, children included."""
    rows = run("lock_to_resume", ids=json.dumps(ids))
    missing = [workflow_id for workflow_id in ids if workflow_id not in {row[0] for row in rows}]
    if missing:
        raise DBOSNonExistentWorkflowError("target", ", ".join(missing))
    children: set[str] = set()
    for workflow_id, status in rows:
        if status == Status.ERROR:
            children |= _forget_failures(run, workflow_id)
    reopened = [row[0] for row in run("resume", ids=json.dumps(ids), queue_name=queue_name)]
    return reopened + _reopen_failed(run, sorted(children - set(ids)))


def _reopen_failed(run: Run, ids: Sequence[str]) -> list[str]:
    """Reopen those children that are in ERROR, and theirs, one generation after the other."""
    if not ids:
        return []
    failed = {row[0] for row in run("lock_to_resume", ids=json.dumps(ids)) if row[1] == Status.ERROR}
    return resume(run, sorted(failed), INTERNAL_QUEUE) if failed else []


def _forget_failures(run: Run, workflow_id: str) -> set[str]:
    """Drop the checkpoints of the failures that nothing was built upon; the children whose failures they were."""
    steps = [EndedStep(*row) for row in run("ended_steps", workflow_id=workflow_id)]
    dropped = steps_to_forget(steps)
    if dropped:
        run("forget_steps", workflow_id=workflow_id, step_ids=json.dumps([str(step.step_id) for step in dropped]))
    return {step.child_workflow_id for step in dropped if step.name == GET_RESULT and step.child_workflow_id}
