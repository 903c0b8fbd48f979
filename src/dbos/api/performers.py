"""Who performs operations: the application that is launched in this process, or a client (client_connection.py).

What a handle does, it does through a performer, so that the same handles serve both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from dbos.api.launched import current_engine
from dbos.runtime.context import outside
from dbos.runtime.engine import Engine
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operation import Operation

R = TypeVar("R")

Make = Callable[[Engine], Operation[R]]
"""Makes an operation for an engine."""


class Performer(Protocol):
    """Performs operations in either world."""

    def perform(self, make: Make[R]) -> R:
        """On this thread."""

    async def perform_async(self, make: Make[R]) -> R:
        """As a coroutine."""


class Application:
    """Performs on the engine of the workflow we are in, whose steps the operations become, else on the launched one."""

    def perform(self, make: Make[R]) -> R:
        engine = current_engine()
        return run_blocking(engine, make(engine))

    async def perform_async(self, make: Make[R]) -> R:
        engine = current_engine()
        return await run_async(engine, make(engine))


class OneEngine:
    """Performs on the engine of a client, outside of whatever workflow asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def perform(self, make: Make[R]) -> R:
        with outside():
            return run_blocking(self._engine, make(self._engine))

    async def perform_async(self, make: Make[R]) -> R:
        with outside():
            return await run_async(self._engine, make(self._engine))


APPLICATION = Application()
