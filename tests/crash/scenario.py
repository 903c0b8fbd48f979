"""What a scenario is, and the list of all of them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tests.crash.ledger import Ledger

Drive = Callable[[str], Any] | Callable[[str], Coroutine[Any, Any, Any]]
"""Runs a scenario once, as a client would, under ids that begin with the given run id.

Safe to repeat: a client that lost its application does the same again."""

Build = Callable[[Ledger], Drive]
"""Decorates the workflows of a scenario; their step bodies note themselves in the ledger."""

SCENARIOS: dict[str, Scenario] = {}
"""Filled by the modules of examples, as they are imported."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """An example to be killed at every point."""

    name: str
    build: Build
    outcome: tuple[str, str]
    """What it gives or raises when nothing goes wrong, and whatever goes wrong."""
    reopens_failures: bool = False  # resumes failed workflows, whose failed checkpoints go away
    steers: bool = False  # cancels or resumes: epochs and attempts depend on who was first
    races: bool = False  # how far its children come depends on who was first
    rewinds: bool = False  # workflows that have ended, whose checkpoints go away


def scenario(
    *,
    gives: Any = None,
    raises: str | None = None,
    reopens_failures: bool = False,
    steers: bool = False,
    races: bool = False,
    rewinds: bool = False,
) -> Callable[[Build], Build]:
    """Add a scenario under the name of its builder. The run id in its outcome is written RUN."""
    outcome = ("value", repr(gives)) if raises is None else ("error", raises)

    def add(build: Build) -> Build:
        name = f"{build.__module__.rpartition('.')[2]}-{build.__name__}"
        SCENARIOS[name] = Scenario(name, build, outcome, reopens_failures, steers, races, rewinds)
        return build

    return add


def perform(drive: Drive, run_id: str) -> tuple[str, str]:
    """Drive a scenario on this thread, or on an event loop of its own; its outcome as text, free of the run id."""
    try:
        if inspect.iscoroutinefunction(drive):
            value = asyncio.run(drive(run_id))
        else:
            value = drive(run_id)
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}".replace(run_id, "RUN")
    return "value", repr(value).replace(run_id, "RUN")
