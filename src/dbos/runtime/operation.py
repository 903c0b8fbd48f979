"""The vocabulary of operations.

An operation is a generator that yields effects and receives their answers; it is written once and performed
by one of the two interpreters, blocking or async (see interpreters.py). Four effects are all there is: `Ask`,
`Commit`, `Wait` and `Invoke`. What must be atomic is one `Commit`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from dbos.runtime.waiters import Registration
    from dbos.store.records import Record

T = TypeVar("T")


class Outcome(Generic[T]):
    """What user code came to: a value or an exception, boxed so that engine code never mistakes one for its own."""

    __slots__ = ("error", "value")

    def __init__(self, value: T | None = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error

    def unwrap(self) -> T:
        """The value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class Ask:
    """One short call of the store: a read, or a verb that is safe to repeat. The answer is what the call returns."""

    __slots__ = ("arguments", "call")

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call = call
        self.arguments = arguments


class Commit:
    """Hand records to the journal, all in one transaction. The answer: one result per record, once they are durable."""

    __slots__ = ("records",)

    def __init__(self, *records: Record) -> None:
        self.records = records


class Wait:
    """Wait until the registration is woken or the time is over. The answer: was it woken?

    `due_ms`: the moment on the database's clock at which something becomes due; None if it is only time for another
    look then.
    """

    __slots__ = ("due_ms", "registration", "timeout_seconds")

    def __init__(
        self, registration: Registration, timeout_seconds: float | None = None, due_ms: float | None = None
    ) -> None:
        self.registration = registration
        self.timeout_seconds = timeout_seconds
        self.due_ms = due_ms


class Invoke:
    """Run user code in its own colour: a plain call, or (under the async interpreter) an awaited one.

    The answer is an Outcome; only exceptions outside `Exception` are thrown into the operation. An async call
    can be bounded in time (the answer is then an Outcome with the error that `on_timeout` makes) and can be preempted:
    it is cancelled when `watch` is woken and `preempted()` is true (the answer is then None). One that `lasts` is
    performed to its end even if its task is cancelled, like a `Commit`; what came of one that is `owed` is recorded
    before the cancellation strikes.
    """

    __slots__ = ("awaited", "call", "lasts", "on_timeout", "owed", "preempted", "timeout_seconds", "watch")

    def __init__(
        self,
        call: Callable[[], Any],
        awaited: bool,
        timeout_seconds: float | None = None,
        on_timeout: Callable[[], Exception] | None = None,
        watch: Registration | None = None,
        preempted: Callable[[], bool] = bool,
        lasts: bool = False,
        owed: bool = False,
    ) -> None:
        self.call = call
        self.awaited = awaited
        self.timeout_seconds = timeout_seconds
        self.on_timeout = on_timeout
        self.watch = watch
        self.preempted = preempted
        self.lasts = lasts
        self.owed = owed


Effect = Ask | Commit | Wait | Invoke
Operation = Generator[Effect, Any, T]

__all__ = ["Ask", "Commit", "Effect", "Invoke", "Operation", "Outcome", "Wait"]
