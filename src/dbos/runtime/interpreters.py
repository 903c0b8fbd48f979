"""The interpreters of operations: blocking and async, and blocking on threads of ours.

The only place that knows threads from coroutines. All throw failures and cancellation *into* the operation, so
`try`/`finally` works in all worlds. User exceptions travel boxed in an Outcome.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from dbos.fields import dataclass
from dbos.lazy import asyncio
from dbos.runtime.context import refuse_in_transaction
from dbos.runtime.hosts import standing_aside
from dbos.runtime.operation import Ask, Commit, Effect, Invoke, Operation, Outcome
from dbos.store.database import Results
from dbos.store.reply import Reply, Submit

if TYPE_CHECKING:
    from dbos.runtime.engine import Engine
    from dbos.runtime.waiters import Registration

T = TypeVar("T")


def run_blocking(engine: Engine | None, operation: Operation[T]) -> T:
    """Perform an operation on this thread. One that only invokes needs no engine."""
    try:
        effect = next(operation)
        while True:
            try:
                answer = _perform_blocking(engine, effect)
            except BaseException as error:
                effect = operation.throw(error)
            else:
                effect = operation.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _perform_blocking(engine: Engine | None, effect: Effect) -> Any:
    kind = type(effect)
    if kind is not Invoke:
        refuse_in_transaction("DBOS")
    if kind is Commit:
        return engine.store.journal.write(effect.records)  # type: ignore[union-attr]
    if kind is Invoke:
        try:
            return Outcome(effect.call())  # type: ignore[union-attr]
        except Exception as error:
            return _failure(error)
    if kind is Ask:
        return effect.call(*effect.arguments)  # type: ignore[union-attr]
    with standing_aside():
        return effect.registration.wait(effect.timeout_seconds)  # type: ignore[union-attr]


class Hosted(Generic[T]):
    """An operation that is performed on threads of ours, and holds none while it waits for the journal.

    So a few threads are enough for many workflows that end at the same time, and what they commit shares a batch.
    """

    def __init__(
        self,
        engine: Engine,
        operation: Operation[T],
        context: Context,
        submit: Submit,
        ended: Callable[[T | None, BaseException | None], None],
    ) -> None:
        """`submit`: where it goes on after a commit; not where user code may have all the threads.

        `ended` is told the result, or the error that came out of the operation.
        """
        self._engine = engine
        self._operation = operation
        self._context = context
        self._submit = submit
        self._ended = ended

    def begin(self) -> None:
        """Perform it up to its first commit, or to its end. Called on a thread of ours."""
        self._perform(self._operation.__next__)

    def _perform(self, step: Callable[[], Effect]) -> None:
        while True:
            effect = self._context.run(self._until_commit, step)
            if effect is None:
                return None
            try:  # outside of the context: the reply may come at once, and is taken inside, on another thread
                return _commit_hosted(self._engine, effect, self._submit, self._resume)
            except BaseException as error:
                step = partial(self._operation.throw, error)

    def _until_commit(self, step: Callable[[], Effect]) -> Commit | None:
        effect = self._take(step)
        while effect is not None and type(effect) is not Commit:
            try:
                answer = _perform_blocking(self._engine, effect)
            except BaseException as error:
                effect = self._take(partial(self._operation.throw, error))
            else:
                effect = self._take(partial(self._operation.send, answer))
        return effect

    def _take(self, step: Callable[[], Effect]) -> Effect | None:
        """The next effect; None at the end, which has been told."""
        result: T | None = None
        failure: BaseException | None = None
        try:
            return step()
        except StopIteration as stop:
            result = stop.value
        except BaseException as error:
            failure = error
        self._tell(result, failure)
        return None

    def _tell(self, result: T | None, error: BaseException | None) -> None:
        """What the listener raises is reported as of a thread that dies, but none does: others end on it, too."""
        try:
            self._ended(result, error)
        except BaseException:
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))

    def _resume(self, reply: Reply[Results]) -> None:
        """The journal has answered. That is usually the end; more is work of its own, lest it hold up other replies."""
        if reply.error is not None:
            step = partial(self._operation.throw, reply.error)
        else:
            step = partial(self._operation.send, reply.value)
        effect = self._context.run(self._take, step)
        if effect is not None:
            try:
                self._submit(partial(self._perform, lambda: effect))
            except RuntimeError as stopped:
                self._context.run(self._take, partial(self._operation.throw, stopped))


def _commit_hosted(engine: Engine, effect: Commit, submit: Submit, resume: Callable[[Reply[Results]], None]) -> None:
    engine.store.journal.write_and_resume(effect.records, submit, resume)


async def run_async(engine: Engine | None, operation: Operation[T]) -> T:
    """Perform an operation as a coroutine; the event loop is never blocked by the store."""
    try:
        effect = next(operation)
        while True:
            try:
                answer = await _perform_async(engine, effect)
            except BaseException as error:
                effect = operation.throw(error)
            else:
                effect = operation.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def _perform_async(engine: Engine | None, effect: Effect) -> Any:
    if _postponed and not _is_due_first(effect):
        _cancel_now()
    kind = type(effect)
    if kind is not Invoke:
        refuse_in_transaction("DBOS")
    if kind is Commit:
        return await _commit(engine, effect)  # type: ignore[arg-type]
    if kind is Invoke:
        return await _invoke(effect)  # type: ignore[arg-type]
    if kind is Ask:
        return await engine.read_soon(effect.call, effect.arguments)  # type: ignore[union-attr]
    return await effect.registration.wait_async(effect.timeout_seconds)  # type: ignore[union-attr]


@dataclass(slots=True)
class _Postponed:
    """A cancellation that is still to strike."""

    owed: bool  # what was committed is still to be recorded before that
    depth: int  # how many cancellations of its task were wanted when it came; fewer: it was taken back
    message: tuple[Any, ...]

    def is_wanted(self, task: asyncio.Task[Any]) -> bool:
        return task.cancelling() >= self.depth


_postponed: WeakKeyDictionary[asyncio.Task[Any], _Postponed] = WeakKeyDictionary()


def _postpone(cancellation: asyncio.CancelledError, owed: bool = False) -> None:
    """Let a cancellation of this task that came too early strike before the next effect of ours.

    Or, should the task wait for something else first, there: it may be in no hurry to come back to us.
    """
    task = asyncio.current_task()
    assert task is not None
    earlier = _postponed.get(task)
    owed = owed or (earlier is not None and earlier.owed)
    _postponed[task] = _Postponed(owed, task.cancelling(), cancellation.args)
    task.get_loop().call_soon(_strike, task)


def _strike(task: asyncio.Task[Any]) -> None:
    """Cancel a task that has gone on after all, unless it was struck meanwhile or the cancellation was taken back."""
    postponed = _postponed.get(task)
    if postponed is None:
        return
    wanted = postponed.is_wanted(task)
    if not wanted or not postponed.owed:
        del _postponed[task]
    if wanted:
        task.uncancel()  # the same cancellation once more: whoever counts them shall not see two
        task.cancel(*postponed.message)


async def _commit(engine: Engine | None, effect: Commit) -> Any:
    """Hand records to the journal, and learn what became of them even if the task is cancelled meanwhile.

    What is durable must be seen: if `asyncio.wait_for` gave up on a step whose success is being recorded, a replay
    would take another branch than the live run. So the answer is delivered, and the cancellation comes with the next
    effect or wait, if it is still wanted then. A second cancellation is obeyed at once.
    """
    assert engine is not None
    answer = engine.store.journal.write_soon(effect.records, asyncio.get_running_loop())
    try:
        return await answer  # patiently: see PatientFuture
    except asyncio.CancelledError as cancellation:
        if answer.cancelled() or not answer.done():
            raise
        _postpone(cancellation)
        return answer.result()


def _cancel_now() -> None:
    """Raise the cancellation that came while this task was committing, unless it was taken back since."""
    task = asyncio.current_task()
    postponed = None if task is None else _postponed.pop(task, None)
    if task is not None and postponed is not None and postponed.is_wanted(task):
        raise asyncio.CancelledError(*postponed.message)


def _is_due_first(effect: Effect) -> bool:
    """Does the effect belong to one that was cancelled and is owed: its end, or the record of what came of it?"""
    task = asyncio.current_task()
    postponed = None if task is None else _postponed.get(task)
    if postponed is None or not postponed.owed:
        return False
    if isinstance(effect, Commit):
        postponed.owed = False
        return True
    return isinstance(effect, Invoke) and effect.lasts


async def _invoke(effect: Invoke) -> Outcome[Any] | None:
    """Run user code under the async interpreter, bounded and preemptible where asked."""
    try:
        if not effect.awaited:
            return Outcome(effect.call())
        if effect.lasts:
            return Outcome(await _invoke_lasting(effect))
        if effect.watch is not None:
            return await _invoke_preemptible(effect, effect.watch)
        if effect.timeout_seconds is not None:
            return await _invoke_bounded(effect)
        return Outcome(await effect.call())
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> Outcome[Any]:
    """An exception of user code, boxed; its traceback begins there, without the frame of the interpreter."""
    frames = error.__traceback__
    return Outcome(error=error.with_traceback(None if frames is None else frames.tb_next))


async def _invoke_lasting(effect: Invoke) -> Any:
    """Go on to the end even if the task is cancelled; a second cancellation is obeyed at once."""
    work = asyncio.ensure_future(effect.call())
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError as cancellation:
        try:
            return await work
        finally:
            if work.done() and not work.cancelled():
                _postpone(cancellation, effect.owed)


async def _invoke_bounded(effect: Invoke) -> Outcome[Any]:
    try:
        async with asyncio.timeout(effect.timeout_seconds) as bound:
            return Outcome(await effect.call())
    except TimeoutError:
        if bound.expired() and effect.on_timeout is not None:
            return Outcome(error=effect.on_timeout())
        raise


async def _invoke_preemptible(effect: Invoke, watch: Registration) -> Outcome[Any] | None:
    """User code and the wait for preemption, side by side; whichever ends first ends the other."""

    async def preempted() -> None:
        while not effect.preempted():
            await watch.wait_async(None)

    work = asyncio.ensure_future(_invoke_bounded(effect) if effect.timeout_seconds is not None else effect.call())
    guard = asyncio.ensure_future(preempted())
    try:
        await asyncio.wait((work, guard), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            await asyncio.wait((work,))
            if work.cancelled():
                return None
        value = work.result()
        return value if isinstance(value, Outcome) else Outcome(value)
    finally:
        guard.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait((work,))  # its clean-up is part of the step
