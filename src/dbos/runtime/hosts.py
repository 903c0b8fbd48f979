"""What carries user code: an elastic pool of threads, and an event loop on a thread of its own.

Threads are started when work waits and none is idle, named, reused, and end after a while without work. With a limit,
a workflow that waits (for a child, say) stands aside: its place is free meanwhile, so a parent never starves its child.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context
from typing import Any

IDLE_SECONDS = 10.0  # how long a thread without work stays
STOP_SECONDS = 5.0  # how long a stopping loop gives its tasks to unwind


class ThreadHost:
    """Threads that run synchronous workflows, or reads for coroutines."""

    def __init__(self, name: str, limit: int | None = None) -> None:
        self._name = name
        self._limit = limit
        self._lock = threading.Condition()  # guards everything below
        self._work: deque[Callable[[], Any]] = deque()
        self._idle = 0  # threads that wait for work, or are about to look for it
        self._busy = 0
        self._started = 0
        self._closed = False

    @property
    def crowded(self) -> bool:
        """Is there a limit, and as much work behind it as there are threads?"""
        return self._limit is not None and len(self._work) >= self._limit

    def submit(self, work: Callable[[], Any]) -> None:
        """Run `work` on a thread of ours as soon as there is room."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads of DBOS are stopped")
            self._work.append(work)
            self._make_room()

    def _make_room(self) -> None:
        """Wake or start a thread for the next piece of work, within the limit. Called with the lock held."""
        if not self._work or (self._limit is not None and self._busy >= self._limit):
            return
        full = self._limit is not None and self._busy + self._idle >= self._limit
        if full or self._idle >= len(self._work):
            self._lock.notify()
        else:
            self._started += 1
            self._idle += 1
            try:
                threading.Thread(target=self._serve, name=f"{self._name}-{self._started}", daemon=True).start()
            except RuntimeError:  # the system has no thread left
                self._idle -= 1
                if self._idle + self._busy == 0:  # nor have we: nobody would ever do the work
                    self._work.pop()
                    raise

    def _serve(self) -> None:
        _mine.host = self
        try:
            while (work := self._next()) is not None:
                try:
                    work()
                finally:
                    del work
                    with self._lock:
                        self._busy -= 1
                        self._idle += 1
        except BaseException:
            with self._lock:
                self._idle -= 1
            raise

    def _next(self) -> Callable[[], Any] | None:
        with self._lock:
            while True:
                if self._work and (self._limit is None or self._busy < self._limit):
                    self._idle -= 1
                    self._busy += 1
                    return self._work.popleft()
                if self._closed or not (self._lock.wait(IDLE_SECONDS) or self._work):
                    self._idle -= 1
                    return None

    @property
    def is_limited(self) -> bool:
        """May its threads run short?"""
        return self._limit is not None

    @contextmanager
    def lending_a_place(self) -> Generator[None]:
        """One thread of ours waits while the body runs: its place is free for others."""
        with self._lock:
            self._busy -= 1
            self._make_room()
        try:
            yield
        finally:
            with self._lock:
                self._busy += 1  # may exceed the limit for a moment: who waited goes on at once

    def close(self, drop: bool) -> None:
        """Take no more work, and drop or finish what is queued; idle threads end now, busy ones after what they do."""
        with self._lock:
            self._closed = True
            if drop:
                self._work.clear()
            self._lock.notify_all()


_mine = threading.local()  # .host: the ThreadHost that this thread belongs to


def standing_aside() -> AbstractContextManager[None]:
    """While the body of this context waits, the place of this thread among the busy ones of its host is free."""
    host: ThreadHost | None = getattr(_mine, "host", None)
    return nullcontext() if host is None or not host.is_limited else host.lending_a_place()


class LoopHost:
    """An event loop on a thread of its own, started when first needed, for coroutine workflows without a loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _loop, _thread and _closed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(
        self, coroutine: Coroutine[Any, Any, Any], keep: Callable[[asyncio.Task[Any]], None], context: Context
    ) -> None:
        """Run a coroutine as a task on our loop; `keep` is given the task and must hold it."""
        loop = self._running_loop()

        def begin() -> None:
            keep(loop.create_task(coroutine, context=context))

        loop.call_soon_threadsafe(begin)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise RuntimeError("the event loop of DBOS is stopped")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._run, args=(self._loop,), name="dbos-loop", daemon=True)
                self._thread.start()
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            while True:
                try:
                    loop.run_forever()
                    break
                except (KeyboardInterrupt, SystemExit):  # of one task, which has ended with it; its neighbours go on
                    if self._closed:
                        break
        finally:
            pending = asyncio.all_tasks(loop)
            for task in pending:
                task.cancel()
            if pending:
                loop.run_until_complete(asyncio.wait(pending, timeout=STOP_SECONDS))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def close(self) -> None:
        """Cancel what runs on the loop and stop it."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(STOP_SECONDS * 2)
