"""What an operation needs: the store, the codec, the clock, and the waiters.

An engine runs nothing. `Executor` adds what running workflows takes; a client, in a program that only asks, has an
engine and no more. An engine lives from launch to destroy; it owns no loop and reads no settings.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dbos.error import DBOSException
from dbos.lazy import asyncio, random
from dbos.model.ids import Uuid7Sequence
from dbos.model.queue import QueueSpec
from dbos.model.serialization import Serialization
from dbos.model.workflow import Status
from dbos.runtime.clock import DatabaseClock, wall_ms
from dbos.runtime.hosts import ThreadHost
from dbos.runtime.questions import SharedQuestion
from dbos.runtime.waiters import Waiters
from dbos.store.deleting import Life
from dbos.store.reply import Reply, deliver
from dbos.store.store import Store

if TYPE_CHECKING:
    from dbos.runtime.context import Attempt

READERS = 4  # threads that read the store for coroutines; as many as there are reading connections


class Engine:
    """The system database as operations see it."""

    CLOSED = "The client was destroyed"

    def __init__(self, store: Store, codec: Serialization, instance: str, application_name: str | None) -> None:
        """`instance` names this very engine, among all processes; a client without an application speaks for all."""
        self.store = store
        self.metrics = store.metrics
        self.codec = codec
        self.instance = instance
        self.application_name = application_name
        self.clock = DatabaseClock(store.now_ms)
        self.waiters = Waiters()
        self.closed = False
        self._readers = ThreadHost("dbos-reader", READERS)
        self.standing = SharedQuestion(store.workflows.standings, self._submit_to_reader)
        self.load = SharedQuestion(store.workflows.load_many, self._submit_to_reader)
        self.event = SharedQuestion(store.events.values, self._submit_to_reader)
        self.application_version: str | None = None  # what runs here; nothing does
        self.application_id = ""
        self.known_queues: dict[str, QueueSpec] = {}  # of the database, as this process saw them last
        self.queue_changes = 0  # made here: whoever asked before one knows less than `known_queues`
        self._starts = itertools.count(1)
        # Ids grow, so that inserting into a large table stays cheap. Seeded by the system, once: asking it costs 10 us.
        self.new_id = Uuid7Sequence(wall_ms, random.Random(os.urandom(32)).getrandbits, threading.Lock()).next

    def new_token(self) -> str:
        """Names one start of a workflow, by this engine and a count."""
        return f"{self.instance}:{next(self._starts)}"

    def ensure_open(self) -> None:
        """Raises DBOSException after the end."""
        if self.closed:
            raise DBOSException(self.CLOSED)

    def read_soon(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Read the store on a reader thread, for a coroutine."""
        if isinstance(call, SharedQuestion):
            return call.soon(*arguments)
        reply: Reply[Any] = Reply(asyncio.get_running_loop())

        def work() -> None:
            try:
                reply.value = call(*arguments)
            except BaseException as error:
                reply.error = error
            deliver((reply,))

        self._submit_to_reader(work)
        return reply.future

    def _submit_to_reader(self, work: Callable[[], None]) -> None:
        try:
            self._readers.submit(work)
        except RuntimeError:
            self.ensure_open()  # of a thread that has ended with us nobody needs to hear
            raise

    def announce_enqueued(self, queue_name: str | None) -> None:
        """Something new waits in a queue (None: in whichever): who dispatches looks, here at once, elsewhere soon."""
        self.queue_changed(queue_name)
        self.store.hints.publish("enqueued", (queue_name or "",))

    # ------------------------------------------------------------ what runs here: nothing

    def declared_queue(self, name: str) -> QueueSpec | None:
        """A queue that is declared in the code of this process."""
        return None

    def active(self) -> Mapping[str, Attempt]:
        """The attempts that run in this process, by workflow."""
        return {}

    def attempt_of(self, workflow_id: str) -> Attempt | None:
        """The attempt of this workflow that runs in this process."""
        return None

    serves_queues = False  # of users: work for this process may come from another one at any moment

    def queue_changed(self, queue_name: str | None) -> None:
        """Something was put on this queue, or some slot of it is free; None: on any of them."""

    def supersede(self, workflow_id: str, status: Status, attempt: Attempt | None) -> None:
        """The workflow was taken from whoever had it: cancelled, or (PENDING) for somebody else to run.

        `attempt` is the one that ran here before that. By now another one may, which has every right to.
        """

    def forget_workflows(self, lives: Sequence[Life]) -> None:
        """These were deleted: drop what their transactions left in other databases that this process knows."""

    def close(self) -> None:
        """Write nothing more; waiters wake up and find the engine closed."""
        self.closed = True
        self.store.journal.close()
        self.waiters.wake_all()
        self._readers.close(drop=False)  # what is queued ends at once: the store refuses
        self.store.close()
