"""Rewinding workflows: a finished one runs again from one of its steps on, under its own id."""

from __future__ import annotations

from dbos.model.workflow import Status
from dbos.runtime.context import Attempt, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation, Outcome
from dbos.runtime.step import outcome_as_step
from dbos.store.rewinding import Rewind

REWIND = "DBOS.rewindWorkflow"


def rewind(engine: Engine, asked: Rewind) -> Operation[str]:
    """Rewind a workflow; its id. From the body of a workflow it is a step.

    The token names that step: a replay after a crash before the step was recorded finds the workflow rewound.
    Raises DBOSNonExistentWorkflowError, and DBOSException for a workflow that is not finished.
    """
    caller = workflow_body()
    step_id = None if caller is None else caller.next_step_id()
    token = engine.new_token() if caller is None or step_id is None else caller.token_of(step_id)
    outcome = yield from outcome_as_step(REWIND, _rewind(engine, caller, asked, token), step_id=step_id)
    return outcome.unwrap()


def _rewind(engine: Engine, caller: Attempt | None, asked: Rewind, token: str) -> Operation[Outcome[str]]:
    guard = None if caller is None else (caller.workflow_id, caller.epoch)
    before = engine.attempt_of(asked.workflow_id)
    while (changed := (yield Ask(engine.store.workflows.rewind, asked, token, guard))) is None:
        if caller is not None:
            yield from caller.verify_refused()
    if changed:
        engine.supersede(asked.workflow_id, Status.PENDING, before)
    engine.announce_enqueued(asked.queue_name)
    return Outcome(asked.workflow_id)
