"""What every workload script shares: its arguments, the application, the stopwatch, the JSON line it prints.

A script asks one question of whatever `dbos` its interpreter has installed, so nothing here or in the scripts may use
more than the public interface that all measured releases have in common. The harness starts each script in a process
of its own on a fresh database and reads the last line it prints.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator

from dbos import DBOS

STEPS_PER_WORKFLOW = 10
WARM_UP_WORKFLOWS = 20
SETTLING_SECONDS = 0.05  # until a call that waits is surely waiting
ENOUGH_SECONDS = 1.0  # a fast release repeats its workload until then; a slow one does it once


class Session:
    """One run of one workload: `launch`, warm up, do it in `repetitions`, `report`."""

    def __init__(self) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--database-url", required=True)
        parser.add_argument("--count", type=int, default=0, help="how many of whatever the workload counts")
        parser.add_argument("--abandon", metavar="PREFIX", help="to itself: prepare what the other process needs")
        parser.add_argument(
            "--peer", metavar="ID", help="messages only: be the other process, and send to this workflow"
        )
        arguments = parser.parse_args()
        self.database_url: str = arguments.database_url
        self.count: int = arguments.count
        self.abandon: str | None = arguments.abandon
        self.peer: str | None = arguments.peer
        self.seconds = 0.0
        self.repeated = 0

    def construct(self) -> None:
        """Everything is left at its default, except that no log line may disturb the clock."""
        DBOS(config={"name": "benchmark", "system_database_url": self.database_url, "log_level": "ERROR"})

    def launch(self) -> None:
        self.construct()
        DBOS.launch()

    def repetitions(self) -> Iterator[None]:
        """Time the body of a `for`, and go round again until the clock has seen enough of it."""
        while self.seconds < ENOUGH_SECONDS:
            started = time.perf_counter()
            yield
            self.seconds += time.perf_counter() - started
            self.repeated += 1

    def report_rate(self, units: int) -> None:
        """Each repetition did so many units of work."""
        self.report(units * self.repeated / self.seconds)

    def report(self, value: float) -> None:
        """Print the answer and leave at once: how long a release takes to shut down is not the question."""
        print(json.dumps({"value": value}), flush=True)
        sys.stderr.flush()
        os._exit(0)
