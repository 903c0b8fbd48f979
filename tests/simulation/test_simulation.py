"""The campaign of every test run: the same seeds each time, so that a failure is a change of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import oracle
from tests.simulation.__main__ import main
from tests.simulation.campaign import Run, campaign, run, shrink
from tests.simulation.plan import Act, plan_of
from tests.simulation.reached import Reached

SEEDS, PARTS = 300, 6
FAILED_ONCE = (1283, 4940, 15902)
"""Beyond those, seeds that longer campaigns have found a fault with."""
STUBBORN = "stubborn"  # a workflow that no other one starts
ROOT = Path(__file__).resolve().parents[2]


def workflow_of(act: Act) -> str | None:
    """Which workflow it begins, if it does."""
    found: str | None = act.options.get("workflow")
    return found


def told(failed: list[Run]) -> str:
    """Of the failed seeds, and of the first one all there is to say."""
    seeds = [each.plan.seed for each in failed]
    return f"seeds {seeds} failed; the first one, made smaller:\n{shrink(failed[0]).report()}"


@pytest.fixture
def findings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all processes of this run of the suite share."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "simulation"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.mark.timeout(180)  # seconds; on a machine of its own it takes a few
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_goes_wrong_the_promises_hold_and_everything_ends(part: int, findings: Path) -> None:
    """And the campaign has been everywhere, as whoever runs the last part finds: it would prove nothing otherwise."""
    reached = Reached()
    size = SEEDS // PARTS
    failed = campaign(range(part * size, (part + 1) * size), reached)
    assert not failed, told(failed)
    finding = findings / f"{part}.being-written"
    finding.write_text(json.dumps(reached.counts))
    finding.rename(findings / f"{part}.json")  # whole, for whoever looks meanwhile
    found = [json.loads(each.read_text()) for each in findings.glob("*.json")]
    if len(found) == PARTS:
        for counts in found:
            reached.counts.update(counts)
        assert reached.missing() == []


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_what_failed_once_holds(seed: int) -> None:
    failed = campaign([seed], Reached())
    assert not failed, told(failed)


@pytest.mark.parametrize("seed", [7, 9, 11])
def test_the_same_seed_is_the_same_run(seed: int) -> None:
    """Also in another interpreter, where texts have other hashes."""
    here = [run(plan_of(seed)).trace for _ in range(2)]
    program = f"from tests.simulation.campaign import *; print(run(plan_of({seed})).trace)"
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(["src", "."])}
    there = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert {*here, there.stdout.strip()} == {here[0]}
    assert run(plan_of(seed + 1)).trace != here[0]


def test_a_failure_is_made_smaller_and_replays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left of it is all that it takes, and the command that is told brings it again."""
    monkeypatch.setattr(oracle, "expected", lambda name, args: {"nothing"} if name == "stubborn" else None)
    plans = (plan for plan in map(plan_of, range(SEEDS)) if plan.faults and STUBBORN in map(workflow_of, plan.acts))
    failure = next(each for each in map(run, plans) if each.problems)
    smallest = shrink(failure)
    assert [workflow_of(act) for act in smallest.plan.acts] == [STUBBORN]
    assert smallest.plan.faults == ()
    command = smallest.replay()
    assert command.startswith("python -m tests.simulation ")
    assert main(command.split()[3:]) == 1
    assert f"REPLAY: {command}" in capsys.readouterr().out
