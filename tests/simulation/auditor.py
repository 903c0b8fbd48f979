"""The auditor: sees every commit, keeps the books itself, and says which rule a change breaks.

The rules of statuses and epochs are those of tests/crash; here are those that need the whole picture of a moment: who
lives, what is running, who waits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.crash.audit import judge
from tests.simulation.disk import (
    Change,
    LeaseChange,
    MessageChange,
    Standing,
    StepChange,
    StreamChange,
    WorkflowChange,
)
from tests.simulation.program import RATE

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

EDGE_MS = 30
LIMITS = {"narrow": 2, "urgent": 1}


class Auditor:
    """Knows how everything stands, from what it was told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.violations: list[str] = []
        self.rows: dict[str, Standing] = {}
        self.steps: dict[tuple[str, int], int] = {}  # -> epoch
        self.leases: dict[str, tuple[str, int]] = {}  # instance -> host, until
        self.streams: dict[tuple[str, str], int] = {}  # -> how many values
        self.consumed: dict[tuple[str, str], tuple[int, int]] = {}  # message -> step, when
        self.arrivals: dict[tuple[str, str], int] = {}  # message -> the how many-th it was
        self.adoptions: Counter[str] = Counter()
        self.interfered: set[str] = set()  # cancelled, resumed or deleted, by whomever
        self.cancelled_by_client: set[str] = set()
        self.unfinished = 0
        self.tags: set[str] = set()  # of the last commit
        self.born_ms: dict[str, int] = {}
        self._slots_seen: set[tuple[str | None, str]] = set()
        self._starts: defaultdict[str, list[int]] = defaultdict(list)
        self.kept_limit = 2

    def complain(self, what: str) -> None:
        """A rule is broken."""
        self.violations.append(f"at {self._world.seconds:.3f} s: {what}")

    def commit(self, changes: Sequence[Change]) -> None:
        """Something became durable, all at once."""
        actor = self._world.actor
        now_ms = self._world.machine.now_ms()
        concerned = [change.workflow_id for change in changes if isinstance(change, WorkflowChange)]
        before = {workflow_id: self.rows.get(workflow_id) for workflow_id in concerned}
        self.tags = set()
        for change in changes:
            if isinstance(change, WorkflowChange):
                self._workflow(change, actor, now_ms)
        for change in changes:
            match change:
                case StepChange():
                    self._step(change, before)
                case LeaseChange():
                    self._lease(change, actor, now_ms)
                case MessageChange():
                    self._message(change, now_ms)
                case StreamChange():
                    self._stream(change, before)
        if "claimed" in self.tags:
            self._order(changes)
            self._limits()

    # ------------------------------------------------------------ workflows

    def _workflow(self, change: WorkflowChange, actor: Process, now_ms: int) -> None:
        workflow_id, old, new = change
        if new is None:
            assert old is not None
            del self.rows[workflow_id]
            self.interfered.add(workflow_id)
            self.steps = {key: value for key, value in self.steps.items() if key[0] != workflow_id}
            self.streams = {key: value for key, value in self.streams.items() if key[0] != workflow_id}
            self.unfinished -= not old.completed
            self._reach("a running workflow is deleted", old.status == "PENDING")
            return
        self.rows[workflow_id] = new
        self.unfinished += (not new.completed) - (old is not None and not old.completed)
        for problem in judge(
            workflow_id,
            old and old.status,
            new.status,
            old and old.epoch,
            new.epoch,
            old.outcome if old else "-/-",
            new.outcome,
            bool(new.completed),
        ):
            self.complain(problem)
        if new.completed and new.slot is not None:
            self.complain(f"{workflow_id} has ended and keeps its deduplication id {new.slot}")
        self._world.machine.note(workflow_id, new.status, new.epoch)
        if old is None:
            self._created(workflow_id, new, now_ms)
        elif old.epoch != new.epoch or old.status != new.status:
            self._moved(workflow_id, old, new, actor, now_ms)

    def _created(self, workflow_id: str, new: Standing, now_ms: int) -> None:
        self.born_ms[workflow_id] = now_ms
        if new.slot is not None:
            slot = new.queue, new.slot
            self._reach("a deduplication id is taken again", slot in self._slots_seen)
            self._slots_seen.add(slot)
        if workflow_id.startswith("sched-"):
            self.tags.add("ticked")
        if new.forked_from is not None:
            origin = self.rows.get(new.forked_from)
            if origin is not None:
                kind = "a finished" if origin.completed else "an unfinished"
                self._reach(f"{kind} workflow is forked", True)

    def _moved(self, workflow_id: str, old: Standing, new: Standing, actor: Process, now_ms: int) -> None:
        """A workflow has changed hands or its standing."""
        world = self._world
        by_client = world.machine.fibre.name.startswith("act")
        if by_client and (old.status, new.status) == ("PENDING", "ENQUEUED") and world.asked("resume", workflow_id):
            self._reach("a running workflow is resumed", True)
        elif old.status == "PENDING" and new.status in ("PENDING", "ENQUEUED"):
            self._taken(workflow_id, old, new, actor, now_ms)
        if old.status == "ENQUEUED" and new.status == "PENDING":
            self.tags.add("claimed")
            if new.queue == "rated":
                self._rate(new.queue, now_ms)
        if old.status == "DELAYED" and new.status == "ENQUEUED":
            self._reach("a delay is over", True)
            if old.delay_until_ms is not None and old.delay_until_ms > now_ms and new.delay_until_ms is not None:
                self.complain(f"{workflow_id} is enqueued {old.delay_until_ms - now_ms} ms before its delay is over")
        if new.status == "CANCELLED":
            self._cancelled(workflow_id, old, actor, now_ms)
        if old.completed and new.status == "ENQUEUED":
            self.interfered.add(workflow_id)
            kind = {"CANCELLED": "a cancelled", "ERROR": "a failed"}.get(old.status)
            if kind is not None:
                self._reach(f"{kind} workflow is resumed", True)
            self._reach("a workflow is resumed while its old attempt runs", bool(world.running(workflow_id)))
        if old.slot is not None and new.completed:
            self._reach("a deduplication id is freed by a cancellation", new.status == "CANCELLED")
            self._reach("a deduplication id is freed after a recovery", self.adoptions[workflow_id] > 0)

    def _taken(self, workflow_id: str, old: Standing, new: Standing, actor: Process, now_ms: int) -> None:
        """From whoever ran it."""
        self.tags.add("adopted")
        self.adoptions[workflow_id] += 1
        self._reach("a workflow is adopted", new.status == "PENDING")
        self._reach("a workflow is adopted twice", self.adoptions[workflow_id] > 1)
        self._reach("a workflow goes back to its queue", new.status == "ENQUEUED")
        self._reach("a takeover meets a commit in flight", self._world.in_flight(workflow_id, old.epoch))
        if actor.instance == old.owner:
            self._reach("an executor adopts its own orphan", True)
            return
        _, until_ms = self.leases.get(old.owner or "", ("", 0))
        if until_ms < now_ms:
            self._reach("a stopped executor leaves work to others", old.owner in self._world.stopped)
        elif (old.owner or "").partition(".")[0] in self._world.disowned:
            self._reach("a workflow is taken from a living executor", True)
        else:
            self.complain(f"{workflow_id} is taken by {actor.instance} from {old.owner}, whose lease lasts")

    def _cancelled(self, workflow_id: str, old: Standing, actor: Process, now_ms: int) -> None:
        by_client = any(self._world.asked("cancel", each) for each in (workflow_id, old.parent))
        expired = old.deadline_ms is not None and old.deadline_ms <= now_ms
        if not by_client and not expired and old.parent not in self.interfered:
            self.complain(f"{workflow_id} is cancelled, and neither was that asked for nor is its deadline over")
        if expired and not by_client:
            self._reach("a deadline ends a running workflow", old.status == "PENDING")
            self._reach("a deadline ends a waiting workflow", old.status in ("ENQUEUED", "DELAYED"))
            self._reach(
                "a deadline ends the workflow of another process",
                old.status == "PENDING" and old.owner != actor.instance,
            )
        self.interfered.add(workflow_id)
        self._reach("a cancellation meets a finish in flight", self._world.finishing(workflow_id))

    # ------------------------------------------------------------ queues

    def _order(self, changes: Sequence[Change]) -> None:
        """Nobody who was eligible has been passed by."""
        for change in changes:
            if not isinstance(change, WorkflowChange) or change.old is None or change.new is None:
                continue
            old, new = change.old, change.new
            if (old.status, new.status) != ("ENQUEUED", "PENDING") or new.queue == "parts":
                continue
            for other_id, other in self.rows.items():
                if other.status != "ENQUEUED" or other.queue != new.queue:
                    continue
                if (other.priority, other.sequence) < (new.priority, new.sequence):
                    self.complain(f"{change.workflow_id} is claimed before {other_id}, whose turn it was")
                self._reach("a priority overtakes an earlier arrival", other.sequence < new.sequence)

    def _limits(self) -> None:
        running = [row for row in self.rows.values() if row.status == "PENDING" and row.queue is not None]
        per_queue = Counter(row.queue for row in running)
        for queue, limit in (*LIMITS.items(), ("kept", self.kept_limit)):
            if per_queue[queue] > limit:
                self.complain(f"{per_queue[queue]} workflows of queue {queue} run at once, {limit} may")
            self._reach("a queue is full", per_queue[queue] == limit)
        for key, count in Counter(row.partition for row in running if row.queue == "parts").items():
            if count > 1:
                self.complain(f"{count} workflows of partition {key} run at once")
            self._reach("a partition is full", True)
        for owner, count in Counter(row.owner for row in running if row.queue == "single").items():
            if count > 1:
                self.complain(f"{count} workflows of queue single run at once in {owner}")
            self._reach("a worker is full", True)

    def _rate(self, queue: str, now_ms: int) -> None:
        starts = self._starts[queue]
        starts.append(now_ms)
        limit, period_ms = int(RATE["limit"]), round(RATE["period"] * 1000)
        if len(starts) > limit and not self._world.plan.jumps:
            gap = starts[-1] - starts[-1 - limit]
            if gap < period_ms:
                self.complain(f"queue {queue} has started {limit + 1} workflows within {gap} ms")
            self._reach("a start at the edge of a rate window", gap <= period_ms + EDGE_MS)
        waiting = any(row.status == "ENQUEUED" and row.queue == queue for row in self.rows.values())
        self._reach("a rate limit is exhausted", waiting)

    # ------------------------------------------------------------ what belongs to workflows

    def _step(self, change: StepChange, before: dict[str, Standing | None]) -> None:
        workflow_id, number, name, epoch, event = change
        if event == "insert":
            self._require_owned(f"step {number} ({name})", workflow_id, epoch, before)
            if (workflow_id, number) in self.steps:
                self.complain(f"step {number} of {workflow_id} is recorded twice")
            self.steps[workflow_id, number] = epoch
        elif event == "update":
            self.complain(f"the checkpoint of step {number} of {workflow_id} changes")
        elif event == "delete":
            self.steps.pop((workflow_id, number), None)
            if workflow_id in self.rows and workflow_id not in before:
                self.complain(f"the checkpoint of step {number} of {workflow_id} is lost")

    def _require_owned(self, what: str, workflow_id: str, epoch: int, before: dict[str, Standing | None]) -> None:
        """Written by the attempt that owns the workflow; a copy may come with a fork."""
        row = before[workflow_id] if workflow_id in before else self.rows.get(workflow_id)
        if row is None:
            if workflow_id not in self.rows:
                self.complain(f"{what} of {workflow_id} is written, which does not exist")
        elif (row.status, row.epoch) != ("PENDING", epoch):
            self.complain(f"{what} of {workflow_id} is written by epoch {epoch}, but it is {row.status} {row.epoch}")

    def _lease(self, change: LeaseChange, actor: Process, now_ms: int) -> None:
        instance, host, until_ms = change
        known = self.leases.get(instance)
        if actor.instance == instance:
            self._reach("a lost lease is begun anew", known is not None and known[1] < now_ms <= until_ms)
        elif until_ms < now_ms and known is not None and known[1] >= now_ms:
            self._reach("an executor is declared dead by a neighbour", True)
            if self._world.lives(instance):
                self.complain(f"{actor.instance} declares {instance} dead, which lives")
        self.leases[instance] = host, until_ms

    def _message(self, change: MessageChange, now_ms: int) -> None:
        destination, message_id, step = change
        key = destination, message_id
        if destination not in self.rows:
            return  # deleted with it
        self.arrivals.setdefault(key, len(self.arrivals))
        if step is None:
            return
        if key in self.consumed and self.consumed[key][0] != step and destination not in self.interfered:
            self.complain(f"message {message_id} of {destination} is received by two steps")
        self.consumed[key] = step, now_ms

    def sent_in_order(self, destination: str, keys: Sequence[str]) -> list[str]:
        """The messages of a workflow in the order of their commits."""
        return sorted(keys, key=lambda key: self.arrivals.get((destination, key), 0))

    def _stream(self, change: StreamChange, before: dict[str, Standing | None]) -> None:
        workflow_id, key, place, epoch = change
        if workflow_id not in self.rows:
            return
        count = self.streams.get((workflow_id, key), 0)
        if place == count:
            self.streams[workflow_id, key] = count + 1
            self._require_owned(f"a value of stream {key}", workflow_id, epoch, before)
        elif place > count:
            self.complain(f"stream {key} of {workflow_id} has {count} values, and the next one is at {place}")

    def _reach(self, name: str, condition: bool) -> None:
        if condition:
            self._world.reached(name)
