"""What executors ask while nothing can be done: counted in a world, where a second is always the same."""

from __future__ import annotations

import pytest

from tests.simulation.plan import Act, Plan
from tests.simulation.process import Process
from tests.simulation.world import World

BEGIN, END = 1.5, 3.5  # seconds


@pytest.mark.parametrize("queue", ["parts", "urgent", "single"])
def test_what_waits_for_a_slot_costs_nothing(queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One workflow has the only slot, another waits for it."""
    place = {"parts": {"partition": "a"}, "urgent": {"priority": 1}, "single": {}}[queue]
    acts = [
        Act(number, 0.1, "begin", f"nap-{number}", {"workflow": "nap", "args": (4.0,), "queue": queue, **place})
        for number in range(2)
    ]
    world = World(Plan(0, 1, tuple(acts), ()))
    asked: list[str] = []

    def note(process: Process, name: str) -> None:
        if BEGIN <= world.seconds < END:
            asked.append(name)

    monkeypatch.setattr(world, "fault_at_request", note)
    assert world.play() == []
    assert len(world.auditor.rows) == 2
    assert len(asked) <= 50, asked
