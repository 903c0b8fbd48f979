"""Running the scripts, each in a process of its own.

Every contender takes its turn, round after round, so that a slow minute of the machine hits all alike.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.catalogue import DatabaseKind, Workload
from benchmarks.databases import Databases
from benchmarks.environments import Environment

SCRIPTS = Path(__file__).resolve().parent / "workloads"
TIME_LIMIT_SECONDS = 120.0  # for one run; several times what the slowest contender takes for the largest workload

# Where a contender's run finds its database.
Supply = Callable[[Databases], AbstractContextManager[str]]


@dataclass(frozen=True, slots=True)
class Contender:
    """One column of the table: an installation, and the databases it is given."""

    label: str
    environment: Environment
    supply: Supply = lambda databases: databases.fresh()


@dataclass(slots=True)
class Series:
    """What one contender did with one workload on one kind of database: a figure per round."""

    workload: Workload
    database: DatabaseKind
    contender: str
    figures: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def median(self) -> float | None:
        return statistics.median(self.figures) if self.figures and not self.failures else None

    @property
    def spread(self) -> float:
        """Half the distance between the extremes, as a fraction of the median: how far to trust it."""
        median = self.median
        return (max(self.figures) - min(self.figures)) / 2 / median if median else 0.0


class ScriptFailed(Exception):
    """The script did not answer; the message says why."""


def measure(
    workloads: list[Workload],
    databases: list[Databases],
    contenders: list[Contender],
    *,
    rounds: int,
) -> list[Series]:
    """Run everything, interleaved, and return one series per workload, database and contender."""
    table: dict[tuple[str, DatabaseKind, str], Series] = {}
    for round_number in range(1, rounds + 1):
        for workload, source in _pairs(workloads, databases):
            for contender in contenders:
                series = table.setdefault(
                    (workload.name, source.kind, contender.label), Series(workload, source.kind, contender.label)
                )
                _one_round(series, contender, source)
                _say(f"round {round_number}/{rounds}  {_progress(series)}")
    return list(table.values())


def _pairs(workloads: list[Workload], databases: list[Databases]) -> Iterator[tuple[Workload, Databases]]:
    for workload in workloads:
        for source in databases:
            if source.kind in workload.databases:
                yield workload, source


def _one_round(series: Series, contender: Contender, source: Databases) -> None:
    if series.failures:
        return  # it will not be reported any more, so why wait for it
    figures = []
    for _ in range(series.workload.runs):
        with contender.supply(source) as url:
            try:
                figures.append(run_script(contender.environment, series.workload.name, url, series.workload.count))
            except ScriptFailed as failure:
                series.failures.append(str(failure))
                return
    series.figures.append(statistics.median(figures))


def run_script(environment: Environment, name: str, database_url: str, count: int) -> float:
    """Run one script in a process of its own and return the figure it printed."""
    command = [str(environment.python), str(SCRIPTS / f"{name}.py")]
    command += ["--database-url", database_url, "--count", str(count)]
    with _process_group(command) as process:
        try:
            output, errors = process.communicate(timeout=TIME_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            _, errors = process.communicate()
            raise ScriptFailed(f"{errors}\nnot done after {TIME_LIMIT_SECONDS:g} s".strip()) from None
    if process.returncode != 0:
        raise ScriptFailed(errors.strip() or f"ended with status {process.returncode}")
    return float(json.loads(output.splitlines()[-1])["value"])


@contextmanager
def _process_group(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A script and whatever it starts, none of which survives."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("DBOS_", "PYTHON", "VIRTUAL_ENV"))
    }
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=inherited, start_new_session=True
    )
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # all gone already, as it should be
        process.wait()


def _progress(series: Series) -> str:
    subject = f"{series.workload.name} {series.database} {series.contender}: "
    if series.failures:
        return subject + "FAILED: " + series.failures[-1].splitlines()[-1]
    return subject + f"{series.figures[-1]:,.1f} {series.workload.unit}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
