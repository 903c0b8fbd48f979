"""What each figure must reach: the one place where promises about speed are written down.

A ratio compares medians of the same run on the same machine, the original release being 1; a limit is a figure of
ours that must not be exceeded. `goal` is what we aim at, `accepted` the least that passes. A workload without an
entry is only shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.catalogue import DatabaseKind


class Verdict(StrEnum):
    GOAL = "✓"
    ACCEPTED = "~"
    MISSED = "✗"
    NONE = ""


@dataclass(frozen=True, slots=True)
class AtLeast:
    """So many times better than the other side of the comparison."""

    goal: float
    accepted: float

    def verdict(self, ours: float, ratio: float | None) -> Verdict:
        if ratio is None:
            return Verdict.NONE
        if ratio >= self.goal:
            return Verdict.GOAL
        return Verdict.ACCEPTED if ratio >= self.accepted else Verdict.MISSED

    def __str__(self) -> str:
        return f"{self.goal:g}x ({self.accepted:g}x)"


@dataclass(frozen=True, slots=True)
class AtMost:
    """Our own figure, in the workload's unit."""

    goal: float
    accepted: float

    def verdict(self, ours: float, ratio: float | None) -> Verdict:
        if ours <= self.goal:
            return Verdict.GOAL
        return Verdict.ACCEPTED if ours <= self.accepted else Verdict.MISSED

    def __str__(self) -> str:
        return f"≤ {self.goal:g} ({self.accepted:g})"


Target = AtLeast | AtMost

TARGETS: Mapping[str, Mapping[DatabaseKind, Target]] = {
    "sequential_steps": {"postgres": AtLeast(8, 5), "sqlite": AtLeast(7, 5)},
    "sequential_steps_async": {"postgres": AtLeast(7, 5), "sqlite": AtLeast(7, 5)},
    "direct_calls": {"postgres": AtLeast(6, 5), "sqlite": AtLeast(9, 5)},
    "direct_calls_async": {"postgres": AtLeast(6, 4), "sqlite": AtLeast(8, 4)},
    "concurrent_async": {"postgres": AtLeast(60, 30), "sqlite": AtLeast(80, 30)},
    "burst_async": {"postgres": AtLeast(100, 50), "sqlite": AtLeast(150, 50)},
    "started_sync": {"postgres": AtLeast(18, 10), "sqlite": AtLeast(30, 10)},
    "enqueue_client": {"postgres": AtLeast(3, 2.5), "sqlite": AtLeast(5, 2.5)},
    "enqueue_client_async": {"postgres": AtLeast(30, 15), "sqlite": AtLeast(50, 15)},
    "enqueue_bulk": {"postgres": AtLeast(30, 15), "sqlite": AtLeast(50, 15)},
    "recovery": {"postgres": AtLeast(20, 10), "sqlite": AtLeast(25, 10)},
    "send_to_recv": {"postgres": AtLeast(3, 2), "sqlite": AtLeast(100, 40)},
    "send_to_recv_elsewhere": {"postgres": AtLeast(3, 2), "sqlite": AtLeast(100, 40)},
    "set_event_to_get_event": {"postgres": AtLeast(3, 2), "sqlite": AtLeast(100, 40)},
    "set_event_to_get_event_elsewhere": {"postgres": AtLeast(3, 2), "sqlite": AtLeast(100, 40)},
    "messages_to_all": {"postgres": AtLeast(30, 15), "sqlite": AtLeast(30, 15)},
    "queue_drain_sync": {"postgres": AtLeast(10, 8), "sqlite": AtLeast(25, 8)},
    "queue_drain_async": {"postgres": AtLeast(20, 12), "sqlite": AtLeast(80, 12)},
    "queue_latency": {"postgres": AtMost(5, 10), "sqlite": AtMost(5, 10)},
    "queue_latency_elsewhere": {"postgres": AtMost(10, 20), "sqlite": AtMost(15, 20)},
    "stream_items": {"postgres": AtLeast(20, 10), "sqlite": AtLeast(20, 10)},
    "write_to_read": {"postgres": AtMost(5, 10), "sqlite": AtMost(5, 10)},
    "write_to_read_elsewhere": {"postgres": AtMost(5, 10), "sqlite": AtMost(5, 10)},
    "import_time": {"sqlite": AtMost(60, 100)},
    "launch_time": {"sqlite": AtMost(30, 30)},
    "resident_memory": {"postgres": AtMost(40, 45), "sqlite": AtMost(40, 45)},
}

# With a long history in the database, against our own figure on an empty one.
AGED_TARGET = AtLeast(0.90, 0.75)


def target(workload: str, database: DatabaseKind) -> Target | None:
    return TARGETS.get(workload, {}).get(database)
