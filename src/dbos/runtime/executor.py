"""An engine that runs workflows: the registry, the hosts of user code, and the attempts that run in this process.

The api assembles it at launch, the services keep it going.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dbos.lazy import asyncio
from dbos.model.queue import INTERNAL, QueueSpec
from dbos.model.serialization import Serialization
from dbos.model.workflow import Status
from dbos.runtime.context import Attempt
from dbos.runtime.engine import Engine
from dbos.runtime.hosts import LoopHost, ThreadHost
from dbos.runtime.openings import Openings
from dbos.runtime.registry import Registry
from dbos.store.deleting import Life
from dbos.store.executors import Lease, Owner
from dbos.store.store import Store

if TYPE_CHECKING:
    from dbos.telemetry.tracing import Tracing
    from dbos.userdata.database import UserDatabase

logger = logging.getLogger("dbos")


class Executor(Engine):
    """Everything that running a workflow takes."""

    CLOSED = "DBOS was destroyed; unfinished workflows go on after the next DBOS.launch()"

    def __init__(
        self,
        store: Store,
        codec: Serialization,
        registry: Registry,
        owner: Owner,
        application_id: str = "",
        max_threads: int | None = None,
        open_user_database: Callable[[], UserDatabase] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(store, codec, owner.instance, owner.application_name)
        self.registry = registry
        self.owner = owner
        self.application_version = owner.application_version
        self.application_id = application_id
        self.tracing = tracing  # None where nobody watches
        self.lease: Lease | None = None  # once there is one
        self.threads = ThreadHost("dbos-worker", max_threads)
        # For what ends: no workflow that has all the threads may keep the outcomes of others to itself.
        self.resuming = self.threads if max_threads is None else ThreadHost("dbos-resumer")
        self.loop = LoopHost()
        # Claimed here and not runnable, at which epoch: until that changes its row waits for a fix, and nobody retries.
        self.set_aside: dict[str, int] = {}
        self.openings = Openings()
        self.own_queues = {INTERNAL.name: INTERNAL}  # of the library; always served
        store.workflows.on_requeued = lambda: self.announce_enqueued(None)
        self.nearest_deadline_ms: int | None = None  # of the workflows that run here
        self._lock = threading.Lock()  # guards _active
        self._active: dict[str, Attempt] = {}
        self._tasks: set[asyncio.Task[Any]] = set()  # the loop holds tasks weakly, we do not
        self._opening = threading.Lock()  # guards _user_database
        self._open_user_database = open_user_database
        self._user_database: UserDatabase | None = None
        self.witnesses: set[UserDatabase] = set()  # of datasources that workflows here have used

    def user_database(self) -> UserDatabase:
        """The database of `@DBOS.transaction`, opened by the first one. Raises DBOSInitializationError."""
        with self._opening:
            if self._user_database is None:
                assert self._open_user_database is not None
                self._user_database = self._open_user_database()
            return self._user_database

    def expect_witnesses(self, database: UserDatabase) -> None:
        """A workflow here has used a datasource; the service that forgets old witnesses begins to look after it."""
        if database not in self.witnesses:
            self.witnesses.add(database)
            self.waiters.wake("service", "forgetting")

    def forget_workflows(self, lives: Sequence[Life]) -> None:
        databases = {each for each in self.witnesses if each.forgets}
        with self._opening:
            if self._user_database is not None:
                databases.add(self._user_database)
        for database in databases if lives else ():
            try:
                database.forget_workflows(lives)
            except Exception as error:  # of the user's database; the workflows themselves are gone
                logger.info("Witnesses of deleted workflows are left: %s", error)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def expect_deadline(self, deadline_ms: int | None) -> None:
        """A workflow with a deadline runs here; the service that watches them wakes up if it is the nearest."""
        if deadline_ms is not None and (self.nearest_deadline_ms is None or deadline_ms < self.nearest_deadline_ms):
            self.nearest_deadline_ms = deadline_ms
            self.waiters.wake("service", "deadlines")

    def begin(self, attempt: Attempt) -> None:
        """An attempt runs in this process. Of two attempts of a workflow, the one of the lower epoch is superseded.

        That may be this one: a takeover can come between the commit that starts a workflow and its beginning here.
        """
        if self._active.get(attempt.workflow_id) is attempt:
            return
        with self._lock:
            other = self._active.get(attempt.workflow_id)
            late = other is not None and other.epoch > attempt.epoch
            if not late:
                self._active[attempt.workflow_id] = attempt
        loser = attempt if late else other
        if loser is not None and loser.revoked is None and other is not attempt:
            loser.revoke(Status.PENDING)

    def end(self, attempt: Attempt) -> None:
        """An attempt has come to its end, whatever came of it; who waits for it here looks again."""
        attempt.ended = True
        with self._lock:
            if self._active.get(attempt.workflow_id) is attempt:
                del self._active[attempt.workflow_id]
        self.waiters.wake("workflow", attempt.workflow_id)
        if attempt.slot is not None:
            self.openings.ended(*attempt.slot)
            self.waiters.wake("service", "dispatcher")
        if not self._active:
            self.waiters.wake("engine", "idle")

    def end_stranded(self) -> None:
        """End the attempts whose event loop was closed under them: nothing will ever carry them on."""
        for attempt in self.active().values():
            if attempt.loop is not None and attempt.loop.is_closed():
                self._tasks = {task for task in self._tasks if task.get_loop() is not attempt.loop}
                self.end(attempt)

    def declared_queue(self, name: str) -> QueueSpec | None:
        return self.registry.queues.get(name)

    def attempt_of(self, workflow_id: str) -> Attempt | None:
        return self._active.get(workflow_id)

    def count_active(self, workflow_ids: frozenset[str]) -> int:
        """How many of these run in this process."""
        with self._lock:
            return len(self._active.keys() & workflow_ids)

    def active(self) -> dict[str, Attempt]:
        with self._lock:
            return dict(self._active)

    def queue_changed(self, queue_name: str | None) -> None:
        self.openings.told(queue_name)
        self.waiters.wake("service", "dispatcher")

    def supersede(self, workflow_id: str, status: Status, attempt: Attempt | None) -> None:
        """The attempt that ran here stops at its next step, and its slot in a queue is free already."""
        self.set_aside.pop(workflow_id, None)
        self.queue_changed(None)
        if attempt is not None and not attempt.ended:
            attempt.revoke(status)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Wait until no attempt runs here (True) or the time is over (False)."""
        until = time.monotonic() + timeout_seconds
        self.end_stranded()
        with self.waiters.register(("engine", "idle")) as registration:
            while self._active:
                remaining = until - time.monotonic()
                if remaining <= 0:
                    return False
                registration.wait(remaining)
        return True

    def close(self) -> None:
        """Stop running user code: nothing more is written, waiters wake up and find the engine closed."""
        self.closed = True
        self.store.journal.close()  # first: whoever wakes up now must not write the end of the world as its outcome
        for attempt in self.active().values():
            attempt.revoke(Status.PENDING)  # the next launch goes on; here no further step starts
        self.threads.close(drop=True)
        self.resuming.close(drop=True)
        self.waiters.wake_all()
        self.loop.close()
        self._readers.close(drop=False)  # what is queued ends at once: the store refuses
        self.store.close()
        if self._user_database is not None:
            self._user_database.close_all()
