"""What a scenario is, the list of all of them, and what one run of one has in hand."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.torture.laboratory import Laboratory
from tests.torture.world import World

Dialect = Literal["sqlite", "postgres"]
BOTH: tuple[Dialect, ...] = ("sqlite", "postgres")

SCENARIOS: dict[str, Scenario] = {}
"""Filled by the modules in `scenarios`, as they are imported."""


class Skipped(Exception):
    """A scenario cannot be played here; the message says why."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to harm an application."""

    name: str
    what: str  # one sentence
    play: Callable[[Run], None]
    """Raises AssertionError if something broke, and Skipped."""
    database: Dialect
    faults: tuple[str, ...]  # of the fault model
    invariants: tuple[str, ...]
    share: int  # of the time of a campaign, beside the others
    goals: Mapping[str, int]  # of what is counted, so many are wanted


class Run:
    """One run of a scenario: its dice, its time and its size, and what it counted."""

    def __init__(
        self, scenario: Scenario, laboratory: Laboratory, directory: Path, *, seed: int, seconds: float, long: bool
    ) -> None:
        """`seconds`: for how long harm is done; there is one round at least. `long`: at full size."""
        self.scenario = scenario
        self.laboratory = laboratory
        self.directory = directory
        self.dice = random.Random(f"{scenario.name} {seed}")
        self.counts: Counter[str] = Counter()
        self._until = time.monotonic() + seconds
        self._long = long
        self._worlds = 0
        self._things = ExitStack()

    def size(self, reduced: int, long: int) -> int:
        """How many there are of something."""
        return long if self._long else reduced

    def goes_on(self) -> bool:
        """Is there time left?"""
        return time.monotonic() < self._until

    def rounds(self, most: int | None = None) -> Iterator[int]:
        """0, 1, 2, ... while there is time, at most so many."""
        number = 0
        while number == 0 or (self.goes_on() and number != most):
            yield number
            number += 1

    def pause(self, least: float, most: float) -> None:
        """Let the world go on for a moment that the dice choose."""
        time.sleep(self.dice.uniform(least, most))

    def world(self, url: str | None = None) -> World:
        """A database, fresh unless one is given, and the processes on it. It is closed with the run, or before."""
        directory = self.directory / f"world-{self._worlds}"
        directory.mkdir()
        self._worlds += 1
        with ExitStack() as things:
            if url is None:
                url = things.enter_context(self.laboratory.database(self.scenario.database, directory))
            world = World(url, self.laboratory.workers, directory, things.pop_all())
        self._things.callback(world.close)
        return world

    def finish(self) -> None:
        """End every process of this run, and remove its databases."""
        self._things.close()


def scenario(
    *,
    faults: str,
    invariants: str,
    databases: tuple[Dialect, ...] = BOTH,
    share: int = 1,
    goals: Mapping[str, int] | None = None,
) -> Callable[[Callable[[Run], None]], Callable[[Run], None]]:
    """Add a scenario for each of the databases; its docstring's first line says what it is."""

    def add(play: Callable[[Run], None]) -> Callable[[Run], None]:
        for database in databases:
            name = f"{play.__name__.replace('_', '-')}-{database}"
            what = (play.__doc__ or "").partition("\n")[0]
            SCENARIOS[name] = Scenario(
                name, what, play, database, tuple(faults.split()), tuple(invariants.split()), share, goals or {}
            )
        return play

    return add
