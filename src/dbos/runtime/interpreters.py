"""The two interpreters of operations: blocking and async.

The only place that knows threads from coroutines. Both throw failures and cancellation *into* the operation, so
`try`/`finally` works in both worlds. User exceptions travel boxed in an Outcome.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from dbos.runtime.context import refuse_in_transaction
from dbos.runtime.hosts import standing_aside
from dbos.runtime.operation import Ask, Commit, Effect, Invoke, Operation, Outcome

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
    if _cancelled_while_committing and not _is_due_first(effect):
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


_cancelled_while_committing: WeakKeyDictionary[asyncio.Task[Any], bool] = WeakKeyDictionary()
"""Tasks whose cancellation is still to strike. True: what was committed is still to be recorded before that."""


async def _commit(engine: Engine | None, effect: Commit) -> Any:
    """Hand records to the journal, and learn what became of them even if the task is cancelled meanwhile.

    What is durable must be seen: if `asyncio.wait_for` gave up on a step whose success is being recorded, a replay
    would take another branch than the live run. So the answer is delivered, and the cancellation comes before the next
    effect, if it is still wanted then. A second cancellation is obeyed at once.
    """
    assert engine is not None
    answer = engine.store.journal.write_soon(effect.records, asyncio.get_running_loop())
    try:
        return await answer  # patiently: see PatientFuture
    except asyncio.CancelledError:
        if answer.cancelled() or not answer.done():
            raise
        task = asyncio.current_task()
        assert task is not None
        _cancelled_while_committing[task] = False
        return answer.result()


def _cancel_now() -> None:
    """Raise the cancellation that came while this task was committing, unless it was taken back since."""
    task = asyncio.current_task()
    if task is not None and task in _cancelled_while_committing:
        del _cancelled_while_committing[task]
        if task.cancelling():
            raise asyncio.CancelledError


def _is_due_first(effect: Effect) -> bool:
    """Does the effect belong to one that was cancelled and is owed: its end, or the record of what came of it?"""
    task = asyncio.current_task()
    if task is None or not _cancelled_while_committing.get(task):
        return False
    if isinstance(effect, Commit):
        _cancelled_while_committing[task] = False
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
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        _cancelled_while_committing[task] = effect.owed or _cancelled_while_committing.get(task, False)
        return await work


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
