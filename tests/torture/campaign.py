"""Playing scenarios one after the other, and what came of each; and the enumerations, which pytest runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tests.torture.scenarios  # noqa: F401
from tests.torture.laboratory import Laboratory
from tests.torture.results import Result
from tests.torture.scenario import SCENARIOS, Run, Scenario, Skipped

ROOT = Path(__file__).resolve().parents[2]


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
        command=f"python -m tests.torture --only {scenario.name} --minutes {seconds / 60:g} --seed {seed}",
    )


# ---------------------------------------------------------------- enumerations


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Tests of the suite, run to the last point where the suite looks at enough of them."""

    name: str
    what: str
    faults: tuple[str, ...]
    invariants: tuple[str, ...]
    tests: tuple[str, ...]
    options: tuple[str, ...] = ("--all-points",)


CRASH = ("I1", "I3", "I4", "I5", "I6", "I7", "I9", "I10", "I11", "I12", "I14")
CRASH_POINTS = "tests/crash/test_crash_points.py::test_a_killed_run_is_recovered_at_every_effect"
DOUBLE_CRASHES = "tests/crash/test_crash_points.py::test_a_run_killed_again_while_it_recovers_is_recovered"
CANCEL_POINTS = "tests/crash/test_cancel_points.py"
WRITES = "tests/processes/test_unknown_commit.py"

ENUMERATIONS = {
    each.name: each
    for each in (
        Enumeration(
            "crash-points-sqlite",
            "Every scenario of the crash suite is killed before and after every effect, and recovered.",
            ("F1",),
            CRASH,
            (CRASH_POINTS, "-k", "sqlite"),
        ),
        Enumeration(
            "crash-points-postgres",
            "The same on Postgres.",
            ("F1",),
            CRASH,
            (CRASH_POINTS, "-k", "postgres"),
        ),
        Enumeration(
            "double-crashes",
            "The run that recovers is killed too: pairs of points, evenly spread over every scenario.",
            ("F3",),
            CRASH,
            (DOUBLE_CRASHES,),
            ("--pairs=40",),
        ),
        Enumeration(
            "cancel-points",
            "Every asynchronous scenario's task is cancelled before, during and after every effect.",
            ("F25",),
            ("I42", "I4", "I5", "I9"),
            (CANCEL_POINTS,),
        ),
        Enumeration(
            "lost-replies",
            "Every record of every scenario is written twice, as after a reply that was lost.",
            ("F4",),
            ("I1", "I4", "I9", "I29", "I32"),
            ("tests/crash/test_lost_replies.py",),
        ),
        Enumeration(
            "unknown-commits",
            "The connection is cut before and after every write of the journal, in both colours.",
            ("F4",),
            ("I1", "I4", "I7", "I11"),
            (WRITES,),
        ),
        Enumeration(
            "kills-at-commits",
            "Fresh processes are killed before, during and after every commit.",
            ("F2", "F3"),
            ("I1", "I4", "I5", "I10"),
            ("tests/processes/test_kill_at_commit.py",),
        ),
        Enumeration(
            "stale-executors",
            "An executor sleeps past its lease after every so many steps, and wakes.",
            ("F14",),
            ("I4", "I6", "I16"),
            ("tests/processes/test_two_executors.py",),
        ),
        Enumeration(
            "state-machines",
            "Random sequences of verbs against an independent model: statuses, queues, messages, streams, management.",
            ("F31",),
            ("I2", "I3", "I19", "I20", "I21", "I23", "I24", "I29", "I30", "I33", "I34", "I41", "I43", "I44"),
            ("tests/crash", "-k", "machine"),
            (),
        ),
    )
}


def enumerate_points(enumeration: Enumeration, seed: int, seconds: float) -> Result:
    """Run the tests in a process of its own; the tests tell how many points they went through."""
    began = time.monotonic()
    arguments = [*enumeration.tests, *enumeration.options, f"--randomly-seed={seed}"]
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
        words = ""
        try:
            ran = subprocess.run(
                command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            verdict, counts = "not finished", Counter[str]()
        else:
            verdict = "held" if ran.returncode == 0 else "BROKEN"
            counts = read_counts(report)
            if ran.returncode != 0:
                words = next((line for line in reversed(ran.stdout.splitlines()) if line.startswith("FAILED")), "")
                print(ran.stdout[-10_000:], file=sys.stderr)
    return Result(
        name=enumeration.name,
        what=enumeration.what,
        faults=enumeration.faults,
        invariants=enumeration.invariants,
        counts=dict(sorted(counts.items())),
        verdict=verdict,
        words=words,
        seconds=round(time.monotonic() - began, 1),
        command=f"python -m pytest {' '.join(arguments)}",
    )


def read_counts(report: Path) -> Counter[str]:
    """Tests, and what they counted by `record_property`, in a report of pytest."""
    counts: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        counts["tests"] += case.find("skipped") is None
        for found in case.iter("property"):
            counts[found.attrib["name"]] += int(found.attrib["value"])
    return counts


# ---------------------------------------------------------------- all of it


def chosen(words: Sequence[str]) -> tuple[list[Scenario], list[Enumeration]]:
    """What the words are part of the name of; everything without words."""

    def wanted(name: str) -> bool:
        return not words or any(word in name for word in words)

    return (
        [each for name, each in SCENARIOS.items() if wanted(name)],
        [each for name, each in ENUMERATIONS.items() if wanted(name)],
    )
