"""What carries user code: an elastic pool of threads, and an event loop on a thread of its own.

Threads are started when work waits and none is idle, named, reused, and end after a while without work. Whoever takes
a piece of work sees to it that the next has a thread, so one at a time is started: fast if threads wait for something,
slowly if they compute, for then more of them would help nobody. With a limit,
a workflow that waits (for a child, say) stands aside: its place is free meanwhile, so a parent never starves its child.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context
from typing import Any

from dbos.lazy import asyncio

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
        self._numbers = itertools.count(1)  # of threads
        self._closed = False

    @property
    def backlog(self) -> int:
        """How much work waits for a thread."""
        return len(self._work)

    @property
    def crowded(self) -> bool:
        """Is there a limit, and as much work behind it as there are threads?"""
        return self._limit is not None and self.backlog >= self._limit

    def submit(self, *work: Callable[[], Any]) -> None:
        """Run each piece of work on a thread of ours as soon as there is room. Raises RuntimeError if that is never."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads of DBOS are stopped")
            self._work.extend(work)
            wanted = self._wants_thread()
        if wanted and not self._start_thread():
            with self._lock:
                left = [each for each in work if each in self._work]
                if self._idle + self._busy == 0 and left:  # nobody would ever do it
                    for each in left:
                        self._work.remove(each)
                    raise RuntimeError("the system has no thread left")

    def _wants_thread(self) -> bool:
        """See to it that the next piece of work has a thread, within the limit. Called with the lock held.

        An idle one is woken; True if one has to be started instead, which counts as idle from now on.
        """
        if not self._work or (self._limit is not None and self._busy >= self._limit):
            return False
        if self._idle > 0:
            self._lock.notify()
            return False
        self._idle += 1
        return True

    def _start_thread(self) -> bool:
        """Start one that was wanted; False if the system has none left. Without the lock: starting waits its turn."""
        try:
            threading.Thread(target=self._serve, name=f"{self._name}-{next(self._numbers)}", daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._idle -= 1
            return False
        return True

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
        work = self._take()
        if work is None:
            return None
        if self._work:  # an early look, which a submission repeats if it comes too early
            with self._lock:
                wanted = self._wants_thread()
            if wanted:
                self._start_thread()
        return work

    def _take(self) -> Callable[[], Any] | None:
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
            wanted = self._wants_thread()
        if wanted:
            self._start_thread()
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
        self,
        coroutines: Iterable[tuple[Coroutine[Any, Any, Any], Context]],
        keep: Callable[[asyncio.Task[Any]], None],
    ) -> None:
        """Run coroutines as tasks on our loop, all by one call; `keep` is given each task and must hold it.

        Raises RuntimeError if that is never, because we have stopped or the system can spare no loop.
        """
        loop = self._running_loop()

        def begin() -> None:
            for coroutine, context in coroutines:
                keep(loop.create_task(coroutine, context=context))

        loop.call_soon_threadsafe(begin)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise RuntimeError("the event loop of DBOS is stopped")
            if self._loop is None:
                self._loop, self._thread = self._start()
            return self._loop

    def _start(self) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        try:
            loop = asyncio.new_event_loop()
        except OSError as error:
            raise RuntimeError(f"the system has no event loop left: {error}") from error
        thread = threading.Thread(target=self._run, args=(loop,), name="dbos-loop", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            loop.close()
            raise
        return loop, thread

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
