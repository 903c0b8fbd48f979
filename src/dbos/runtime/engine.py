"""What an attempt needs, in one place: store, codec, clock, waiters, registry, the hosts of user code, and the list of
attempts that run in this process.

One engine lives from launch to destroy. It owns no loop and reads no settings: the api assembles it, the services keep
it going.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from dbos.error import DBOSException
from dbos.model.ids import Uuid7Sequence
from dbos.model.serialization import Serialization
from dbos.model.workflow import Status
from dbos.runtime.clock import DatabaseClock, wall_ms
from dbos.runtime.context import Attempt
from dbos.runtime.hosts import LoopHost, ThreadHost
from dbos.runtime.registry import Registry
from dbos.runtime.waiters import Waiters
from dbos.store.executors import Owner
from dbos.store.store import Store

logger = logging.getLogger("dbos")

READERS = 4  # threads that read the store for coroutines; as many as there are reading connections


class Engine:
    """Everything that running a workflow takes."""

    def __init__(
        self,
        store: Store,
        codec: Serialization,
        registry: Registry,
        owner: Owner,
        application_id: str = "",
        max_threads: int | None = None,
    ) -> None:
        self.store = store
        self.codec = codec
        self.registry = registry
        self.owner = owner
        self.application_id = application_id
        self.clock = DatabaseClock(store.now_ms)
        self.waiters = Waiters()
        self.threads = ThreadHost("dbos-worker", max_threads)
        self.loop = LoopHost()
        self._readers = ThreadHost("dbos-reader", READERS)
        self.closed = False
        self.set_aside: set[str] = set()  # claimed here, but not runnable: its row waits for a fix, no sweep retries it
        self.nearest_deadline_ms: int | None = None  # of the workflows that run here
        self._lock = threading.Lock()  # guards _active
        self._active: dict[str, Attempt] = {}
        self._starts = itertools.count(1)
        # Ids grow, so that inserting into a large table stays cheap. Seeded by the system, once: asking it costs 10 us.
        self.new_id = Uuid7Sequence(wall_ms, random.Random(os.urandom(32)).getrandbits, threading.Lock()).next
        self._tasks: set[asyncio.Task[Any]] = set()  # the loop holds tasks weakly, we do not

    def new_token(self) -> str:
        """Names one start of a workflow, by this launch and a count."""
        return f"{self.owner.instance}:{next(self._starts)}"

    def ensure_open(self) -> None:
        """Raises DBOSException after destroy."""
        if self.closed:
            raise DBOSException("DBOS was destroyed; unfinished workflows go on after the next DBOS.launch()")

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def read_soon(self, call: Callable[..., Any], arguments: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Read the store on a reader thread, for a coroutine."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        def work() -> None:
            value, problem = None, None
            try:
                value = call(*arguments)
            except BaseException as error:
                problem = error
            try:
                loop.call_soon_threadsafe(settle, value, problem)
            except RuntimeError:  # the loop is closed, and who waited on it is gone
                pass

        self._readers.submit(work)
        return future

    def expect_deadline(self, deadline_ms: int | None) -> None:
        """A workflow with a deadline runs here; the service that watches them wakes up if it is the nearest."""
        if deadline_ms is not None and (self.nearest_deadline_ms is None or deadline_ms < self.nearest_deadline_ms):
            self.nearest_deadline_ms = deadline_ms
            self.waiters.wake("service", "deadlines")

    def begin(self, attempt: Attempt) -> None:
        """An attempt runs in this process. Of two attempts of a workflow, the one of the lower epoch is superseded.

        That may be this one: a takeover can come between the commit that starts a workflow and its beginning here.
        """
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
        if not self._active:
            self.waiters.wake("engine", "idle")

    def end_stranded(self) -> None:
        """End the attempts whose event loop was closed under them: nothing will ever carry them on."""
        for attempt in self.active().values():
            if attempt.loop is not None and attempt.loop.is_closed():
                self._tasks = {task for task in self._tasks if task.get_loop() is not attempt.loop}
                self.end(attempt)

    def attempt_of(self, workflow_id: str) -> Attempt | None:
        """The attempt of this workflow that runs in this process."""
        return self._active.get(workflow_id)

    def active(self) -> dict[str, Attempt]:
        """All attempts that run in this process."""
        with self._lock:
            return dict(self._active)

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
        self.waiters.wake_all()
        self.loop.close()
        self._readers.close(drop=False)  # what is queued ends at once: the store refuses
        self.store.close()
