"""What the body of a workflow does besides calling decorated steps: steps made on the spot, sleeping, waiting."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, overload

from dbos.api.twins import awaitable, blocking
from dbos.runtime.context import require_workflow_body
from dbos.runtime.operations import concurrency
from dbos.runtime.operations.sleep import sleep as durable_sleep
from dbos.runtime.operations.steps import StepOptions, StepReservation, run_step, run_step_async

P = ParamSpec("P")
R = TypeVar("R")


class StepCalls:
    """Run, reserve, sleep."""

    @classmethod
    def run_step(
        cls, dbos_step_options: StepOptions | None, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run any function as a step of this workflow; outside a workflow, and inside a step, it is a plain call.

        Args:
            dbos_step_options: See StepOptions; None for the defaults. The step is named as the function is by default.
            func: The function; its arguments follow.
        """
        return run_step(dbos_step_options, func, *args, **kwargs)  # type: ignore[no-any-return]

    @overload
    @classmethod
    async def run_step_async(
        cls,
        dbos_step_options: StepOptions | None,
        func: Callable[P, Coroutine[Any, Any, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    @classmethod
    async def run_step_async(
        cls, dbos_step_options: StepOptions | None, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @classmethod
    async def run_step_async(
        cls, dbos_step_options: StepOptions | None, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> Any:
        """Run any function, sync or async, as a step of this workflow; see `run_step`."""
        return await run_step_async(dbos_step_options, func, *args, **kwargs)

    @classmethod
    def reserve_step(cls) -> StepReservation:
        """Draw a step number now for a step that runs later. Raises DBOSException outside a workflow body."""
        return StepReservation(require_workflow_body("DBOS.reserve_step"))

    sleep = staticmethod(blocking(durable_sleep, waits=True))
    sleep_async = staticmethod(awaitable(durable_sleep))
    asyncio_wait = staticmethod(concurrency.asyncio_wait)
