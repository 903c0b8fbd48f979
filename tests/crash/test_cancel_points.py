"""Every async scenario, its task cancelled at every effect: before it, while it is awaited, when its answer is there.

A cancelled task is no outcome: nothing of it is recorded, the workflow stays PENDING, and recovery takes it to the end
that it would have had (I42).
"""

from __future__ import annotations

import pytest

import tests.crash.every_scenario  # noqa: F401
from dbos.testing.crashing import Point, Seam, When
from tests.crash.scenario import SCENARIOS
from tests.crash.test_crash_points import Count, spread, trial

ASYNC = [name for name in SCENARIOS if name.startswith("coroutines-") or "async_" in name]
SIDES = (When.BEFORE, When.DURING, When.AFTER)
POSTGRES_POINTS = 6

pytestmark = [pytest.mark.parametrize("name", ASYNC), pytest.mark.timeout(240)]


def test_a_cancelled_task_records_nothing_and_its_workflow_is_recovered(
    name: str, database_url: str, seam: Seam, all_points: bool, record_property: Count
) -> None:
    with trial(name, database_url, seam) as run:
        points = [Point(number + 1, when) for number in range(len(run.effects)) for when in SIDES]
        if database_url.startswith("postgres") and not all_points:
            points = spread(points, POSTGRES_POINTS)
        struck = 0
        for number, point in enumerate(points):
            try:
                struck += run.run_cancelled(f"run{number}-", point)
            except Exception as error:
                error.add_note(f"{name}, its task cancelled {point} ({run.effects[point.number - 1]})")
                raise
        assert struck > len(points) / 3, "too many of the effects were none of a task's"
        record_property("cancellations", struck)
