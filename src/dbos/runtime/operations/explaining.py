"""Why a workflow stands where it stands."""

from __future__ import annotations

from dbos.error import DBOSException, DBOSNonExistentWorkflowError
from dbos.model.reasons import Circumstances, Reason, reasons
from dbos.model.workflow import StepRow, WorkflowRow
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation
from dbos.runtime.timeouts import SLEEP


def explain_workflow(engine: Engine, workflow_id: str) -> Operation[list[Reason]]:
    """Why a workflow stands where it stands, the first thing first, each with what can be done.

    Raises DBOSNonExistentWorkflowError.
    """
    row: WorkflowRow | None = yield Ask(engine.store.workflows.load, workflow_id)
    seen: Circumstances | None = None
    if row is not None:
        seen = yield Ask(engine.store.surroundings.around, row)
    if row is None or seen is None:
        raise DBOSNonExistentWorkflowError("target", workflow_id)
    step: StepRow | None = yield Ask(engine.store.surroundings.last_step, workflow_id)
    if step is not None:
        seen = seen._replace(last_step=step.function_name, wakes_at_ms=_wakes_at_ms(engine, step))
    return reasons(row, seen)


def _wakes_at_ms(engine: Engine, step: StepRow) -> int | None:
    """When a sleep ends, if the step is one."""
    if step.function_name != SLEEP or step.output is None:
        return None
    try:
        return round(float(engine.codec.decode(step.output, step.serialization)) * 1000)
    except (DBOSException, TypeError, ValueError):  # of another serializer
        return None
