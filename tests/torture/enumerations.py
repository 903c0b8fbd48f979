"""Programs that look at everything, and what they counted: tests of the suite, run to the last point."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.torture.results import ROOT, Result


@dataclass(frozen=True, slots=True)
class Enumeration:
    """One such program; `{seed}` in its command stands for the seed."""

    name: str
    what: str
    faults: tuple[str, ...]
    invariants: tuple[str, ...]
    command: tuple[str, ...]  # of `python -m`
    counts: str = ""  # a pattern with named groups: what other programs than pytest say of what they did


def suite(*arguments: str) -> tuple[str, ...]:
    """Tests of the suite, in the random order of the seed."""
    return ("pytest", "-q", "--randomly-seed={seed}", *arguments)


CRASH = ("I1", "I3", "I4", "I5", "I6", "I7", "I9", "I10", "I11", "I12", "I14")
CRASH_POINTS = "tests/crash/test_crash_points.py::test_a_killed_run_is_recovered_at_every_effect"
DOUBLE_CRASHES = "tests/crash/test_crash_points.py::test_a_run_killed_again_while_it_recovers_is_recovered"

ALL = (
    Enumeration(
        "crash-points-sqlite",
        "Every scenario of the crash suite is killed before and after every effect, and recovered.",
        ("F1",),
        CRASH,
        suite(CRASH_POINTS, "-k", "sqlite", "--all-points"),
    ),
    Enumeration(
        "crash-points-postgres",
        "The same on Postgres.",
        ("F1",),
        CRASH,
        suite(CRASH_POINTS, "-k", "postgres", "--all-points"),
    ),
    Enumeration(
        "double-crashes",
        "The run that recovers is killed too: pairs of points, evenly spread over every scenario.",
        ("F3",),
        CRASH,
        suite(DOUBLE_CRASHES, "-k", "sqlite", "--pairs=36"),
    ),
    Enumeration(
        "cancel-points",
        "The task of every asynchronous scenario is cancelled before, during and after every effect.",
        ("F25",),
        ("I4", "I5", "I9", "I42"),
        suite("tests/crash/test_cancel_points.py", "--all-points"),
    ),
    Enumeration(
        "lost-replies",
        "Every record of every scenario is written twice, as after a reply that was lost.",
        ("F4",),
        ("I1", "I4", "I9", "I29", "I32"),
        suite("tests/crash/test_lost_replies.py", "--all-points"),
    ),
    Enumeration(
        "unknown-commits",
        "The connection is cut before and after every write of the journal, in both colours.",
        ("F4",),
        ("I1", "I4", "I7", "I11"),
        suite("tests/processes/test_unknown_commit.py"),
    ),
    Enumeration(
        "kills-at-commits",
        "Processes are killed before, during and after every commit.",
        ("F2", "F3"),
        ("I1", "I4", "I5", "I10"),
        suite("tests/processes/test_kill_at_commit.py", "--all-points"),
    ),
    Enumeration(
        "stale-executors",
        "An executor sleeps past its lease after ever more steps of one workflow, and wakes.",
        ("F14",),
        ("I4", "I6", "I16"),
        suite("tests/processes/test_two_executors.py", "--all-points"),
    ),
    Enumeration(
        "state-machines",
        "Random sequences of verbs against independent models: statuses, queues, messages, streams, management.",
        ("F31",),
        ("I2", "I3", "I19", "I20", "I21", "I22", "I23", "I24", "I25", "I29", "I30", "I34", "I41", "I43", "I44"),
        suite("tests/crash", "-k", "machine"),
    ),
    Enumeration(
        "simulation",
        "Several executors, one database and the clock on one thread: a seed is a run, harm and schedule included.",
        ("F32",),
        ("I1", "I3", "I4", "I5", "I6", "I9", "I10"),
        ("tests.simulation", "--seeds", "20000", "--start", "{seed}", "--seconds", "840"),
        r"(?P<seeds>\d+) seeds from \d+: (?P<failed>\d+) failed, (?P<rare_states_reached>\d+) rare states",
    ),
    Enumeration(
        "planted-bugs",
        "Bugs planted in a copy of the source, each of which a test must find.",
        ("F33",),
        (),
        ("tests.mutants",),
        r"(?P<planted_bugs_found>\d+) of (?P<planted_bugs>\d+) planted",
    ),
)
ENUMERATIONS = {each.name: each for each in ALL}


def enumerate_points(enumeration: Enumeration, seed: int, seconds: float) -> Result:
    """Run the program in a process of its own, which tells how many points it went through; at most for so long."""
    began = time.monotonic()
    arguments = [argument.format(seed=seed) for argument in enumeration.command]
    counts: Counter[str] = Counter()
    words = ""
    with tempfile.TemporaryDirectory(prefix="dbos-torture-") as directory:
        report = Path(directory) / "report.xml"
        extra = ["-p", "no:cacheprovider", f"--junitxml={report}"] if enumeration.command[0] == "pytest" else []
        try:
            ran = subprocess.run(
                [sys.executable, "-m", *arguments, *extra],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            verdict = "not finished"
        else:
            verdict = "held" if ran.returncode == 0 else "BROKEN"
            counts = read_report(report) if report.exists() else read_words(enumeration.counts, ran.stdout)
            if ran.returncode != 0:
                words = next((line for line in reversed(ran.stdout.splitlines()) if line.startswith("FAILED")), "")
                print(ran.stdout[-10_000:], ran.stderr[-5_000:], file=sys.stderr)
    return Result(
        name=enumeration.name,
        what=enumeration.what,
        faults=enumeration.faults,
        invariants=enumeration.invariants,
        counts=dict(sorted(counts.items())),
        verdict=verdict,
        words=words,
        seconds=round(time.monotonic() - began, 1),
        command=f"python -m {' '.join(arguments)}",
    )


def read_report(report: Path) -> Counter[str]:
    """Tests, and what they counted by `record_property`, in a report of pytest."""
    counts: Counter[str] = Counter()
    for case in ET.parse(report).iter("testcase"):
        counts["tests"] += case.find("skipped") is None
        for found in case.iter("property"):
            counts[found.attrib["name"]] += int(found.attrib["value"])
    return counts


def read_words(pattern: str, output: str) -> Counter[str]:
    """What a program says at the end: the groups of the pattern, by name."""
    found = re.search(pattern, output)
    return Counter({name.replace("_", " "): int(count) for name, count in found.groupdict().items()} if found else {})
