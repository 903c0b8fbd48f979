"""Counting without locks loses nothing, and holds a bounded number of series."""

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from dbos.telemetry.instruments import MAX_SERIES, OTHER, Counter, Distribution, Histogram
from dbos.telemetry.metrics import LOOKED_UP, Metrics


@pytest.fixture
def restless_threads() -> Iterator[None]:
    """Threads take turns as often as the interpreter lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(work: Callable[[], None], threads: int = 8) -> None:
    begin = threading.Barrier(threads)

    def run() -> None:
        begin.wait()
        work()

    running = [threading.Thread(target=run) for _ in range(threads)]
    for each in running:
        each.start()
    for each in running:
        each.join()


def test_no_count_is_lost_between_threads(restless_threads: None) -> None:
    counter = Counter("a", "", "name")
    histogram = Histogram("b", "", "name", bounds=(1, 2))

    def work() -> None:
        for number in range(5_000):
            name = str(number % 10)
            counter.add(name)
            histogram.record(1.5, name)

    at_once(work)
    assert counter.read().samples == {(str(number),): 4_000 for number in range(10)}
    assert histogram.read().samples == {
        (str(number),): Distribution((1, 2), (0, 4_000, 0), 6_000.0) for number in range(10)
    }


def test_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram("a", "", bounds=(1, 2.5))
    for value in (0, 1, 1.0001, 2.5, 2.6, 1e9):
        histogram.record(value)
    assert histogram.read().samples[()].counts == (2, 2, 2)  # type: ignore[union-attr]


def test_names_beyond_the_bound_are_counted_together() -> None:
    counter = Counter("a", "", "name", "status")
    histogram = Histogram("b", "", "name", bounds=(1,))
    for number in range(2 * MAX_SERIES):
        counter.add(f"name-{number}", "ok")
        histogram.record(1, f"name-{number}")
    counter.add("another", "failed")
    samples = counter.read().samples
    assert samples[OTHER, "ok"] == MAX_SERIES
    assert samples[OTHER, "failed"] == 1
    assert len(samples) == MAX_SERIES + 2
    assert histogram.read().samples[OTHER,].counts == (MAX_SERIES, 0)  # type: ignore[union-attr]


def test_names_are_those_of_open_telemetry() -> None:
    names = [each.description.name for each in Metrics().instruments()] + [each.name for each in LOOKED_UP]
    assert len(set(names)) == len(names)
    assert all(name.startswith("dbos.") and name == name.lower() for name in names)
