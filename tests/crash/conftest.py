"""The seam that every operation of these tests goes through, and how much of them runs on Postgres by default.

A crash on Postgres takes ten times as long as on SQLite, and the engine above the store is the same. So by default
every scenario is killed at a few points there, and every sixth one, in the random order of the day, also twice,
cancelled, and without replies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbos.testing.crashing import Seam

ONE_IN_SO_MANY = 6
HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out most scenarios on Postgres, unless `--all-points` asks for them; the main test keeps all of them.

    Then, and with `--pairs`, one test is hundreds of runs, or thousands, and may take its time.
    """
    if config.getoption("--all-points") or config.getoption("--pairs"):
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.timeout(1800))
    if config.getoption("--all-points"):
        return
    counts: Counter[str] = Counter()
    left_out = []
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if HERE not in item.path.parents or parameters.get("database_url") != "postgres" or "name" not in parameters:
            continue
        test = item.nodeid.partition("[")[0]
        counts[test] += 1
        if "at_every_effect" not in test and counts[test] % ONE_IN_SO_MANY:
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


@pytest.fixture
def seam() -> Iterator[Seam]:
    """A seam in place of the two interpreters."""
    with Seam().installed() as seam:
        yield seam


@pytest.fixture
def all_points(request: pytest.FixtureRequest) -> bool:
    """Was every point asked for, also where the default is a sample?"""
    return bool(request.config.getoption("--all-points"))
