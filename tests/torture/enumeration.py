"""Programs that look at everything, and what they counted: tests of the suite, run to the last point.

Those that take hours are played in parts, one after the other, so that they can stop between two and go on another day.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.results import ROOT, Result

HANG_SECONDS = 7_200.0  # of one part: no part takes so long


@dataclass(frozen=True, slots=True)
class Enumeration:
    """One such program. In its command `{seed}` stands for the seed and `{part}` for each of its parts."""

    name: str
    what: str
    faults: tuple[str, ...]
    invariants: tuple[str, ...]
    command: tuple[str, ...]  # of `python -m`
    counts: str = ""  # a pattern with named groups: what other programs than pytest say of what they did
    goals: Mapping[str, int] = field(default_factory=dict)  # of what is counted, so many are wanted
    parts: Callable[[int], tuple[str, ...]] = lambda seed: ("",)
    levels: frozenset[str] = frozenset()  # counts of which that of a whole is the highest of its parts, not the sum

    def commands(self, seed: int) -> list[list[str]]:
        """The command of each part."""
        return [[each.format(seed=seed, part=part) for each in self.command] for part in self.parts(seed)]

    def sum(self, *counts: Mapping[str, int]) -> Counter[str]:
        """What several parts come to."""
        total: Counter[str] = Counter()
        for each in counts:
            for name, count in each.items():
                total[name] = max(total[name], count) if name in self.levels else total[name] + count
        return total


def enumerate_points(enumeration: Enumeration, seed: int, seconds: float, begun: Result | None = None) -> Result:
    """Run the program, part by part, in processes of their own that tell how many points they went through.

    After `seconds` no further part begins. `begun`: what was played before, and need not be again.
    """
    began = time.monotonic()
    commands = enumeration.commands(seed)
    played = 0 if begun is None else begun.parts
    counts = Counter({} if begun is None else begun.counts)
    verdict, words = "held", ""
    while played < len(commands) and verdict == "held" and (time.monotonic() - began < seconds or played == 0):
        verdict, words, found = run(enumeration, commands[played])
        counts = enumeration.sum(counts, found)
        played += 1
    if verdict == "held" and played < len(commands):
        words = f"{played} of {len(commands)} parts so far"
    return Result(
        name=enumeration.name,
        what=enumeration.what,
        faults=enumeration.faults,
        invariants=enumeration.invariants,
        counts=dict(sorted(counts.items())),
        verdict=verdict,
        words=words,
        seconds=round(time.monotonic() - began + (0 if begun is None else begun.seconds), 1),
        command=f"python -m tests.torture --only {enumeration.name} --seed {seed}",
        seed=seed,
        parts=played,
    )


def run(enumeration: Enumeration, command: list[str]) -> tuple[str, str, Counter[str]]:
    """One part: the verdict, what is to be said of it, and what it counted."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="dbos-torture-") as directory:
        report = Path(directory) / "report.xml"
        extra = ["-p", "no:cacheprovider", f"--junitxml={report}"] if command[0] == "pytest" else []
        try:
            ran = subprocess.run(
                [sys.executable, "-m", *command, *extra],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=HANG_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "not finished", "", counts
        counts = read_report(report) if report.exists() else read_words(enumeration.counts, ran.stdout)
    if ran.returncode == 0:
        return "held", "", counts
    print(ran.stdout[-10_000:], ran.stderr[-5_000:], file=sys.stderr)
    words = next((line for line in reversed(ran.stdout.splitlines()) if line.startswith(("FAILED", "REPLAY"))), "")
    return "BROKEN", words, counts


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
