"""The settings of a queue as users read and change them: a property, its async getter, and two setters for each.

A queue that is declared in code answers from memory and cannot be changed; one that is kept in the database is read
there, each time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, Self, TypedDict, TypeVar, overload

from dbos.api.performers import Make, Performer
from dbos.error import DBOSException
from dbos.lazy import running_loop
from dbos.model.queue import QueueSpec, RateLimit
from dbos.runtime.operations.queues import change_queue, require_queue

if TYPE_CHECKING:
    from dbos.api.queue import Queue

logger = logging.getLogger("dbos")
T = TypeVar("T")


class QueueRateLimit(TypedDict):
    """At most `limit` workflows start in any `period` of so many seconds, over all processes."""

    limit: int
    period: float


def one_concurrency(concurrency: int | None, global_concurrency: int | None) -> int | None:
    """The limit that has two names. Raises ValueError if they say different things."""
    if concurrency is not None and global_concurrency is not None and concurrency != global_concurrency:
        raise ValueError(
            f"concurrency and global_concurrency are two names of one limit: {concurrency} != {global_concurrency}"
        )
    return global_concurrency if concurrency is None else concurrency


def rate_limit(what: str, given: Any) -> RateLimit | None:
    """A rate limit as users write it. Raises ValueError for anything but a limit and a period."""
    if given is None:
        return None
    if not isinstance(given, dict) or set(given) != {"limit", "period"}:
        raise ValueError(f'{what} must look like {{"limit": 50, "period": 30}}, not {given!r}')
    return RateLimit(given["limit"], given["period"])


def shown_rate(rate: RateLimit | None) -> QueueRateLimit | None:
    """The same as users read it."""
    return None if rate is None else {"limit": rate.limit, "period": rate.period_seconds}


class Setting(Generic[T]):
    """`queue.x`: one field of the definition."""

    def __init__(self, field: str) -> None:
        self.field = field
        self.name = field

    def __set_name__(self, owner: type[Queue], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, queue: None, owner: type[Queue]) -> Self: ...
    @overload
    def __get__(self, queue: Queue, owner: type[Queue]) -> T: ...
    def __get__(self, queue: Queue | None, owner: type[Queue]) -> Self | T:
        if queue is None:
            return self
        if queue._keeper is None:
            return self.shown(queue._spec)
        self.warn_on_loop(f"Queue.{self.name}", f"get_{self.name}_async")
        return self.shown(queue._keeper.perform(lambda engine: require_queue(engine, queue.name)))

    def shown(self, spec: QueueSpec) -> T:
        """The value as users see it."""
        value: T = getattr(spec, self.field)
        return value

    def stored(self, value: Any) -> Any:
        """The value as definitions hold it."""
        return value

    def warn_on_loop(self, name: str, instead: str) -> None:
        """Both faces that block say so on a running event loop."""
        if running_loop() is not None:
            logger.warning("%s blocks the running event loop for a moment; use await queue.%s() instead", name, instead)


class RateSetting(Setting["QueueRateLimit | None"]):
    """The same for a rate limit, which users write as a dictionary."""

    def shown(self, spec: QueueSpec) -> QueueRateLimit | None:
        return shown_rate(getattr(spec, self.field))

    def stored(self, value: Any) -> RateLimit | None:
        return rate_limit(self.name, value)


class _Face(Generic[T]):
    """A method of the queue about one setting."""

    def __init__(self, setting: Setting[T]) -> None:
        self.setting = setting

    def keeper(self, queue: Queue) -> Performer:
        """Who changes the definition. Raises DBOSException for a queue that is declared in code."""
        if queue._keeper is None:
            raise DBOSException(
                f"Queue {queue.name} is declared in code: "
                "dynamic configuration is only supported for queues registered via DBOS.register_queue"
            )
        return queue._keeper

    def change(self, queue: Queue, value: T) -> Make[QueueSpec]:
        """The change. Raises ValueError for what cannot be."""
        stored = self.setting.stored(value)
        return lambda engine: change_queue(engine, queue.name, self.setting.field, stored)


class AsyncGetter(_Face[T]):
    """`await queue.get_x_async()`."""

    def __get__(self, queue: Queue, owner: type[Queue]) -> Callable[[], Coroutine[Any, Any, T]]:
        async def get() -> T:
            if queue._keeper is None:
                return self.setting.shown(queue._spec)
            spec = await queue._keeper.perform_async(lambda engine: require_queue(engine, queue.name))
            return self.setting.shown(spec)

        return get


class Setter(_Face[T]):
    """`queue.set_x(value)`."""

    def __get__(self, queue: Queue, owner: type[Queue]) -> Callable[[T], None]:
        def set_value(value: T) -> None:
            keeper = self.keeper(queue)
            self.setting.warn_on_loop(f"Queue.set_{self.setting.name}", f"set_{self.setting.name}_async")
            keeper.perform(self.change(queue, value))

        return set_value


class AsyncSetter(_Face[T]):
    """`await queue.set_x_async(value)`."""

    def __get__(self, queue: Queue, owner: type[Queue]) -> Callable[[T], Coroutine[Any, Any, None]]:
        async def set_value(value: T) -> None:
            await self.keeper(queue).perform_async(self.change(queue, value))

        return set_value
