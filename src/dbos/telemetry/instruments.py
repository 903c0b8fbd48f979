"""Counters and histograms in memory: what it costs to count when nobody asks.

Counting takes no lock. A series grows by one expression without a call in it, and CPython switches threads between
none of its instructions (a test hammers on that); a build without the GIL might lose a count now and then.

The first label of an instrument may be a name that users give, of which there can be any number; the labels after it
have few values. So an instrument holds `MAX_SERIES`, and what would be one more is counted under the name `OTHER`.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

from dbos.fields import NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]

MAX_SERIES = 500  # per instrument
OTHER = "(other)"


class Description(NamedTuple):
    """What is measured."""

    name: str  # in words of OpenTelemetry: "dbos.step.duration"
    kind: Kind
    meaning: str  # a sentence
    labels: Labels = ()
    unit: str = ""  # "s", or "{thing}" for what is counted in pieces


class Distribution(NamedTuple):
    """What a histogram has recorded."""

    bounds: Sequence[float]  # upper ones, inclusive
    counts: Sequence[int]  # of the values up to each bound and above the one before; then of those above all bounds
    total: float  # of the values


class Family(NamedTuple):
    """What was measured, by the values of the labels."""

    description: Description
    samples: Mapping[Labels, float | Distribution]


class _Count:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class _Buckets:
    __slots__ = ("counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0


_admitting = threading.Lock()  # for series that are new; there are few
S = TypeVar("S", _Count, _Buckets)


def _admit(series: dict[Labels, S], labels: Labels, make: Callable[[], S]) -> S:
    """A series that is new; that of all others if there are too many."""
    with _admitting:
        if len(series) >= MAX_SERIES:
            labels = (OTHER, *labels[1:])
        if labels not in series:
            series[labels] = make()
        return series[labels]


class Counter:
    """How often something has happened. Series whose labels are known before are there from the start, at 0."""

    def __init__(self, name: str, meaning: str, *labels: str, unit: str = "", known: Sequence[Labels] = ()) -> None:
        self.description = Description(name, "counter", meaning, labels, unit)
        self._series: dict[Labels, _Count] = {each: _Count() for each in known or (() if labels else ((),))}

    def add(self, *labels: str, by: int = 1) -> None:
        """It has happened, with these values of the labels."""
        try:
            series = self._series[labels]
        except KeyError:
            series = _admit(self._series, labels, _Count)
        series.value += by

    def read(self) -> Family:
        """So far."""
        return Family(self.description, {labels: series.value for labels, series in list(self._series.items())})


class Histogram:
    """How values are distributed over buckets that do not change."""

    def __init__(self, name: str, meaning: str, *labels: str, bounds: Sequence[float], unit: str = "") -> None:
        self.description = Description(name, "histogram", meaning, labels, unit)
        self.bounds = tuple(bounds)
        # For a watcher that keeps buckets of its own. It raises nothing: what is measured may be committed already.
        self.forward: Callable[[float, Labels], None] | None = None
        self._series: dict[Labels, _Buckets] = {} if labels else {(): _Buckets(self.bounds)}

    def record(self, value: float, *labels: str) -> None:
        """A value, with these values of the labels."""
        try:
            series = self._series[labels]
        except KeyError:
            series = _admit(self._series, labels, lambda: _Buckets(self.bounds))
        series.counts[bisect_left(self.bounds, value)] += 1
        series.total += value
        forward = self.forward  # whoever watches may leave at any moment
        if forward is not None:
            forward(value, labels)

    def read(self) -> Family:
        """So far."""
        return Family(
            self.description,
            {
                labels: Distribution(self.bounds, tuple(series.counts), series.total)
                for labels, series in list(self._series.items())
            },
        )
