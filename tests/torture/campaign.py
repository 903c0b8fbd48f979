"""Playing scenarios, and what came of each."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from pathlib import Path

import tests.torture.scenarios  # noqa: F401 (fills the list of them)
from tests.torture.laboratory import Laboratory
from tests.torture.results import Result
from tests.torture.scenario import Run, Scenario, Skipped


def play(scenario: Scenario, laboratory: Laboratory, *, seed: int, seconds: float, long: bool) -> Result:
    """Play one scenario; whatever it comes to, nothing of it is left."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dbos-torture-") as directory:
        run = Run(scenario, laboratory, Path(directory), seed=seed, seconds=seconds, long=long)
        verdict, words = "held", ""
        try:
            scenario.play(run)
        except Skipped as reason:
            verdict, words = "skipped", str(reason)
        except Exception as error:
            verdict, words = "BROKEN", f"{type(error).__name__}: {error}"
            traceback.print_exc()
            print(laboratory.workers.output()[-5_000:], file=sys.stderr)
        finally:
            run.finish()
    return Result(
        name=scenario.name,
        what=scenario.what,
        faults=scenario.faults,
        invariants=scenario.invariants,
        counts=dict(sorted(run.counts.items())),
        verdict=verdict,
        words=words,
        seconds=round(time.monotonic() - began, 1),
        command=f"python -m tests.torture --only {scenario.name} --minutes {seconds / 60:.2g} --seed {seed}",
        seed=seed,
    )
