"""Our measurements at a meter provider of OpenTelemetry: counters and gauges are read when it collects them, values of
histograms are passed on as they come.

A provider keeps its instruments for good, and an application may be launched again: so there is one `Metering` for each
provider, which reads from whoever is launched. This module knows the API only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter_provider

from dbos.telemetry.instruments import Counter, Description, Distribution, Family, Histogram, Labels
from dbos.telemetry.metrics import LOOKED_UP, Metrics

logger = logging.getLogger("dbos")

ATTRIBUTES = {
    "workflow": "dbos.workflow.name",
    "status": "dbos.workflow.status",
    "step": "dbos.step.name",
    "outcome": "dbos.step.outcome",
    "queue": "dbos.queue.name",
    "reason": "dbos.write.reason",
    "service": "dbos.service.name",
    "application": "dbos.application.name",
    "version": "dbos.application.version",
    "executor": "dbos.executor.id",
}
"""What labels are called as attributes."""

LookUp = Callable[[], Iterable[Family]]


def has_provider() -> bool:
    """Has anybody set a global meter provider?"""
    return type(get_meter_provider()).__name__ != "_ProxyMeterProvider"  # which has no public name


def measure_globally(metrics: Metrics, look_up: LookUp, more: Mapping[str, str]) -> Callable[[], None]:
    """Let the global provider have what is measured, with the attributes `more`. Returns how to stop."""
    provider = get_meter_provider()
    if id(provider) not in _meterings:
        _meterings[id(provider)] = provider, Metering(provider)
    return _meterings[id(provider)][1].measure(metrics, look_up, more)


_meterings: dict[int, tuple[MeterProvider, Metering]] = {}  # by the provider that has it


class Metering:
    """Our instruments at one provider."""

    def __init__(self, provider: MeterProvider) -> None:
        self._launched: Metrics | None = None
        self._counters: Mapping[str, Counter] = {}  # of whoever is launched, by name
        self._look_up: LookUp = tuple
        self._more: Mapping[str, str] = {}
        meter = provider.get_meter("dbos")
        self._histograms = {}
        for instrument in Metrics().instruments():
            told = instrument.description
            if isinstance(instrument, Histogram):
                self._histograms[told.name] = meter.create_histogram(
                    told.name, told.unit, told.meaning, explicit_bucket_boundaries_advisory=instrument.bounds
                )
            else:
                meter.create_observable_counter(told.name, [partial(self._count, told)], told.unit, told.meaning)
        for told in LOOKED_UP:
            create = meter.create_observable_counter if told.kind == "counter" else meter.create_observable_gauge
            create(told.name, [partial(self._look, told)], told.unit, told.meaning)

    def measure(self, metrics: Metrics, look_up: LookUp, more: Mapping[str, str]) -> Callable[[], None]:
        """Measure this launch from now on, and no other. Returns how to stop."""
        counters = [each for each in metrics.instruments() if isinstance(each, Counter)]
        histograms = [each for each in metrics.instruments() if isinstance(each, Histogram)]
        self._counters = {each.description.name: each for each in counters}
        self._launched, self._look_up, self._more = metrics, look_up, more
        for histogram in histograms:
            histogram.forward = partial(self._record, histogram.description)

        def stop() -> None:
            for histogram in histograms:
                histogram.forward = None
            if self._launched is metrics:
                self._launched, self._counters, self._look_up = None, {}, tuple

        return stop

    def _record(self, description: Description, value: float, labels: Labels) -> None:
        try:
            self._histograms[description.name].record(value, self._attributes(description, labels))
        except Exception:
            logger.debug("A value of %s is lost: the meter provider failed", description.name, exc_info=True)

    def _count(self, description: Description, options: CallbackOptions) -> list[Observation]:
        counter = self._counters.get(description.name)
        return [] if counter is None else self._observations(counter.read())

    def _look(self, description: Description, options: CallbackOptions) -> list[Observation]:
        families = [family for family in self._look_up() if family.description is description]
        return [each for family in families for each in self._observations(family)]

    def _observations(self, family: Family) -> list[Observation]:
        return [
            Observation(value, self._attributes(family.description, labels))
            for labels, value in family.samples.items()
            if not isinstance(value, Distribution)
        ]

    def _attributes(self, description: Description, labels: Labels) -> dict[str, str]:
        names = map(ATTRIBUTES.__getitem__, description.labels)
        return {**dict(zip(names, labels, strict=True)), **self._more}
