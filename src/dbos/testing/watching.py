"""Who runs, and who waits: a seam in the interpreters that knows when nothing goes on unless time passes.

It sees every effect that is being performed. User code that runs (the body of a workflow, a step) is a `_Frame`, a wait
is a `_Waiting`, and each knows the code around it. All is quiet when nobody asks or writes, the services sleep, and
inside all user code that runs somebody waits. What user code does without us nobody sees: it runs until it is done.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from dbos.runtime import hosts, interpreters
from dbos.runtime.context import current_attempt
from dbos.runtime.engine import Engine
from dbos.runtime.executor import Executor
from dbos.runtime.operation import Commit, Effect, Invoke, Wait
from dbos.runtime.waiters import Registration
from dbos.services.service import Service
from dbos.store.database import Results
from dbos.store.reply import Reply, Submit

LOOP_SECONDS = 0.1  # for a loop to come to what it was asked to do


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """User code that runs."""

    engine: Engine
    outer: _Frame | None  # the code that called it
    place: object  # the task or the thread
    hosted: bool  # on a thread or in a task of ours: nobody of the test's stands still meanwhile
    workflow_id: str | None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """Somebody waits."""

    engine: Engine
    registration: Registration
    due_ms: float | None  # until then on the database's clock, if it is for something due
    frame: _Frame | None  # the code that waits
    hosted: bool
    loop: asyncio.AbstractEventLoop | None  # on which it waits, if it is a coroutine


_innermost: ContextVar[_Frame | None] = ContextVar("dbos_watched_frame", default=None)


class Watch:
    """Knows what is going on in this process, while it is installed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards everything below
        self._frames: set[_Frame] = set()
        self._waiting: set[_Waiting] = set()
        self._asking: Counter[Engine] = Counter()
        self._begun = 0  # user code, so often so far
        self.effects = 0  # begun so far
        self.outside = threading.Event()  # set while code waits that no host of ours carries

    @contextmanager
    def installed(self) -> Generator[None]:
        """Every effect is seen."""
        here = interpreters
        self._blocking, self._async = here._perform_blocking, here._perform_async
        self._hosted = here._commit_hosted
        here._perform_blocking, here._perform_async = self._perform_blocking, self._perform_async
        here._commit_hosted = self._commit_hosted
        try:
            yield
        finally:
            here._perform_blocking, here._perform_async = self._blocking, self._async
            here._commit_hosted = self._hosted

    # ------------------------------------------------------------ what is known

    def is_working(self, services: Iterable[Service]) -> bool:
        """Does the library itself do something: does somebody ask or write, or is a service awake?"""
        with self._lock:
            asking = any(count for each, count in self._asking.items() if not each.closed)
        return asking or not all(service.is_asleep for service in services)

    def is_quiet(self, engine: Executor, services: Iterable[Service]) -> bool:
        """Does nothing go on before time passes, or the outside world does something?"""
        if self.is_working(services):
            return False
        with self._lock:
            frames = [frame for frame in self._frames if not frame.engine.closed]
            waiting = [each for each in self._waiting if each.registration.is_asleep]
        waited = {frame for each in waiting for frame in _around(each.frame)}
        begun = {frame.workflow_id for frame in frames}
        return all(frame in waited for frame in frames) and engine.active().keys() <= begun

    def scene(self) -> object:
        """Who waits, and how much user code has begun: the same again if those who were woken did but look."""
        with self._lock:
            return self._begun, frozenset(each.registration for each in self._waiting)

    def turn_loops(self) -> bool:
        """Let the loops on which somebody waits run what they have begun; False if one is too busy."""
        with self._lock:
            loops = {each.loop for each in self._waiting if each.loop is not None}
        turned = [threading.Event() for _ in loops]
        for loop, event in zip(loops, turned, strict=True):
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # it was closed under those who waited on it
                event.set()
        return all(event.wait(LOOP_SECONDS) for event in turned)

    def due_in_seconds(self) -> float:
        """Until the first wait for something due is over; infinity if there is none."""
        with self._lock:
            waiting = tuple(self._waiting)
        remaining = (
            each.engine.clock.remaining_seconds(each.due_ms)
            for each in waiting
            if each.due_ms is not None and not each.engine.closed
        )
        return min(remaining, default=float("inf"))

    def look_again(self, engine: Executor) -> None:
        """If there are other engines than this one, everybody looks: what one did may be on its way to another."""
        with self._lock:
            others = [each for each in self._asking if each is not engine and not each.closed]
            waiting = tuple(self._waiting) if others else ()
        for each in waiting:
            each.registration.wake()

    def wake_the_due(self) -> None:
        """Those whose wait is over by the database's clock need not wait for their timers."""
        with self._lock:
            waiting = tuple(self._waiting)
        for each in waiting:
            if each.due_ms is not None and each.engine.clock.remaining_seconds(each.due_ms) <= 0:
                each.registration.wake()

    # ------------------------------------------------------------ seeing

    def _perform_blocking(self, engine: Engine | None, effect: Effect) -> Any:
        if engine is None:
            return self._blocking(engine, effect)
        with self._seen(engine, effect):
            return self._blocking(engine, effect)

    async def _perform_async(self, engine: Engine | None, effect: Effect) -> Any:
        if engine is None:
            return await self._async(engine, effect)
        with self._seen(engine, effect):
            return await self._async(engine, effect)

    def _commit_hosted(
        self, engine: Engine, effect: Commit, submit: Submit, resume: Callable[[Reply[Results]], None]
    ) -> None:
        self._ask(engine, 1)

        def answered(reply: Reply[Results]) -> None:
            try:
                resume(reply)
            finally:
                self._ask(engine, -1)

        try:
            self._hosted(engine, effect, submit, answered)
        except BaseException:
            self._ask(engine, -1)
            raise

    @contextmanager
    def _seen(self, engine: Engine, effect: Effect) -> Generator[None]:
        kind = type(effect)
        if kind is Wait:
            with self._seen_waiting(engine, effect.registration, effect.due_ms):  # type: ignore[union-attr]
                yield
        elif kind is Invoke:
            with self._seen_running(engine):
                yield
        else:
            self._ask(engine, 1)
            try:
                yield
            finally:
                self._ask(engine, -1)

    def _ask(self, engine: Engine, change: int) -> None:
        with self._lock:
            self._asking[engine] += change
            self.effects += change > 0

    @contextmanager
    def _seen_waiting(self, engine: Engine, registration: Registration, due_ms: float | None) -> Generator[None]:
        frame, (place, is_ours) = _innermost.get(), _here(engine)
        hosted = frame.hosted if frame is not None and not (is_ours and frame.place is not place) else is_ours
        waiting = _Waiting(engine, registration, due_ms, frame, hosted, asyncio._get_running_loop())
        with self._lock:
            self.effects += 1
            self._waiting.add(waiting)
            self._note_outside()
        try:
            yield
        finally:
            with self._lock:
                self._waiting.discard(waiting)
                self._note_outside()

    @contextmanager
    def _seen_running(self, engine: Engine) -> Generator[None]:
        outer, (place, is_ours) = _innermost.get(), _here(engine)
        if outer is not None and is_ours and outer.place is not place:
            outer = None  # it was started there, and goes its own way
        attempt = current_attempt()
        hosted = is_ours if outer is None else outer.hosted
        frame = _Frame(engine, outer, place, hosted, None if attempt is None else attempt.workflow_id)
        with self._lock:
            self.effects += 1
            self._begun += 1
            self._frames.add(frame)
        token = _innermost.set(frame)
        try:
            yield
        finally:
            _innermost.reset(token)
            with self._lock:
                self._frames.discard(frame)

    def _note_outside(self) -> None:
        if any(not each.hosted for each in self._waiting):
            self.outside.set()
        else:
            self.outside.clear()


def _around(frame: _Frame | None) -> Iterator[_Frame]:
    while frame is not None:
        yield frame
        frame = frame.outer


def _here(engine: Engine) -> tuple[object, bool]:
    """The task or the thread we are in, and whether it is one of ours."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is not None:
        return task, isinstance(engine, Executor) and task in engine._tasks
    thread = threading.current_thread()
    return thread, getattr(hosts._mine, "host", None) is not None
