"""The third interpreter: performs effects as the other two do, counts them, and dies at a chosen one.

A `Seam` stands between operations and the two interpreters. At the effect it is armed for, the engine dies as a killed
process would, seen from the database: whatever it tries from then on, in whichever thread or task, raises `Crashed`;
its journal takes nothing more. `Process.kill` then clears away what a kill would have: services, threads, connections,
with no goodbye to the database, whose lease of the dead is declared over. A fresh `launch` recovers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dbos import DBOS, DBOSConfig
from dbos.api import launched
from dbos.api.assembly import Running
from dbos.runtime import interpreters
from dbos.runtime.engine import Engine
from dbos.runtime.executor import Executor
from dbos.runtime.operation import Ask, Commit, Effect, Invoke
from dbos.store.database import Results
from dbos.store.records import Checkpoint, CheckpointSend, Record
from dbos.store.reply import Reply, Submit


class Crashed(BaseException):
    """The process is dead. Not an `Exception`: no user code and no engine code survives a kill."""


class When(StrEnum):
    """On which side of an effect something strikes."""

    BEFORE = "before"
    DURING = "during"  # of cancellations: the effect is under way; a crash then comes to one of the other two
    AFTER = "after"  # it is done (a commit is durable), but its answer is never delivered


@dataclass(frozen=True, slots=True)
class Point:
    """One place to strike: at the effect of this number, counted from 1 since the seam was armed."""

    number: int
    when: When

    def __str__(self) -> str:
        return f"{self.when} effect {self.number}"


class Seam:
    """Counts the effects of live engines, and strikes at the armed one: by death, or by cancelling its task."""

    def __init__(self, counts: Callable[[Effect], bool] = lambda effect: True) -> None:
        """`counts`: which effects are counted, and struck at."""
        self._lock = threading.Lock()  # guards everything below
        self._counts = counts
        self._point: Point | None = None
        self._cancels = False
        self._dead: set[Engine] = set()
        self.trace: list[str] = []  # what was performed since the seam was armed, in order
        self.struck = False  # did the armed strike happen?
        self._blocking = interpreters._perform_blocking
        self._async = interpreters._perform_async
        self._hosted = interpreters._commit_hosted

    def arm(self, point: Point | None, *, cancels: bool = False) -> None:
        """Count anew, and strike at `point` (None: only count)."""
        with self._lock:
            self._point, self._cancels = point, cancels
            self.trace, self.struck = [], False

    @contextmanager
    def installed(self) -> Generator[Seam]:
        """Every operation is performed through this seam."""
        interpreters._perform_blocking = self._perform_blocking
        interpreters._perform_async = self._perform_async
        interpreters._commit_hosted = self._commit_hosted
        try:
            yield self
        finally:
            interpreters._perform_blocking = self._blocking
            interpreters._perform_async = self._async
            interpreters._commit_hosted = self._hosted

    # ------------------------------------------------------------ performing

    def _perform_blocking(self, engine: Engine | None, effect: Effect) -> Any:
        here = self._enter(engine, effect, in_task=False)
        if here is When.BEFORE:
            self._die(engine)
        try:
            answer = self._blocking(engine, effect)
        finally:
            if here is When.AFTER:
                self._die(engine)
            self._ensure_alive(engine)
        return answer

    def _commit_hosted(
        self, engine: Engine, effect: Commit, submit: Submit, resume: Callable[[Reply[Results]], None]
    ) -> None:
        here = self._enter(engine, effect, in_task=False)
        if here is When.BEFORE:
            self._die(engine)

        def answered(reply: Reply[Results]) -> None:
            try:
                if here is When.AFTER:
                    self._die(engine)
                self._ensure_alive(engine)
            except Crashed as death:
                reply.error = death
            resume(reply)

        self._hosted(engine, effect, submit, answered)

    async def _perform_async(self, engine: Engine | None, effect: Effect) -> Any:
        here = self._enter(engine, effect, in_task=True)
        if here is not None and self._cancels:
            return await self._perform_cancelled(engine, effect, here)
        if here is When.BEFORE:
            self._die(engine)
        try:
            answer = await self._async(engine, effect)
        except asyncio.CancelledError:
            raise  # of a loop that ends: it has to get through
        except BaseException:
            self._ensure_alive(engine)
            raise
        finally:
            if here is When.AFTER:
                self._die(engine)
        self._ensure_alive(engine)
        return answer

    async def _perform_cancelled(self, engine: Engine | None, effect: Effect, here: When) -> Any:
        """The task is cancelled before the effect, while it is awaited, or when its answer has come."""
        task = asyncio.current_task()
        assert task is not None
        if here is When.DURING:
            asyncio.get_running_loop().call_soon(task.cancel)
        answer = None if here is When.BEFORE else await self._async(engine, effect)
        if here is not When.DURING:
            task.cancel()
        await asyncio.sleep(0)  # here it strikes, unless the effect was suspended and has been struck already
        return answer

    def _enter(self, engine: Engine | None, effect: Effect, in_task: bool) -> When | None:
        """Count an effect. Says when to strike if it is the one."""
        with self._lock:
            if engine in self._dead:
                raise Crashed
            if not self._counts(effect):
                return None
            self.trace.append(describe(effect))
            point = self._point
            if point is None or point.number != len(self.trace) or (self._cancels and not in_task):
                return None
            if self._cancels:
                self.struck = True
            return point.when

    # ------------------------------------------------------------ dying

    def _die(self, engine: Engine | None) -> None:
        assert engine is not None, "what runs outside of any application does not die with it"
        with self._lock:
            self._dead.add(engine)
            self.struck = True
        engine.closed = True
        engine.store.journal.close()
        engine.waiters.wake_all()
        raise Crashed

    def _ensure_alive(self, engine: Engine | None) -> None:
        if engine in self._dead:
            raise Crashed

    def killed(self, engine: Engine) -> bool:
        """Is this engine dead?"""
        return engine in self._dead

    def forget(self, engine: Engine) -> None:
        """Nothing of it is left."""
        with self._lock:
            self._dead.discard(engine)


def describe(effect: Effect) -> str:
    """An effect in a few words, for whoever reads which point failed."""
    if isinstance(effect, Commit):
        return "Commit " + "+".join(map(_title, effect.records))
    if isinstance(effect, Ask):
        return f"Ask {getattr(effect.call, '__name__', effect.call)}"
    return "Invoke" if isinstance(effect, Invoke) else "Wait"


def _title(record: Record) -> str:
    kind = type(record).__name__
    return f"{kind} {record.name}" if isinstance(record, Checkpoint | CheckpointSend) else kind


class Process:
    """The application, as it is launched, killed and launched again on one database."""

    def __init__(self, database_url: str, /, **config: Any) -> None:
        self.database_url = database_url
        self._config: DBOSConfig = {
            "name": "crash-tests",
            "system_database_url": database_url,
            "application_version": "crash-tests",  # so that no launch reads the sources again
        }
        self._config.update(config)  # type: ignore[typeddict-item]  # keys by name, checked when it is launched
        self._running: Running | None = None

    @property
    def alive(self) -> bool:
        return self._running is not None

    @property
    def engine(self) -> Executor:
        assert self._running is not None
        return self._running.engine

    def launch(self) -> None:
        """Start the application; it recovers what the one before it left."""
        DBOS(config=self._config)
        DBOS.launch()
        assert DBOS._instance is not None
        self._running = DBOS._instance._running

    def kill(self) -> None:
        """End it as SIGKILL does: nothing is finished, nobody is told, and its lease is over."""
        assert self._running is not None
        running, self._running = self._running, None
        for service in running.services:
            service.stop()
        with DBOS._lock:
            DBOS._instance = None
            launched.set_engine(None)
        running.engine.store.executors.declare_dead([running.engine.owner.instance])
        running.engine.close()

    def stop(self) -> None:
        """End it in an orderly way, if it runs."""
        self._running = None
        DBOS.destroy()
