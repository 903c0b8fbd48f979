"""Every scenario, killed at every effect; and killed again while it recovers.

On SQLite every moment that leaves something else behind has its crash by default; on Postgres a spread of them, as of
the double crashes on both. With `--all-points` all of them run, and those too that differ only in what the dead process
had in mind; `--pairs` sets the number of double crashes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product

import pytest

import tests.crash.every_scenario  # noqa: F401
from dbos.testing.crashing import Point, Seam, When
from tests.crash.scenario import SCENARIOS
from tests.crash.trial import Trial

SIDES = (When.BEFORE, When.AFTER)
POSTGRES_POINTS = 4
DOUBLE_CRASHES = 6

Count = Callable[[str, object], None]
"""`record_property` of pytest: how many there were of something, for the report of a campaign."""

pytestmark = [
    pytest.mark.parametrize("name", SCENARIOS),
    pytest.mark.timeout(240),  # a few seconds on a machine of its own
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),  # a dead loop starts no task any more
]


def test_a_killed_run_is_recovered_at_every_effect(
    name: str, database_url: str, seam: Seam, all_points: bool, record_property: Count
) -> None:
    with trial(name, database_url, seam) as run:
        points = [Point(number + 1, when) for number in range(len(run.effects)) for when in SIDES]
        if not all_points:
            points = [point for point in points if leaves_a_state_of_its_own(point, run.effects)]
            if database_url.startswith("postgres"):
                points = spread(points, POSTGRES_POINTS)
        reached = 0
        for number, point in enumerate(points):
            reached += attempt(run, f"run{number}", [point])
        least = 0.6 if run.scenario.races else 0.75
        assert reached >= least * len(points), "too many points lay behind the end of their run"
        record_property("crash points", reached)


def test_a_run_killed_again_while_it_recovers_is_recovered(
    name: str, database_url: str, seam: Seam, all_points: bool, request: pytest.FixtureRequest, record_property: Count
) -> None:
    count = request.config.getoption("--pairs") or (DOUBLE_CRASHES if database_url.startswith("sqlite") else 2)
    with trial(name, database_url, seam) as run:
        numbers = range(1, len(run.effects) + 1)
        points = [Point(number, when) for number, when in product(numbers, SIDES)]
        pairs = [(first, second) for first, second in product(points, points) if second.number <= len(run.effects)]
        if not all_points:
            pairs = spread(pairs, count)
        twice = sum(attempt(run, f"run{number}", pair) == 2 for number, pair in enumerate(pairs))
        assert twice > 0
        record_property("double crashes", twice)


@contextmanager
def trial(name: str, database_url: str, seam: Seam) -> Iterator[Trial]:
    """A scenario, run once without any harm."""
    run = Trial(SCENARIOS[name], database_url, seam)
    try:
        yield run
    finally:
        run.close()


def attempt(run: Trial, run_id: str, points: Sequence[Point]) -> int:
    """Kill and recover a run; how many of the points were reached."""
    try:
        effects = run.run(f"{run_id}-", points)
    except Exception as error:
        where = ", then ".join(str(point) for point in points)
        error.add_note(f"{run.scenario.name}, killed {where}; undisturbed, the effects are:")
        error.add_note("\n".join(f"{number:4} {each}" for number, each in enumerate(run.effects, 1)))
        raise
    return sum(point.number <= count for point, count in zip(points, effects, strict=False))


def leaves_a_state_of_its_own(point: Point, effects: Sequence[str]) -> bool:
    """Is there no other point that the outside cannot tell from this one?

    Right before an effect the world is as it was right after the last one: what lies between is in memory, and dies.
    Only in a user function that has begun (`Invoke`) the next effect comes before the end of this one.
    """
    return point.when is When.AFTER or point.number == 1 or effects[point.number - 2] == "Invoke"


def spread(points: Sequence[Point], count: int) -> list[Point]:
    """So many of them, evenly spread, the first and the last included."""
    if len(points) <= count:
        return list(points)
    return [points[round(index * (len(points) - 1) / (count - 1))] for index in range(count)]
