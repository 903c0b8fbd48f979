"""The database's clock as a process knows it: between two bounds."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

import pytest

from dbos.runtime import clock
from dbos.runtime.clock import DatabaseClock
from dbos.runtime.context import Attempt
from dbos.runtime.timeouts import TimeLimit


@pytest.mark.parametrize(("there_seconds", "back_seconds"), [(0.0, 0.0), (0.0, 0.4), (0.4, 0.0), (0.3, 0.1)])
def test_the_time_lies_between_the_bounds_whenever_the_database_looked(
    monkeypatch: pytest.MonkeyPatch, there_seconds: float, back_seconds: float
) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: now))

    def true_ms() -> int:
        return int(now * 1000) + 5_000_000

    def read() -> int:
        nonlocal now
        now += there_seconds
        reading = true_ms()
        now += back_seconds
        return reading

    known = DatabaseClock(read)
    for pause in (0.0, 0.0004, 1.7):
        now += pause
        assert known.now_ms() <= true_ms() <= known.latest_ms()
        assert known.latest_ms() - known.now_ms() <= (there_seconds + back_seconds) * 1000 + 2


def test_a_reading_does_not_undo_one_that_was_asked_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "READINGS", 1)
    times = DatabaseClock(lambda: 0)
    asked, answered = threading.Event(), threading.Event()

    def read_late() -> int:
        asked.set()
        answered.wait(20)
        return 0

    times._read_ms = read_late
    earlier = threading.Thread(target=times.synchronise)
    earlier.start()
    assert asked.wait(20)
    times._read_ms = lambda: 5_000_000
    later = threading.Thread(target=times.synchronise)
    later.start()
    later.join(0.2)
    answered.set()
    for thread in (earlier, later):
        thread.join(20)
    assert times.now_ms() >= 5_000_000


def test_a_wait_counts_from_the_latest_that_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = SimpleNamespace(encode=lambda value, where: (str(value), "json"))
    times = DatabaseClock(lambda: 0)
    monkeypatch.setattr(times, "now_ms", lambda: 6_990)
    monkeypatch.setattr(times, "latest_ms", lambda: 7_001)
    attempt = SimpleNamespace(
        workflow_id="w",
        epoch=1,
        next_step_id=lambda: 1,
        recorded=lambda number, name: None,
        engine=SimpleNamespace(codec=codec, clock=times),
    )
    assert TimeLimit(cast(Attempt, attempt), 2.0).due_ms == pytest.approx(9_001)
    assert TimeLimit(cast(Attempt, attempt), 0).due_ms == pytest.approx(6_990)
