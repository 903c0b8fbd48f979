"""Kill a workflow at every one of its commits, recover it, and see that nobody can tell.

A step that has run and is not recorded runs again; what is recorded does not. So each commit is tried on both sides.
What comes out differently names the step whose second run made the difference.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos.runtime.operation import Commit, Effect
from dbos.testing.crashing import Crashed, Point, Process, Seam, When

WORKFLOW_ID = "crash-everywhere"
QUIET_SECONDS = 10.0  # for what a workflow has started and not waited for


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run came to, and what it left outside."""

    value: Any = None
    error: tuple[type[BaseException], str] | None = None
    seen: Any = None

    def __str__(self) -> str:
        came_to = (
            f"returned {self.value!r}" if self.error is None else f"raised {self.error[0].__name__}: {self.error[1]}"
        )
        return came_to if self.seen is None else f"{came_to} and left {self.seen!r}"


def crash_everywhere(
    config: DBOSConfig, call: Callable[[], Any], prepare: Callable[[], Any], observe: Callable[[], Any]
) -> int:
    """Run a call of one workflow undisturbed, and then once for each place to die; returns how many there were.

    Raises AssertionError for the first run that came to something else. DBOS is launched anew when this returns.
    """
    seam = Seam(counts=_is_checkpoint)
    DBOS.destroy()
    process = Process(config.get("system_database_url") or "", **config)
    with seam.installed():
        process.launch()
        _forget(process)
        try:
            calm = _live(call, prepare, observe)
            assert calm is not None
            places = list(seam.trace)
            _forget(process)
            for number, place in enumerate(places, 1):
                for when in (When.BEFORE, When.AFTER):
                    point = Point(number, when)
                    run = _run(process, seam, point, call, prepare, observe)
                    assert run == calm, _verdict(point, place, run, calm)
                    _forget(process)
        finally:
            seam.arm(None)
            if not process.alive:
                process.launch()
    return 2 * len(places)


def _is_checkpoint(effect: Effect) -> bool:
    return isinstance(effect, Commit)


def _run(
    process: Process,
    seam: Seam,
    point: Point,
    call: Callable[[], Any],
    prepare: Callable[[], Any],
    observe: Callable[[], Any],
) -> _Run | None:
    seam.arm(point)
    run = _live(call, prepare, observe)
    if not seam.struck:
        return run
    seam.arm(None)
    process.kill()
    process.launch()
    return _live(call, lambda: None, observe)


def _live(call: Callable[[], Any], prepare: Callable[[], Any], observe: Callable[[], Any]) -> _Run | None:
    """One life of the process; None if it died."""
    prepare()
    try:
        value = _perform(call)
    except Crashed:
        return None
    except Exception as error:
        return _Run(error=(type(error), str(error)), seen=observe())
    return _Run(value, seen=observe())


def _perform(call: Callable[[], Any]) -> Any:
    """On a thread of its own, so that it does not matter whether the test is a coroutine, or the workflow."""

    def work() -> Any:
        with SetWorkflowID(WORKFLOW_ID):
            value = call()
            return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value

    with ThreadPoolExecutor(1, "dbos-crash-everywhere") as thread:
        return thread.submit(copy_context().run, work).result()


async def _awaited(value: Any) -> Any:
    return await value


def _forget(process: Process) -> None:
    process.engine.wait_until_idle(QUIET_SECONDS)
    DBOS.delete_workflow(WORKFLOW_ID, delete_children=True)


def _verdict(point: Point, place: str, run: _Run | None, calm: _Run) -> str:
    steps = [
        part.partition(" ")[2] for part in place.removeprefix("Commit ").split("+") if part.startswith("Checkpoint")
    ]
    step = repr(steps[0]) if steps else ""
    if point.when is When.AFTER:
        why = "what runs after it depends on something that is not recorded, or does something outside of a step"
        where = f"right after step {step} was recorded" if step else "right after it was started or had ended"
    elif step:
        where, why = (
            f"when step {step} had run and was not recorded yet",
            f"step {step} ran twice, and is not idempotent",
        )
    else:
        where, why = "when it was not recorded yet", "its body does something outside of a step"
    return f"The workflow was killed {where}, and recovered: it {run}, but undisturbed it {calm}. So {why}."
