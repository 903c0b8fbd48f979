"""Why a workflow stands where it stands: rules over what is known of it, each with what can be done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from dbos.fields import NamedTuple, dataclass
from dbos.model.queue import Limits, QueueSpec
from dbos.model.workflow import FINISHED, Status, WorkflowRow


@dataclass(frozen=True, slots=True)
class Reason:
    """One answer. `code` is for scripts and does not change; `remedy` says what can be done, if anything."""

    code: str
    sentence: str
    remedy: str | None = None


class ExecutorSeen(NamedTuple):
    """A process that runs workflows."""

    instance: str
    executor_id: str
    version: str
    host: str
    pid: int
    lease_left_ms: int  # negative: it is over, since when
    queues: frozenset[str]  # that it serves


class Circumstances(NamedTuple):
    """What there is to know besides the row. Counts are bounded."""

    now_ms: int
    executors: Sequence[ExecutorSeen]  # the living ones of the application, and the owner of the workflow
    latest_version: str | None = None
    ahead: int = 0  # that wait on the queue and come first
    running: int = 0  # of the queue
    running_in_partition: int = 0
    queue: QueueSpec | None = None  # as the database has it; None: declared in code, or nowhere
    last_step: str | None = None  # its name
    wakes_at_ms: int | None = None  # that step was a sleep, which ends then


def reasons(row: WorkflowRow, seen: Circumstances) -> list[Reason]:
    """Why, the first thing first. At least one."""
    status = Status(row.status)
    if status in FINISHED:
        return [_ended(row, status)]
    found = list(_deadline(row, seen))
    if status is Status.DELAYED:
        found.append(
            Reason("delayed", f"It is delayed until {_moment(row.delay_until_epoch_ms)}", "DBOS.set_workflow_delay")
        )
    elif status is Status.ENQUEUED:
        found += _waits(row, seen)
    else:
        found += _runs(row, seen)
    return found


def _ended(row: WorkflowRow, status: Status) -> Reason:
    when = _moment(row.completed_at)
    remedies = {
        Status.SUCCESS: None,
        Status.ERROR: f"dbos workflow fork {row.workflow_uuid} --from-failure",
        Status.CANCELLED: f"dbos workflow resume {row.workflow_uuid}",
        Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED: f"dbos workflow resume {row.workflow_uuid}",
    }
    return Reason("ended", f"It has ended: {status.value} at {when}", remedies[status])


def _deadline(row: WorkflowRow, seen: Circumstances) -> Iterator[Reason]:
    deadline = row.workflow_deadline_epoch_ms
    if deadline is not None and deadline < seen.now_ms:
        yield Reason(
            "overdue", f"Its deadline was over at {_moment(deadline)}: the next executor that looks cancels it"
        )


# ------------------------------------------------------------ on a queue


def _waits(row: WorkflowRow, seen: Circumstances) -> Iterator[Reason]:
    queue, name = seen.queue, row.queue_name
    alive = [each for each in seen.executors if each.lease_left_ms >= 0]
    serving = [each for each in alive if name in each.queues]
    version = row.application_version or seen.latest_version
    if not alive:
        yield Reason("no_executor", "No process of its application is running", "start one")
        return
    if not serving:
        yield Reason(
            "unserved",
            f"No running process serves queue {name!r}",
            "declare or register the queue where the workflow is defined, or listen to it",
        )
        return
    fitting = [each for each in serving if version is None or each.version == version]
    if not fitting:
        running = ", ".join(sorted({each.version for each in serving}))
        yield Reason(
            "other_version",
            f"It needs version {version} of its application; the processes that serve queue {name!r} have {running}",
            f"start a process of version {version}, or fork it to another one",
        )
        return
    if queue is not None:
        if queue.partitioned and row.queue_partition_key is None:
            yield Reason(
                "no_partition_key", f"Queue {name!r} is partitioned, and it has no partition key", "enqueue anew"
            )
            return
        yield from _full(f"Queue {name!r}", queue.as_a_whole, seen.running, len(serving))
        partition = f"Partition {row.queue_partition_key!r} of queue {name!r}"
        if queue.partitioned:
            yield from _full(partition, queue.per_partition, seen.running_in_partition, len(serving))
    if seen.ahead:
        yield Reason("in_line", f"{seen.ahead} on queue {name!r} come before it")
    if queue is not None and (queue.as_a_whole.rate or queue.per_partition.rate):
        yield Reason("rate_limited", f"Queue {name!r} limits how many may start within a period")
    if queue is None:
        yield Reason("limits_unknown", f"Queue {name!r} is declared in code: its limits are not known here")
    yield Reason("soon", f"Running processes that may take it when it is its turn: {len(fitting)}")


def _full(what: str, limits: Limits, running: int, processes: int) -> Iterator[Reason]:
    remedy = "wait for one to end, or raise the limit"
    if limits.concurrency is not None and running >= limits.concurrency:
        yield Reason("full", f"{what} is full: {running} run, and {limits.concurrency} may", remedy)
    elif limits.worker_concurrency is not None and running >= limits.worker_concurrency * processes:
        may = f"{limits.worker_concurrency} may in each of {processes} processes"
        yield Reason("full", f"{what} is full: {running} run, and {may}", remedy)


# ------------------------------------------------------------ running


def _runs(row: WorkflowRow, seen: Circumstances) -> Iterator[Reason]:
    owner = next((each for each in seen.executors if each.instance == row.executor_instance), None)
    if owner is None or owner.lease_left_ms < 0:
        yield from _abandoned(row, seen, owner)
        return
    since = _moment(row.started_at_epoch_ms)
    where = f"process {owner.pid} on {owner.host.partition(' ')[0]}, executor {owner.executor_id!r}"
    yield Reason("running", f"It runs in {where}, since {since}")
    if seen.wakes_at_ms is not None and seen.wakes_at_ms > seen.now_ms:
        yield Reason("sleeping", f"It sleeps, or waits at most, until {_moment(seen.wakes_at_ms)}")
    elif seen.last_step is not None:
        yield Reason("after_step", f"The last step it has recorded is {seen.last_step!r}")
    else:
        yield Reason("no_step", "It has recorded no step so far")


def _abandoned(row: WorkflowRow, seen: Circumstances, owner: ExecutorSeen | None) -> Iterator[Reason]:
    who = f"executor {row.executor_id!r}"
    gone = "is gone" if owner is None else f"has been silent since {_moment(seen.now_ms + owner.lease_left_ms)}"
    heirs = [each for each in seen.executors if each.lease_left_ms >= 0 and each.version == row.application_version]
    yield Reason("abandoned", f"It ran in {who}, which {gone}")
    if heirs:
        yield Reason("recovery", f"Running processes of its version that may take it over at any moment: {len(heirs)}")
    else:
        version = row.application_version
        yield Reason("no_heir", f"No process of version {version} is running, which could take it over", "start one")


def _moment(epoch_ms: int | None) -> str:
    """In UTC, to the second."""
    if epoch_ms is None:
        return "a time that is not known"
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
