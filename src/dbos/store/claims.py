"""Claiming: which queues have something waiting, and taking as much of it as their limits allow.

A queue without limits is claimed from by one statement. Where executors share a limit, what is used is counted and the
rest taken under a lock of that queue; whoever finds it locked comes back a moment later. Each partition of a queue has
limits of its own, and all of them are served by one statement, in turns.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from dbos.fields import NamedTuple, dataclass
from dbos.model.queue import MAX_LIMIT, Limits, QueueSpec, RateLimit, Usage
from dbos.model.workflow import INTERNAL_QUEUE, WorkflowRow
from dbos.store.database import Row
from dbos.store.executors import Owner
from dbos.store.pool import Pool, Run
from dbos.store.queues import Impossible, understood
from dbos.store.workflows import Function, candidates, in_order

FOUND_PER_WANTED = 2  # rows that are looked at for each to be claimed, so that partitions get their turns
DELAYED = 1_000  # rows whose delay is over, promoted by one statement
MOST_COUNTED = 100_000  # rows of a queue, waiting or running: nobody who watches waits for more to be counted
MOST_PRIORITIES = 100  # of a queue, among which the oldest is looked for


class Queued(NamedTuple):
    """A queue as a survey found it."""

    name: str
    stored: QueueSpec | Impossible | None  # its definition in the database
    waiting: bool  # is anything ENQUEUED on it?


class Survey(NamedTuple):
    """What there is to do."""

    queues: list[Queued]
    next_due_ms: int | None  # in how long the next delay is over; negative: since when


class Load(NamedTuple):
    """How busy a queue is. What is more than `MOST_COUNTED` is not counted."""

    waiting: int
    oldest_age_ms: int  # how long the oldest of them has waited; 0 if none waits
    running: int  # in all processes


@dataclass(slots=True)
class Turn:
    """Whose turn it is among the partitions of a queue, as far as this executor goes."""

    after: str = ""  # the partition that was served last
    share: int = 1  # how many of each partition are worth asking for at once


class Claim(NamedTuple):
    """What came of an attempt to claim."""

    rows: list[WorkflowRow]  # ours now, in order
    contended: bool = False  # somebody else was claiming by the same limits
    full: bool = False  # a limit of the queue leaves no more room
    opens_in_ms: int | None = None  # when a rate limit may let more start


class Stuck(NamedTuple):
    """A row that waits in a queue and is passed by."""

    workflow_id: str
    name: str
    version: str | None
    partition_key: str | None
    registered: bool  # is its function known here?
    hopeful: bool  # does an executor live that has the right version?


class Claims:
    """What waits in queues."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def survey(self, application_name: str, declared: Sequence[str]) -> Survey:
        """Look at all queues at once: those in the database that are the application's or nobody's, and `declared`."""
        rows = self._pool.read("survey", application_name=application_name, declared=json.dumps(list(declared)))
        queues = [Queued(row[0], understood(row[:-3]) if row[-3] else None, row[-2] is not None) for row in rows]
        return Survey(queues, rows[0][-1] if rows else None)

    def loads(self, names: Sequence[str]) -> dict[str, Load]:
        """How busy queues are, by name. Raises at once if the database is away."""
        bounds = {"most": MOST_COUNTED, "most_priorities": MOST_PRIORITIES}
        rows = self._pool.try_once("loads", names=json.dumps(list(names)), **bounds)
        return {name: Load(waiting, max(0, oldest or 0), running) for name, waiting, oldest, running in rows}

    def promote_delayed(self) -> list[str]:
        """End the delays that are over; the queues concerned."""
        promoted: set[str] = set()
        while True:
            rows = self._pool.write("promote_delayed", limit=DELAYED)
            promoted.update(row[0] for row in rows)
            if len(rows) < DELAYED:
                return sorted(promoted)

    def claim(
        self,
        queue: QueueSpec,
        owner: Owner,
        runnable: Sequence[Function],
        limit: int,
        *,
        stored: bool = False,
        turn: Turn | None = None,
        partitions: Sequence[str] | None = None,
        set_aside: Mapping[str, int] = MappingProxyType({}),
    ) -> Claim:
        """Take the first workflows of a queue that the owner can run, as many as limits allow and at most `limit`.

        `stored`: the definition is in the database. The one that is there by now has the last word: where limits are
        shared it is read again, elsewhere nothing is taken if it has got such limits meanwhile, or has come or gone.
        `partitions` names those to serve; by default all are, in turns. Workflows that are `set_aside`, at the epoch
        they had then, are passed by.
        """
        values = candidates(owner, runnable, limit) | {"queue_name": queue.name, "set_aside": json.dumps({**set_aside})}
        whole = queue.as_a_whole

        def unshared(read: Run, write: Run) -> Claim:
            room = limit
            if whole.worker_concurrency is not None:  # this executor claims one after the other: nobody else counts
                room = min(limit, whole.free(_usage(read, whole, values)))
            known = {"stored": int(stored), "worker_concurrency": whole.worker_concurrency or 0}
            rows = write("claim", **{**values, "limit": room, "rate_limited": False, **known}) if room else []
            return Claim(in_order(rows), full=len(rows) == room < limit)

        def undefined(run: Run) -> Claim:
            return unshared(run, run) if run("try_share_claims", queue_name=queue.name) else Claim([], contended=True)

        def shared(run: Run) -> Claim:
            if not run("try_lock_claims", queue_name=queue.name):
                return Claim([], contended=True)
            rows = run("load_served_queue", queue_name=queue.name, application_name=owner.application_name)
            definition = understood(rows[0]) if rows else queue
            if isinstance(definition, Impossible) or (stored and not rows):
                return Claim([])
            return _claim(run, definition, values, limit, turn or Turn(), partitions)

        if queue.partitioned or whole.shared:
            return self._pool.transact(shared)
        if stored or queue.name == INTERNAL_QUEUE:  # the claim finds and holds the definition, or there never is one
            return unshared(self._pool.read, self._pool.write)
        return self._pool.transact(undefined)

    def claimed_by(self, instance: str) -> list[tuple[str, int]]:
        """(workflow id, epoch) of what an executor instance has claimed and not ended."""
        return [(row[0], row[1]) for row in self._pool.read("claimed_by", instance=instance)]

    def give_back(self, workflow_id: str, epoch: int, instance: str, tried: bool) -> None:
        """Let a workflow that was claimed at this epoch wait in its queue again, at the next one. Its slot is free.

        `tried`: it began to run, which counts as an attempt.
        """
        self._pool.write("give_back", workflow_id=workflow_id, epoch=epoch, instance=instance, tried=int(tried))

    def stuck(self, queue_name: str, owner: Owner, runnable: Sequence[Function], limit: int) -> list[Stuck]:
        """The first workflows that wait in a queue, and what this executor knows about why."""
        rows = self._pool.read("stuck", queue_name=queue_name, **candidates(owner, runnable, limit))
        return [Stuck(row[0], row[1], row[2], row[3], bool(row[4]), bool(row[5])) for row in rows]

    def unserved_queues(self, application_name: str) -> list[str]:
        """Queues on which something of the application waits, and that no living executor serves."""
        return [row[0] for row in self._pool.read("unserved_queues", application_name=application_name)]


def _claim(
    run: Run, queue: QueueSpec, values: dict[str, object], limit: int, turn: Turn, partitions: Sequence[str] | None
) -> Claim:
    """Claim by limits, inside a transaction that holds the lock of the queue."""
    whole = queue.as_a_whole
    rates = [rate for rate in (whole.rate, queue.per_partition.rate) if rate is not None]
    room = min(limit, whole.free(_usage(run, whole, values)))
    values = {**values, "rate_limited": bool(rates), "limit": room}
    if not room:
        rows = []
    elif queue.partitioned:
        rows = _claim_from_partitions(run, queue, rates, values, room, turn, partitions)
    else:
        rows = run("claim", **values, stored=None, worker_concurrency=0)
        _record_starts(run, queue, rates, [""] * len(rows))
    claimed = in_order(rows)
    opens = _opens_in_ms(run, queue, rates) if len(claimed) < limit else None
    return Claim(claimed, full=len(claimed) == room < limit, opens_in_ms=opens)


def _claim_from_partitions(
    run: Run,
    queue: QueueSpec,
    rates: Sequence[RateLimit],
    values: dict[str, object],
    limit: int,
    turn: Turn,
    partitions: Sequence[str] | None,
) -> list[Row]:
    """Deal what there is room for, from the partition after the last one served, all the way round."""
    limits = queue.per_partition
    rate = limits.rate or RateLimit(MAX_LIMIT, 1)
    values = {
        **values,
        "concurrency": limits.concurrency or MAX_LIMIT,
        "worker_concurrency": limits.worker_concurrency or MAX_LIMIT,
        "starts_per_period": rate.limit,
        "period_ms": rate.period_ms,
        "named": int(partitions is not None),
        "keys": json.dumps(list(partitions or ())),
    }
    rows: list[Row] = []
    if partitions is not None:
        rows = run("claim_from_partitions", **values, after="", share=limit, most=limit * FOUND_PER_WANTED)
        _record_starts(run, queue, rates, [_partition_key(row) for row in rows])
        return rows
    while len(rows) < limit:
        wanted, share = limit - len(rows), min(turn.share, limit)
        most = wanted if share == 1 else wanted * FOUND_PER_WANTED
        dealt = run("claim_from_partitions", **{**values, "limit": wanted}, after=turn.after, share=share, most=most)
        if dealt:
            served = Counter(_partition_key(row) for row in dealt)
            _record_starts(run, queue, rates, served.elements())
            turn.after = max(served)
            deepest = max(served.values())
            turn.share = min(limit, deepest * 2) if deepest >= turn.share else deepest
            rows += dealt
        elif turn.after:
            turn.after = ""
        else:  # nothing from the first key to the last
            break
    return rows


def _usage(run: Run, limits: Limits, values: dict[str, object]) -> Usage:
    if not limits:
        return Usage()
    ((running, running_here, starts),) = run(
        "usage",
        **values,
        count_running=int(limits.concurrency is not None),
        count_running_here=int(limits.worker_concurrency is not None),
        count_starts=int(limits.rate is not None),
        period_ms=limits.rate.period_ms if limits.rate is not None else 0,
    )
    return Usage(running or 0, running_here or 0, int(starts or 0))


def _record_starts(run: Run, queue: QueueSpec, rates: Sequence[RateLimit], keys: Iterable[str]) -> None:
    """Count a start in each of these partitions, before anybody counts again."""
    starts = Counter(keys)
    if rates and starts:
        run("forget_starts", queue_name=queue.name, period_ms=max(rate.period_ms for rate in rates))
        run("record_starts", queue_name=queue.name, starts=json.dumps(starts))


def _opens_in_ms(run: Run, queue: QueueSpec, rates: Sequence[RateLimit]) -> int | None:
    """When the first start leaves the window of a rate limit, if one of them counts any."""
    answers = [run("rate_opens", queue_name=queue.name, period_ms=rate.period_ms)[0][0] for rate in rates]
    return min((answer for answer in answers if answer is not None), default=None)


_KEY = WorkflowRow._fields.index("queue_partition_key")


def _partition_key(row: Row) -> str:
    key: str = row[_KEY]
    return key
