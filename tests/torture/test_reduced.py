"""Every scenario of the campaign, small; what it finds in hours it must at least not find at once."""

from __future__ import annotations

import pytest

from tests.support.postgres import PostgresCluster
from tests.support.workers import Workers
from tests.torture import campaign
from tests.torture.laboratory import Laboratory
from tests.torture.scenario import SCENARIOS

ONCE = {"fleet", "rotten-rows"}
"""Played on both databases here; of the others that know both, one is enough."""

REDUCED = [
    name
    for name, each in SCENARIOS.items()
    if each.database == "sqlite"
    or name.replace("postgres", "sqlite") not in SCENARIOS
    or name.rpartition("-")[0] in ONCE
]


@pytest.fixture
def laboratory(worker_server: Workers, postgres: PostgresCluster) -> Laboratory:
    return Laboratory(worker_server, lambda: postgres)


@pytest.mark.parametrize("name", REDUCED)
def test_a_scenario_in_its_reduced_form(laboratory: Laboratory, name: str, request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("randomly_seed", 0)
    result = campaign.play(SCENARIOS[name], laboratory, seed=int(seed), seconds=0, long=False)
    if result.verdict == "skipped":
        pytest.skip(result.words)
    assert result.verdict == "held", f"{result.words}\n{result.command}"
    assert result.counts, "it harmed nobody"
