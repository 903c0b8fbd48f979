"""Attempts of workflows whose rows this process has claimed: recovered, resumed or dequeued ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import Context
from functools import partial
from typing import Any

from dbos.model.workflow import Status, StepRow, WorkflowRow
from dbos.runtime.background import Run, run_all_in_background
from dbos.runtime.context import Attempt
from dbos.runtime.executor import Executor
from dbos.runtime.identity import enter_identity
from dbos.runtime.registry import Target
from dbos.runtime.roles import identity_of, reauthorize
from dbos.runtime.workflow import body, outcome_format
from dbos.store.records import FinishWorkflow
from dbos.telemetry.carrier import stored

logger = logging.getLogger("dbos")


def run_claimed(engine: Executor, rows: Sequence[WorkflowRow], in_slots: bool = False) -> list[str]:
    """Run workflows this process has claimed. One that cannot run is logged and set aside; it never stops the others.

    From a queue, it goes back there for whoever can run it. `in_slots`: their queue is limited, and wants to know when
    they end. Returns the ids that run now.
    """
    with_history = [row.workflow_uuid for row in rows if _may_have_history(row)]
    histories = engine.store.steps.history(with_history) if with_history else {}
    runs: list[Run] = []
    for row in rows:
        try:
            run = _prepare(engine, row, histories.get(row.workflow_uuid, ()), in_slots)
            if run is not None:
                runs.append(run)
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # stored values may raise anything when loaded
            _set_aside(engine, row, error)
    run_all_in_background(runs)
    return [run.attempt.workflow_id for run in runs]


def _set_aside(engine: Executor, row: WorkflowRow, error: BaseException) -> None:
    """Say why a workflow cannot be run here, and keep the sweeps from trying again. Its slot in a queue is free."""
    stays = row.status if row.queue_name is None else f"on queue {row.queue_name}"
    logger.error("Workflow %s (%s) cannot be run; it stays %s", row.workflow_uuid, row.name, stays, exc_info=error)
    engine.set_aside[row.workflow_uuid] = row.epoch
    if row.queue_name is not None:
        engine.set_aside[row.workflow_uuid] = row.epoch + 1
        engine.store.claims.give_back(row.workflow_uuid, row.epoch, engine.owner.instance, False)
        engine.announce_enqueued(row.queue_name)


def _may_have_history(row: WorkflowRow) -> bool:
    """Rows are enqueued at epoch 0 or, under an id that was used before, a later one. Only a fork begins with steps."""
    return row.epoch > 1 or row.forked_from is not None


def _prepare(engine: Executor, row: WorkflowRow, history: Sequence[StepRow], in_slot: bool) -> Run | None:
    """The attempt of a claimed row; None if there have been too many, which ends the workflow."""
    target = engine.registry.find(row.name, row.class_name, row.config_name)
    spec = target.function.workflow
    attempt = Attempt(
        engine,
        row.workflow_uuid,
        row.name,
        row.epoch,
        row.workflow_deadline_epoch_ms,
        identity_of(row),
        {step.function_id: step for step in history},
        row.owner_xid or "",
        # A resume counts attempts anew, a claim adds one to both. (Whoever goes back to its queue adds one to the epoch
        # alone: what failed just before is then tried again, which is harmless, as it was taken back.)
        row.epoch - row.recovery_attempts,
    )
    attempt.format = outcome_format(target, row.serialization)
    attempt.queue_name = row.queue_name
    if engine.tracing is not None:
        attempt.carrier = stored(row.attributes)
    if in_slot and row.queue_name is not None:
        attempt.slot = row.queue_name, row.queue_partition_key
    limit = None if spec is None else spec.max_recovery_attempts
    if limit is not None and row.recovery_attempts > limit + 1:
        _give_up(attempt, limit)
        return None
    args, kwargs = engine.codec.decode_inputs(row.inputs or "", row.serialization)
    call = partial(_checked, attempt, target, args, kwargs)
    engine.expect_deadline(attempt.deadline_ms)
    return Run(attempt, call, target.function.is_async, Context())


def _checked(attempt: Attempt, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Whoever may not run it, and inputs that are not valid, fail the workflow, like anything its body raises."""
    function = target.function
    if function.required_roles:
        attempt.identity = reauthorize(function, attempt.identity)
        enter_identity(attempt.identity)
    return body(attempt, target, *target.validated(args, kwargs))()


def _give_up(attempt: Attempt, limit: int) -> None:
    """Too many attempts have died with this workflow: put it aside for good, until somebody resumes it."""
    status = Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED
    record = FinishWorkflow(attempt.workflow_id, attempt.epoch, status, None, None, None)
    (written,) = attempt.engine.store.journal.write((record,))
    if written is not None:
        attempt.engine.metrics.workflows_finished.add(attempt.name, status)
    attempt.engine.end(attempt)
    attempt.engine.store.hints.publish("workflow", (attempt.workflow_id,))
    logger.error(
        "Workflow %s (%s) exceeded its maximum of %d recovery attempts; DBOS.resume_workflow() runs it again",
        attempt.workflow_id,
        attempt.name,
        limit,
    )
