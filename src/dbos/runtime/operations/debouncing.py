"""Debouncing: a workflow starts when its input has stopped arriving, with the last one.

The waiting workflow is a DELAYED row whose deduplication id is the key. A call replaces its inputs and postpones it, or
writes a new row, in one statement (`Debounce` in journal.sql): every call that returns has its inputs in the row that
will run, and the lock of that row decides between a call and the start.
"""

from __future__ import annotations

from typing import Any

from dbos.error import DBOSException, DBOSQueueDeduplicatedError, DBOSStepNondeterminismError, DBOSWorkflowIDInUseError
from dbos.fields import NamedTuple, replace
from dbos.model.ids import child_id
from dbos.model.placement import Placement
from dbos.model.workflow import StepRow, WorkflowRow
from dbos.runtime.admission import REFUSALS, Started, Ticket, asking_parent, require_same, take_id
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Commit, Operation, Outcome
from dbos.runtime.queued import names_of, queued_row
from dbos.runtime.registry import Names, Target
from dbos.runtime.requests import Requests, current_requests
from dbos.runtime.step import commit, encode, record
from dbos.store.database import KeyTaken
from dbos.store.records import Checkpoint, CheckpointDebounce, Debounce, StartWorkflow


class Debounced(NamedTuple):
    """What is debounced, where it waits, and for how long from the first call at most."""

    callee: Target | Names
    queue_name: str
    longest_delay_seconds: float | None = None


def debounce(
    engine: Engine,
    debounced: Debounced,
    key: str,
    period_seconds: float,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    asked: Requests | None = None,
) -> Operation[Started]:
    """Let the workflow of this key start in `period_seconds`, with these arguments, unless another call comes before.

    Returns the workflow that has the arguments. What is asked besides counts for the first call of a cycle alone. In a
    workflow it is a child, as if it had been enqueued.

    Raises DBOSQueueDeduplicatedError if something else holds the deduplication id, and DBOSConflictingWorkflowError or
    DBOSWorkflowIDInUseError about an id that was asked for.
    """
    asked = asked or current_requests()
    names = names_of(debounced.callee)
    asked = asked._replace(placement=_placement(asked.placement, names, key))
    parent = asking_parent(engine, "debounce", names)
    step_id = 0 if parent is None else parent.next_step_id()
    workflow_id, policy = take_id(asked)
    if parent is None:
        ticket = Ticket(workflow_id or engine.new_id(), engine.new_token())
    else:
        recorded = parent.recorded(step_id, names.workflow)
        if recorded is not None:
            return _replayed(parent, recorded)
        if parent.must_verify():
            yield from parent.verify()
        ticket = Ticket(workflow_id or child_id(parent.workflow_id, step_id), parent.token_of(step_id), parent)
    row = queued_row(engine, debounced.queue_name, debounced.callee, args, kwargs, asked, ticket)
    call = _call(row, period_seconds, debounced.longest_delay_seconds)
    if parent is None:
        accepted = yield from _write(engine, call, policy)
    else:
        accepted = yield from _write_as_step(engine, parent, step_id, call, policy)
    if accepted == row.workflow_id:  # a new row: the next start may come sooner now
        engine.announce_enqueued(debounced.queue_name)
    return Started(accepted)


def _placement(asked: Placement, names: Names, key: str) -> Placement:
    """The place in the queue under the key. Raises DBOSException for what a debouncer decides itself."""
    own = [name for name in ("deduplication_id", "duplication_policy", "delay_seconds") if getattr(asked, name)]
    if own:
        raise DBOSException(f"A debouncer decides on {' and '.join(own)} itself: leave that out")
    instance = "" if names.config_name is None else f"-{names.config_name}"
    return replace(asked, deduplication_id=f"{names.workflow}{instance}-{key}")


def _call(row: StartWorkflow, period_seconds: float, longest_delay_seconds: float | None) -> Debounce:
    values = row._asdict()
    shared = {name: values[name] for name in Debounce._fields if name in values}
    longest_ms = None if longest_delay_seconds is None else round(longest_delay_seconds * 1000)
    return Debounce(**shared, period_ms=round(period_seconds * 1000), longest_delay_ms=longest_ms)


def _replayed(parent: Attempt, recorded: StepRow) -> Started:
    if recorded.error is not None:
        raise parent.engine.codec.decode_error(recorded.error, recorded.serialization)
    return Started(recorded.child_workflow_id or "")


# ---------------------------------------------------------------- having a call accepted


def _write(engine: Engine, call: Debounce, policy: str | None) -> Operation[str]:
    """Have a call accepted. Returns the workflow that has its inputs."""
    while True:
        try:
            (answer,) = yield Commit(call)
        except KeyTaken:  # another workflow got the id in this very moment
            answer = None
        found = answer[0] if answer is not None else (yield from _find(engine, call, policy))
        if isinstance(found, str):
            return found
        call = found


def _write_as_step(engine: Engine, parent: Attempt, step_id: int, call: Debounce, policy: str | None) -> Operation[str]:
    """The same in one commit with the step that records which workflow it is.

    Only what has to be found out is recorded afterwards; the token names the step, so that a replay after a crash
    between the two finds the same again.
    """
    now_ms = wall_ms()
    step = CheckpointDebounce(parent.workflow_id, parent.epoch, step_id, call.name, call.token, now_ms, now_ms)
    while True:
        try:
            answer, written = yield from commit(parent, call, step)
        except KeyTaken:
            answer = written = None
        if answer is not None and written is not None:
            parent.confirm()
            return str(answer[0])
        yield from parent.verify_refused()
        row: StepRow | None = yield Ask(engine.store.steps.recorded, parent.workflow_id, step_id)
        if row is not None:  # by a commit whose reply was lost
            if row.epoch != parent.epoch:
                raise DBOSStepNondeterminismError(parent.workflow_id, step_id)
            return row.child_workflow_id or ""
        try:
            found = answer[0] if answer is not None else (yield from _find(engine, call, policy))
        except REFUSALS as refusal:
            yield from record(parent, encode(parent, step_id, call.name, Outcome(error=refusal), now_ms))
            raise
        if isinstance(found, str):
            late = Checkpoint(*step[:4], None, None, None, found, now_ms, now_ms)
            yield from record(parent, late)
            return found
        call = found


def _find(engine: Engine, call: Debounce, policy: str | None) -> Operation[str | Debounce]:
    """Why a call was refused: the workflow that has its inputs, or stands for them; or the call to make now."""
    accepted: str | None = yield Ask(engine.store.workflows.debounced, call.token)
    if accepted is not None:
        return accepted
    there: WorkflowRow | None = yield Ask(engine.load, call.workflow_id)
    holder: tuple[str, bool] | None = yield Ask(engine.store.workflows.holder_of_key, call)
    if there is not None:
        if there.owner_xid == call.token:  # ours, and another call has replaced the inputs since
            return call.workflow_id
        require_same(there, call)
        if holder == (call.workflow_id, True):  # another call of this cycle was the first one, this very moment
            return call
        if policy == "reject":
            raise DBOSWorkflowIDInUseError(there.workflow_uuid, there.status, there.name)
        return call.workflow_id
    if holder is not None and not holder[1]:
        raise DBOSQueueDeduplicatedError(call.workflow_id, call.queue_name, call.deduplication_id)
    return call  # what was in the way has gone
