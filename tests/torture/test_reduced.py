"""Every scenario of the campaign, small; what it finds in hours it must at least not find at once."""

from __future__ import annotations

import pytest

from tests.support.postgres import PostgresCluster
from tests.support.workers import Workers
from tests.torture import campaign
from tests.torture.laboratory import Laboratory
from tests.torture.scenario import SCENARIOS

ON_BOTH = {"fleet", "rotten-rows"}  # of the others that know both databases, one is enough here
LEFT_OUT = {"lossy-failover"}  # differs from the other failover by one call, and each of them makes two servers


def is_played(name: str) -> bool:
    """In the reduced form."""
    kind, _, database = name.rpartition("-")
    only = f"{kind}-sqlite" not in SCENARIOS
    return kind not in LEFT_OUT and (database == "sqlite" or only or kind in ON_BOTH)


@pytest.fixture
def laboratory(worker_server: Workers, postgres: PostgresCluster) -> Laboratory:
    return Laboratory(worker_server, lambda: postgres)


@pytest.mark.parametrize("name", list(filter(is_played, SCENARIOS)))
def test_a_scenario_in_its_reduced_form(laboratory: Laboratory, name: str, request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("randomly_seed", 0)
    result = campaign.play(SCENARIOS[name], laboratory, seed=int(seed), seconds=0, long=False)
    if result.verdict == "skipped":
        pytest.skip(result.words)
    assert result.verdict == "held", f"{result.words}\n{result.command}"
    assert result.counts, "it harmed nobody"
