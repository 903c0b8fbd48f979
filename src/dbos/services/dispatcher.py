"""Claim enqueued workflows and run them.

One statement asks about all queues at once; whatever waits is claimed in batches, queue by queue, and for a moment on
without asking again where a batch was full. Woken by an enqueue in this process, by the end of a workflow of a limited
queue, and by notifications; polling is the floor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from dbos.fields import dataclass, field
from dbos.lazy import random
from dbos.model.queue import INTERNAL, QueueSpec
from dbos.runtime import clock
from dbos.runtime.claimed import run_claimed
from dbos.runtime.executor import Executor
from dbos.runtime.openings import Opening
from dbos.runtime.served import look_at_queues
from dbos.services.service import NEVER, Service
from dbos.store.claims import Claim, Turn

BATCH = 250  # workflows claimed by one statement; they run while the next are claimed
SMALLEST_BATCH = 100  # not worth a statement before there is room for so many
ROOM = 1_000  # of the workflows claimed a moment ago, so many may not have ended yet, and so many wait for a thread
MOMENT_SECONDS = 0.1  # after that a workflow that runs counts as one that takes its time, and makes room for others
ROOM_SECONDS = 0.002  # until the next look whether there is room
HELD_MS = 20  # until the next look at what is due and in somebody else's hands, who may let it go without a word
CONTENTION_SECONDS = 0.002, 0.02  # the first pause and its growth when somebody else claims by the same limits
LONGEST_CONTENTION = 10  # polling intervals
SPACING = 2  # a look at a queue that brought nothing is repeated after so many times what it took, then twice that ...
MOST_DOUBLINGS = 20  # ... and so on, up to its polling interval


@dataclass(slots=True)
class Served:
    """A queue that this executor serves."""

    spec: QueueSpec
    stored: bool = False  # defined in the database
    turn: Turn = field(default_factory=Turn)
    not_before: float = 0.0  # by the steady clock: until then only news of the queue are worth a look
    look_at: float = NEVER  # by the steady clock: then a rate limit may let more start
    collisions: int = 0  # in a row
    fruitless: int = 0  # looks in a row that brought nothing, although something waits
    turned_away: int = 0  # times in a row that there was no room here for what waits

    @property
    def limited(self) -> bool:
        """Does it matter to the queue when its workflows end?"""
        return bool(self.spec.as_a_whole) or self.spec.partitioned


class Dispatcher(Service):
    """Serves the queues of the library, the queues declared in this process, and those in the database."""

    name = "dispatcher"
    engine: Executor

    def __init__(self, engine: Executor) -> None:
        super().__init__(engine)
        self._served: dict[str, Served] = {}
        self._published: list[str] = []
        self._recent: deque[tuple[float, frozenset[str]]] = deque()  # when claimed, which
        self._losses = 0  # of connections, after which we asked what is ours
        self._look_at = float("-inf")  # by the steady clock: then the queues are worth another look
        self._unfinished: list[Served] = []  # until then we know without one that more waits here
        self._wants_room = False  # what waits could not begin here

    def poll(self) -> float:
        """Claim a batch from each queue that has something waiting, and say when to come back."""
        if self._wants_room and clock.steady() < self._look_at and not self._room():
            return ROOM_SECONDS  # there is no need to ask the database whether there is room
        if self._losses != self.engine.store.losses:
            self._recognise_our_own()
        news, everywhere = self.engine.openings.take()
        try:
            return self._round(news, everywhere)
        except BaseException:
            self.engine.openings.told(None)  # whatever the news were, nobody knows how far we came with them
            raise

    def _round(self, news: Mapping[str, Opening], everywhere: bool) -> float:
        unfinished, self._unfinished = self._unfinished, []
        if unfinished and not news and not everywhere and clock.steady() < self._look_at:
            self._serve_all(unfinished, {})
            return 0.0
        waiting, next_due_ms = self._look()
        promoted: list[str] = []
        if next_due_ms is not None and next_due_ms <= 0:
            promoted = self.engine.store.claims.promote_delayed()
            self.engine.store.hints.publish("enqueued", promoted)
            waiting, next_due_ms = self._look()
            if next_due_ms is not None and next_due_ms <= 0 and not promoted:
                next_due_ms = HELD_MS
        rest = MOMENT_SECONDS if next_due_ms is None else min(MOMENT_SECONDS, next_due_ms / 1000)
        self._look_at = clock.steady() + rest
        for queue in waiting:
            if everywhere or queue.spec.name in promoted:
                queue.not_before = 0.0
        self._serve_all(waiting, news)
        if self._unfinished or self._losses != self.engine.store.losses:
            return 0.0
        return self._rest_seconds(next_due_ms, waiting)

    def _serve_all(self, waiting: list[Served], news: Mapping[str, Opening]) -> None:
        self._wants_room = False
        random.shuffle(waiting)  # not in the order of all other processes
        waiting.sort(key=lambda queue: -queue.turned_away)  # none is always the last
        for queue in waiting:
            if self._stopping:
                break
            if self._serve(queue, news.get(queue.spec.name)):
                self._unfinished.append(queue)
            elif queue.not_before > 0.0:
                self._look_at = min(self._look_at, queue.not_before, queue.look_at)

    def _recognise_our_own(self) -> None:
        """Find what a claim whose reply was lost has given us: run it, or let it wait in its queue again.

        Only this thread claims, so that nothing of it is about to begin. What recovery has taken from a queue of ours
        may be; it is then superseded by the attempt that begins here.
        """
        engine, losses = self.engine, self.engine.store.losses
        known = {**{each: attempt.epoch for each, attempt in engine.active().items()}, **engine.set_aside}
        claimed = engine.store.claims.claimed_by(engine.owner.instance)
        unknown = [workflow_id for workflow_id, epoch in claimed if known.get(workflow_id) != epoch]
        if unknown:
            run_claimed(engine, engine.store.workflows.adopt_orphans(engine.owner, unknown))
        self._losses = losses

    def _look(self) -> tuple[list[Served], int | None]:
        """The queues on which something waits, and in how long the next delay is over."""
        look = look_at_queues(self.engine)
        served: dict[str, Served] = {}
        waiting: list[Served] = []
        for queue in look.queues:
            name = queue.spec.name
            served[name] = there = self._served.get(name) or Served(queue.spec)
            if there.spec != queue.spec:
                there.spec, there.not_before = queue.spec, 0.0
            there.stored = queue.stored
            if queue.waiting:
                waiting.append(there)
        self._served = served
        self._publish()
        return waiting, look.next_due_ms

    def _publish(self) -> None:
        """Tell the others which queues are served here, when that changes."""
        names = sorted(self._served)
        if names != self._published:
            self.engine.store.executors.serve(self.engine.owner.instance, names)
            self._published = names
            self.engine.serves_queues = names != [INTERNAL.name]

    # ------------------------------------------------------------ one queue

    def _serve(self, queue: Served, news: Opening | None) -> bool:
        """Claim a batch from a queue, and run it. Is there likely more, or was there no room for it?"""
        now = clock.steady()
        partitions: list[str] | None = None
        if now < queue.not_before and now < queue.look_at:
            if news is None:
                return False
            if queue.spec.partitioned and news.partitions is not None and not queue.spec.as_a_whole:
                partitions = sorted(news.partitions)
        limit = self._room()
        if limit == 0:
            self._wants_room = True
            queue.turned_away += 1
            if news is not None:
                queue.not_before = 0.0
                self.engine.openings.put_back(queue.spec.name, news)
            return True
        queue.turned_away = 0
        engine = self.engine
        runnable = engine.registry.runnable()
        claim = engine.store.claims.claim(
            queue.spec,
            engine.owner,
            runnable,
            limit,
            stored=queue.stored,
            turn=queue.turn,
            partitions=partitions,
            set_aside=engine.set_aside,
        )
        started = run_claimed(engine, claim.rows, queue.limited)
        if started:
            self._recent.append((clock.steady(), frozenset(started)))
            engine.metrics.workflows_dequeued.add(queue.spec.name, by=len(started))
        if partitions is None or claim.contended:
            self._schedule(queue, claim, clock.steady() - now)
        if news is not None and claim.contended:
            engine.openings.put_back(queue.spec.name, news)
        elif news is not None and len(claim.rows) < news.ended_here:
            engine.store.hints.publish("enqueued", (queue.spec.name,))  # a slot that we have no use for
        return len(claim.rows) == limit

    def _schedule(self, queue: Served, claim: Claim, took_seconds: float) -> None:
        """When the queue is worth another look."""
        now = clock.steady()
        interval = queue.spec.polling_interval_seconds
        queue.look_at = NEVER if claim.opens_in_ms is None else now + max(0, claim.opens_in_ms) / 1000
        if claim.contended:
            first, growth = CONTENTION_SECONDS
            pause = min(first + growth * queue.collisions, LONGEST_CONTENTION * interval)
            queue.collisions += 1
            queue.not_before = queue.look_at = now + random.uniform(0.5, 1) * pause
            return
        queue.collisions = 0
        if claim.rows:
            queue.fruitless = 0
        if claim.full:
            queue.not_before = now + random.uniform(0.8, 1) * interval
        elif not claim.rows:  # its partitions are full, or nothing of it can run here: until there is news
            queue.not_before = now + min(SPACING * took_seconds * 2**queue.fruitless, interval)
            queue.fruitless = min(queue.fruitless + 1, MOST_DOUBLINGS)
        else:
            queue.not_before = 0.0

    # ------------------------------------------------------------ how much, and when

    def _room(self) -> int:
        """How many may be claimed now: a process does not claim what it cannot start soon."""
        engine = self.engine
        if engine.threads.crowded:
            return 0
        long_ago = clock.steady() - MOMENT_SECONDS
        while self._recent and self._recent[0][0] < long_ago:
            self._recent.popleft()
        backlog = engine.threads.backlog
        if not self._recent and not backlog:
            return SMALLEST_BATCH  # what comes first begins soon; the rest is claimed meanwhile
        beginning = sum(engine.count_active(ids) for _, ids in self._recent)
        room = ROOM - max(beginning, backlog)
        return min(room, BATCH) if room >= SMALLEST_BATCH else 0

    def due_in_seconds(self) -> float:
        look = look_at_queues(self.engine)
        waiting = {queue.spec.name for queue in look.queues if queue.waiting}
        openings = [queue.look_at for name, queue in self._served.items() if name in waiting]
        delay_seconds = NEVER if look.next_due_ms is None else look.next_due_ms / 1000
        return min(delay_seconds, min(openings, default=NEVER) - clock.steady())

    def _rest_seconds(self, next_due_ms: int | None, waiting: list[Served]) -> float:
        """Until something is due by itself."""
        now = clock.steady()
        interval = min(queue.spec.polling_interval_seconds for queue in self._served.values())
        rest = random.uniform(0.95, 1.05) * interval
        if next_due_ms is not None:
            rest = min(rest, next_due_ms / 1000)
        for queue in waiting:
            due = min(queue.not_before, queue.look_at)
            rest = min(rest, due - now if due > now else ROOM_SECONDS)
        return max(rest, 0.001)
