"""What really happened, written down outside the engine: one line per event, on disk before the code goes on.

Worker processes append, the test reads. Clocks are monotonic, which on one machine all processes share. The file says
what user code did; the system database says what the engine remembers; tests compare the two.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Event = Literal["begin", "end"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in the life of a step body."""

    at: float  # seconds of the monotonic clock
    pid: int
    event: Event
    workflow_id: str
    step_id: int
    label: str
    epoch: int = 0  # of the attempt it ran in; 0 outside of workflows

    @property
    def step(self) -> tuple[str, int]:
        """Which step of which workflow."""
        return self.workflow_id, self.step_id


class Ledger:
    """A file that only grows. Each line is one `write` at the end of the file, then an fsync.

    Who is killed may leave half a line, where it meets a page of the file: he did not go on, so nothing had begun. The
    next line begins behind it.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: int | None = None  # opened by the first write: readers need none

    def write(self, event: Event, workflow_id: str | None, step_id: int | None, label: str, epoch: int = 0) -> None:
        """Remember an event of this process. Safe from any thread."""
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        entry = Entry(time.monotonic(), os.getpid(), event, workflow_id or "", step_id or 0, label, epoch)
        os.write(self._file, b"\n" + json.dumps(asdict(entry)).encode() + b"\n")
        os.fsync(self._file)

    def read(self, workflow_id: str | None = None) -> list[Entry]:
        """Everything so far in order of time, of one workflow or of all."""
        if not self._path.exists():
            return []
        lines = [line for line in self._path.read_text().splitlines() if line.endswith("}")]
        entries = sorted((Entry(**json.loads(line)) for line in lines), key=lambda entry: entry.at)
        return [entry for entry in entries if workflow_id in (None, entry.workflow_id)]

    def begun(self, workflow_id: str | None = None) -> list[Entry]:
        """The starts of step bodies."""
        return [entry for entry in self.read(workflow_id) if entry.event == "begin"]
