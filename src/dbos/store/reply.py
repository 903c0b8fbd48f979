"""How whoever waits for a thread of ours hears what came of it.

A thread waits at a gate, a coroutine for a future; what waits on no thread at all is resumed by a call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dbos.lazy import LazyModule, asyncio

if TYPE_CHECKING:
    from dbos.store import patience
else:
    patience = LazyModule("dbos.store.patience")  # it extends a class of asyncio

T = TypeVar("T")

Submit = Callable[[Callable[[], Any]], None]
"""Has a call made on a thread made for that, soon. Raises RuntimeError when it takes no more."""


class Reply(Generic[T]):
    """What one caller waits for. Set `value` or `error`, then `deliver` it."""

    __slots__ = ("error", "future", "gate", "loop", "resume", "submit", "value")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        patient: bool = False,
        submit: Submit | None = None,
        resume: Callable[[Reply[T]], None] | None = None,
    ) -> None:
        """`loop`: its thread calls this, for a coroutine that awaits `future`. `submit`: `resume` is called through it
        with this reply; it must neither block nor raise. Else a thread will call `wait`."""
        self.value: T
        self.error: BaseException | None = None
        self.loop = loop
        self.submit = submit
        self.resume = resume
        if submit is not None:
            return
        if loop is None:
            self.gate = threading.Lock()
            self.gate.acquire()
        else:
            self.future: asyncio.Future[T] = patience.PatientFuture(loop=loop) if patient else loop.create_future()

    def wait(self) -> T:
        """Block this thread until the reply is there."""
        self.gate.acquire()
        return self.unwrap()

    def unwrap(self) -> T:
        """The value, or raise the error. Only once it is delivered."""
        if self.error is not None:
            raise self.error
        return self.value


def deliver(replies: Sequence[Reply[Any]]) -> None:
    """Wake everyone: a thread by its gate, all coroutines of a loop by one call, and so all that is to be resumed."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Reply[Any]]] = {}
    by_submit: dict[Submit, list[Reply[Any]]] = {}
    for reply in replies:
        if reply.submit is not None:
            by_submit.setdefault(reply.submit, []).append(reply)
        elif reply.loop is None:
            reply.gate.release()
        else:
            by_loop.setdefault(reply.loop, []).append(reply)
    for loop, waiting in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, waiting)
        except RuntimeError:
            pass  # the loop is closed: nobody waits there any more
    for submit, waiting in by_submit.items():
        try:
            submit(partial(_resume, waiting))
        except RuntimeError:  # there is no thread, or no more: whoever was answered is not left hanging
            _resume(waiting)


def _resume(replies: Sequence[Reply[Any]]) -> None:
    for reply in replies:
        assert reply.resume is not None
        reply.resume(reply)


def _resolve(replies: Sequence[Reply[Any]]) -> None:
    """Tell coroutines, on their loop. They may have been cancelled meanwhile."""
    for reply in replies:
        if reply.future.done():
            continue
        if reply.error is None:
            reply.future.set_result(reply.value)
        else:
            reply.future.set_exception(reply.error)
