"""The seam that every operation of these tests goes through."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.crashing import Seam


@pytest.fixture
def seam() -> Iterator[Seam]:
    """A seam in place of the two interpreters."""
    with Seam().installed() as seam:
        yield seam


@pytest.fixture
def all_points(request: pytest.FixtureRequest) -> bool:
    """Was every point asked for, also where the default is a sample?"""
    return bool(request.config.getoption("--all-points"))
