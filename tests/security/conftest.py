"""The fixtures of the command line, and how much of the hostile texts a run goes through."""

from __future__ import annotations

import pytest

from tests.cli.conftest import run

__all__ = ["run"]


@pytest.fixture
def all_texts(request: pytest.FixtureRequest) -> bool:
    """Was every text asked for, in every place?"""
    return bool(request.config.getoption("--all-points"))
