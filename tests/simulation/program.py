"""The application as a world sees it: how it is loaded, what its steps tell, and what its workflows must come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dbos.api import launched
from dbos.runtime.context import current_attempt, current_step
from dbos.runtime.registry import Registry

if TYPE_CHECKING:
    from tests.simulation.world import World

APPLICATION = "tests.simulation.application"
LONGEST_STEP_SECONDS = 0.05
PATIENCE_SECONDS = 4.0  # of those who wait for a message or an event
RATE = {"limit": 2, "period": 0.8}


@dataclass(slots=True)
class Stage:
    """The world that plays just now."""

    world: World | None = None


STAGE = Stage()


class Failure(Exception):
    """What a workflow fails with on purpose."""


def begin() -> float:
    """A step body begins: the world writes it down, and says how long it takes."""
    world, attempt, step = STAGE.world, current_attempt(), current_step()
    assert world is not None
    assert attempt is not None
    assert step is not None
    world.step_begins(attempt.workflow_id, step.step_id, attempt.epoch)
    return world.machine.moment(LONGEST_STEP_SECONDS)


def work() -> None:
    """A step body takes its time."""
    seconds = begin()
    assert STAGE.world is not None
    STAGE.world.machine.sleep(seconds)


@cache
def program() -> Registry:
    """Register everything, once."""
    before, launched._registry = launched._registry, Registry()
    try:
        import_module(APPLICATION)
        return launched._registry
    finally:
        launched._registry = before


def function(name: str) -> Callable[..., Any]:
    """A workflow of the application."""
    program()
    found: Callable[..., Any] = getattr(import_module(APPLICATION), name)
    return found


def expected(workflow: str, args: tuple[Any, ...]) -> set[Any] | None:
    """What a workflow may come to if nobody steers it: values, or an error as text. None: judged elsewhere."""
    match workflow, args:
        case "add" | "add_async", (numbers,):
            return {sum(numbers)}
        case "family", (numbers,):
            return {sum(numbers) + len(numbers)}
        case "stubborn", (failures,):
            return {failures + 1}
        case "failing", (number,):
            return {f"as always: {number}"}
        case "nap", _:
            return {True}
        case "publish" | "bequeath", (number,):
            return {number}
        case "outbox", (_, count):
            return {count}
        case "follow", _:
            return {None, 0, 1, 2}
    return None
