"""The records that the journal writes: what becomes durable, one type per kind.

Each record is a named tuple whose fields stand in the order of its statement's parameters, so that a
batch turns into columns by one `zip`. A record says everything its write needs, its guard included:
every write of an attempt carries the workflow id and the epoch it believes to own.

What else the store has to know of a kind stands above it (`kind`), and all kinds in one list, `Record`, at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

from dbos.fields import NamedTuple

R = TypeVar("R", bound=type)


class Facts(NamedTuple):
    """What is known of the records of one kind; fields are given by their places."""

    key: tuple[int, ...]  # what tells a record by the row that it became
    payloads: tuple[int, ...]  # values of users, encoded
    shares_statement: bool  # one may take several of one workflow: of two for the same row, the first counts


FACTS: dict[type, Facts] = {}


def kind(key: str, payloads: str = "", *, shares_statement: bool = False) -> Callable[[R], R]:
    """Say what is known of a kind of records, naming its fields."""

    def decorate(record: R) -> R:
        fields: Any = record
        places = fields._fields.index
        FACTS[record] = Facts(tuple(map(places, key.split())), tuple(map(places, payloads.split())), shares_statement)
        return record

    return decorate


@kind("token", "inputs", shares_statement=True)
class StartWorkflow(NamedTuple):
    """A new workflow row. Written only if the id is free, and only while the guard (if any) still owns its row.

    The run of a tick is written only if the schedule is still as it was when the tick was found due.

    The result is `(deadline_ms, epoch)` (the first None when there is no deadline) if this write created the row,
    and None if the id was taken or the guard no longer holds.
    """

    workflow_id: str
    token: str  # names this very call: tells our own row from another's after an unknown commit (owner_xid)
    status: str  # PENDING (runs here at once, one attempt), ENQUEUED or DELAYED (one epoch less, no owner)
    name: str
    class_name: str | None
    config_name: str | None
    inputs: str
    serialization: str  # codec of `inputs`
    application_name: str | None
    application_version: str | None
    application_id: str | None
    executor_id: str | None  # the configured id; None when not PENDING
    executor_instance: str | None  # the owner; None when not PENDING
    authenticated_user: str | None
    assumed_role: str | None
    authenticated_roles: str | None  # JSON list
    queue_name: str | None
    timeout_ms: int | None  # PENDING: the database sets deadline = its now + timeout, unless deadline_ms is given
    deadline_ms: int | None  # absolute, inherited from a parent
    delay_ms: int | None  # DELAYED: due at the database's now + delay
    deduplication_id: str | None
    priority: int
    queue_partition_key: str | None
    parent_workflow_id: str | None
    attributes: str | None  # JSON object
    guard_workflow_id: str | None  # the attempt that starts it, when a workflow does
    guard_epoch: int | None
    schedule_name: str | None = None  # of the schedule that it is a run of
    schedule_active_since: int | None = None  # for the run of a tick: the schedule is ACTIVE, and has been since then


@kind("workflow_id epoch step_id", "output error", shares_statement=True)
class Checkpoint(NamedTuple):
    """The outcome of one step. Result: a row if written, None if fenced or already recorded (ask the store which)."""

    workflow_id: str
    epoch: int
    step_id: int
    name: str
    output: str | None
    error: str | None
    serialization: str | None  # codec of whichever of output and error is set
    child_workflow_id: str | None
    started_at_ms: int | None
    completed_at_ms: int | None


@kind("workflow_id epoch", "output error")
class FinishWorkflow(NamedTuple):
    """The outcome of a workflow, by the attempt that owns it. Result: a row if written, None if fenced."""

    workflow_id: str
    epoch: int
    status: str  # SUCCESS, ERROR or MAX_RECOVERY_ATTEMPTS_EXCEEDED
    output: str | None
    error: str | None
    serialization: str | None  # codec of whichever is set (outcome_serialization)


@kind("workflow_id", "attributes")
class UpdateAttributes(NamedTuple):
    """Replace or merge the attributes of any workflow. Result: a row if it exists and the guard holds."""

    workflow_id: str
    attributes: str | None  # JSON object; None clears
    merge: bool
    guard_workflow_id: str | None
    guard_epoch: int | None


@kind("workflow_id")
class SetDelay(NamedTuple):
    """When a DELAYED workflow may run. Result: a row if it is DELAYED and the guard holds."""

    workflow_id: str
    delay_ms: int | None  # from the database's now
    until_ms: int | None  # absolute; one of the two is given
    guard_workflow_id: str | None
    guard_epoch: int | None


@kind("token", "inputs")
class Debounce(NamedTuple):
    """One call of a debouncer: a new DELAYED row, or the row that is DELAYED under the key gets these inputs instead.

    The start moves to `period_ms` from now, and not beyond the deadline that the first call set. Everything else in the
    row stays as the first call asked. Result: `(workflow id, token that created it)`.

    None if this very call was accepted before, the id is taken, something else holds the deduplication id, or the
    guard no longer holds: ask the store which.
    """

    deduplication_id: str  # the key
    token: str  # names this very call
    workflow_id: str  # if the row is new
    queue_name: str
    name: str
    class_name: str | None
    config_name: str | None
    inputs: str
    serialization: str  # codec of `inputs`
    period_ms: int
    longest_delay_ms: int | None  # from the first call to the start
    application_name: str | None
    application_version: str | None
    application_id: str | None
    authenticated_user: str | None
    assumed_role: str | None
    authenticated_roles: str | None  # JSON list
    timeout_ms: int | None
    deadline_ms: int | None
    priority: int
    parent_workflow_id: str | None
    attributes: str | None  # JSON object
    guard_workflow_id: str | None  # the attempt that calls, when a workflow does
    guard_epoch: int | None


@kind("workflow_id epoch step_id", shares_statement=True)
class CheckpointDebounce(NamedTuple):
    """The step that debounced, in one commit with it: its child is the workflow that has the inputs of the call.

    Result: a row if written. None if fenced or already recorded, and if the inputs are nowhere: not accepted, or
    replaced by another call of this batch.
    """

    workflow_id: str
    epoch: int
    step_id: int
    name: str
    token: str  # of the call
    started_at_ms: int
    completed_at_ms: int


@kind("destination message_id", "message", shares_statement=True)
class SendMessage(NamedTuple):
    """A message for a workflow. Result: a row if it was written.

    None if the destination does not exist, has got a message of this id before, or the guard (if any) no longer holds:
    ask the store which.
    """

    destination: str
    message_id: str  # the idempotency key, or an id of ours
    topic: str  # "" where there is none
    message: str
    serialization: str  # codec of `message`
    guard_workflow_id: str | None  # the attempt that sends it, when a workflow does
    guard_epoch: int | None


@kind("workflow_id epoch step_id", shares_statement=True)
class CheckpointSend(NamedTuple):
    """The step that sent a message, in one commit with it. Result: a row if written.

    None if fenced or already recorded, as for a checkpoint, and if the message is not there.
    """

    workflow_id: str
    epoch: int
    step_id: int
    name: str
    output: str
    serialization: str
    started_at_ms: int
    completed_at_ms: int
    destination: str
    message_id: str


@kind("workflow_id epoch step_id")
class ReceiveMessage(NamedTuple):
    """The oldest message of a topic that nobody has received becomes the outcome of a step.

    Result: `(message, serialization)`, the same again if this attempt has recorded the step before; None if no message
    waits, or the attempt is fenced.
    """

    workflow_id: str
    epoch: int
    step_id: int
    name: str
    topic: str
    started_at_ms: int
    completed_at_ms: int


@kind("workflow_id key", "value")
class SetEvent(NamedTuple):
    """The value of an event from now on. Result: a row if written, None if fenced."""

    workflow_id: str
    epoch: int
    step_id: int
    key: str
    value: str
    serialization: str  # codec of `value`


@kind("workflow_id key", "value")
class KeepEvent(NamedTuple):
    """The same for the history of events, in one commit with it: what the event was as of this step."""

    workflow_id: str
    epoch: int
    step_id: int
    key: str
    value: str
    serialization: str


@kind("workflow_id epoch function_id token", "value", shares_statement=True)
class WriteStream(NamedTuple):
    """The next value of a stream and, if the body of a workflow wrote it, the step that records it: both or neither.

    Result: a row if written. None if fenced, if the stream is closed, or if it was written before: ask the store which.
    """

    workflow_id: str
    epoch: int
    key: str
    value: str  # the sentinel of model/stream.py closes the stream
    serialization: str
    function_id: int  # the step that this is, or that it happens in
    step_attempt: int | None  # of the step it happens in, if that has retries
    token: str  # names a write inside a step, to be known again after an unknown commit; "" when it is a step itself
    written_at_ms: int


@kind("schedule_id", "context", shares_statement=True)
class CreateSchedule(NamedTuple):
    """A new schedule. Result: a row if written, None if the name is taken or the guard does not hold."""

    schedule_id: str
    schedule_name: str
    workflow_name: str
    workflow_class_name: str | None
    schedule: str
    context: str
    context_serialization: str
    automatic_backfill: bool
    cron_timezone: str | None
    queue_name: str | None
    application_name: str | None
    guard_workflow_id: str | None
    guard_epoch: int | None


@kind("schedule_name")
class SetScheduleState(NamedTuple):
    """Pause or resume a schedule of an application. Result: a row if that changes it and the guard holds."""

    schedule_name: str
    status: str
    application_name: str | None  # None: of any
    guard_workflow_id: str | None
    guard_epoch: int | None


@kind("schedule_name")
class DeleteSchedule(NamedTuple):
    """Forget a schedule of an application; its runs stay. Result: a row if it existed and the guard holds."""

    schedule_name: str
    application_name: str | None  # None: of any
    guard_workflow_id: str | None
    guard_epoch: int | None


@kind("schedule_id")
class ScheduleFired(NamedTuple):
    """Up to which tick a schedule has fired; never taken back.

    Result: a row if that is news, and the schedule is still as it was when the tick was found due.
    """

    schedule_id: str
    active_since: int
    fired_at: str
    fired_at_ms: int


Record = (
    Checkpoint
    | StartWorkflow
    | Debounce
    | CheckpointDebounce
    | UpdateAttributes
    | SetDelay
    | SendMessage
    | CheckpointSend
    | ReceiveMessage
    | SetEvent
    | KeepEvent
    | WriteStream
    | CreateSchedule
    | SetScheduleState
    | DeleteSchedule
    | ScheduleFired
    | FinishWorkflow
)
"""Every kind, in the order in which a batch writes them. Checkpoints come first: they lock and check the row of their
workflow, so that whatever the same attempt starts in the same batch meets the same verdict. A message comes before the
step that sent it, and before whoever receives."""

KINDS: tuple[type[Record], ...] = get_args(Record)
