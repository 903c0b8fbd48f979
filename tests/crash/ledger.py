"""The ledger: what step bodies really did, written down outside the engine."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

from dbos.runtime.context import current_attempt, current_step


@dataclass(frozen=True, slots=True)
class Entry:
    """A step body began to run."""

    workflow_id: str
    step_id: int
    epoch: int  # of the attempt it ran in
    attempt: int  # of the step: 0 unless it is retried


class Ledger:
    """Every start of a step body, in the order it happened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _entries
        self._entries: list[Entry] = []

    def note(self) -> int:
        """Called first in every step body. Answers with the number of this attempt of the step, from 0."""
        attempt, step = current_attempt(), current_step()
        assert attempt is not None, "a step body ran outside a workflow"
        assert step is not None, "a step body ran outside a step"
        number = step.current_attempt or 0
        with self._lock:
            self._entries.append(Entry(attempt.workflow_id, step.step_id, attempt.epoch, number))
        return number

    def of_run(self, run_id: str) -> list[Entry]:
        """The entries of all workflows of one run."""
        with self._lock:
            return [entry for entry in self._entries if entry.workflow_id.startswith(run_id)]

    def starts(self, run_id: str) -> Counter[tuple[str, int, int]]:
        """How often each attempt of each step began, in whichever epoch; free of the id of the run."""
        entries = self.of_run(run_id)
        return Counter((each.workflow_id.removeprefix(run_id), each.step_id, each.attempt) for each in entries)

    def most_starts(self, run_id: str) -> int:
        """How often the same attempt of the same step of the same epoch began at most."""
        return max(Counter(self.of_run(run_id)).values(), default=0)
