"""Why a workflow stands where it stands."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

WHY = "tests/cli/test_why.py::test_why[sqlite]"

MUTANTS = (
    Mutant(
        "a queue is not full until more run than may",
        "model/reasons.py",
        "running >= limits.concurrency:",
        "running > limits.concurrency:",
        WHY,
    ),
    Mutant(
        "a workflow of the dead is said to run",
        "model/reasons.py",
        "if owner is None or owner.lease_left_ms < 0:",
        "if owner is None:",
        WHY,
    ),
    Mutant(
        "whoever comes later is ahead in the line",
        "store/sql/explaining.sql",
        "(a.priority, a.sequence) < (w.priority, w.sequence)",
        "(a.priority, a.sequence) > (w.priority, w.sequence)",
        WHY,
    ),
    Mutant(
        "who is dead goes by the clock that tests move",
        "store/sql/explaining.sql",
        "e.lease_expires_at_ms - {lease_now_ms}",
        "e.lease_expires_at_ms - {now_ms}",
        "tests/acceptance/test_clock.py::test_no_lease_is_over_because_time_jumps[sqlite]",
    ),
)
