"""What came of each line of the campaign, kept in docs/reliability.json: the latest result of each."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.machine import commit
from tests.support.postgres import PostgresCluster

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "docs" / "reliability.json"


@dataclass(frozen=True, slots=True)
class Result:
    """One line: what was done, how often, and whether everything held."""

    name: str
    what: str
    faults: tuple[str, ...]
    invariants: tuple[str, ...]
    counts: dict[str, int]
    verdict: str  # held, BROKEN, skipped, not finished
    words: str  # why it was skipped, or what broke
    seconds: float
    command: str  # what reproduces it
    commit: str = ""
    machine: str = ""
    seed: int = 0
    parts: int = 1  # of those that it has, so many were played

    @property
    def is_well(self) -> bool:
        return self.verdict in ("held", "skipped")


def stamped(result: Result) -> Result:
    """With what was tested, and on what."""
    return replace(result, commit=commit(), machine=machine())


def machine() -> str:
    """What it ran on: enough to judge the figures by, nothing that identifies anyone's machine."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gb:.0f} GB of memory, {platform.system()}, "
        f"Python {sys.version.partition(' ')[0]}, Postgres {PostgresCluster().version}"
    )


def load() -> dict[str, Result]:
    """The kept results by name."""
    if not KEPT.exists():
        return {}
    kept: list[dict[str, Any]] = json.loads(KEPT.read_text(encoding="utf-8"))
    return {each["name"]: Result(**each) for each in kept}


def to_resume(name: str, seed: int) -> Result | None:
    """What was kept of an enumeration, if the same source was played with the same seed and nothing was wrong."""
    kept = load().get(name)
    if kept is None or (kept.seed, kept.verdict) != (seed, "held") or not _is_source_of(kept.commit):
        return None
    return kept


def _is_source_of(revision: str) -> bool:
    """Is the library as it was then?"""
    command = ["git", "diff", "--quiet", revision, "--", "src"]
    return " " not in revision and subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


def keep(results: Iterable[Result]) -> None:
    """Replace the results of the same names."""
    kept = load() | {each.name: stamped(each) for each in results}
    lines = [asdict(each) for _, each in sorted(kept.items())]
    KEPT.write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
