"""The text format, as an independent parser reads it."""

import math
from typing import Any

import pytest
from hypothesis import given, settings, strategies
from prometheus_client.parser import text_string_to_metric_families

from dbos.telemetry.instruments import Counter, Description, Family, Histogram
from dbos.telemetry.prometheus import exposition, metric_name


def parsed(*families: Family) -> dict[str, Any]:
    """The families that a scrape brings, by name."""
    text = exposition(families).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_counters_and_gauges() -> None:
    counter = Counter("dbos.things.done", 'Says "a\\b"\nand more.', "kind", unit="{thing}")
    counter.add("x")
    counter.add("x", by=2)
    gauge = Family(Description("dbos.thing.age", "gauge", "Its age.", unit="s"), {(): 0.25})
    assert exposition([counter.read(), gauge]).decode() == (
        '# HELP dbos_things_done_total Says "a\\\\b"\\nand more.\n'
        "# TYPE dbos_things_done_total counter\n"
        'dbos_things_done_total{kind="x"} 3\n'
        "# HELP dbos_thing_age_seconds Its age.\n"
        "# TYPE dbos_thing_age_seconds gauge\n"
        "dbos_thing_age_seconds 0.25\n"
    )
    found = parsed(counter.read(), gauge)
    assert found["dbos_things_done"].documentation == 'Says "a\\b"\nand more.'
    assert found["dbos_things_done"].type == "counter"


def test_histograms() -> None:
    histogram = Histogram("dbos.step.duration", "How long.", "step", bounds=(0.005, 1), unit="s")
    for value in (0.001, 0.5, 0.75, 7):
        histogram.record(value, "s")
    family = parsed(histogram.read())["dbos_step_duration_seconds"]
    assert family.type == "histogram"
    buckets = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert buckets == {"0.005": 1, "1": 3, "+Inf": 4}
    rest = {sample.name.rpartition("_")[2]: sample.value for sample in family.samples if "le" not in sample.labels}
    assert rest["count"] == 4
    assert math.isclose(rest["sum"], 8.251)


HOSTILE = ('a\nb"c\\d\\n{e="f"} 7\r\t', "\\", "\n", '"', "", " ", "\\n")


@given(strategies.sampled_from(HOSTILE) | strategies.text())
@settings(max_examples=60)
def test_any_label_comes_back_as_it_was(value: str) -> None:
    counter = Counter("dbos.things", "Any.", "name")
    counter.add(value)
    (sample,) = parsed(counter.read())["dbos_things"].samples
    assert sample.labels == {"name": value}
    assert sample.value == 1


def test_what_utf_8_cannot_say_breaks_nothing() -> None:
    counter = Counter("dbos.things", "Any.", "name")
    counter.add("\udc00")
    (sample,) = parsed(counter.read())["dbos_things"].samples
    assert sample.labels == {"name": "?"}


@pytest.mark.parametrize(
    ("described", "name"),
    [
        (Description("dbos.writes.fenced", "counter", "", (), "{write}"), "dbos_writes_fenced_total"),
        (Description("dbos.step.duration", "histogram", "", (), "s"), "dbos_step_duration_seconds"),
        (Description("dbos.queue.depth", "gauge", "", (), "{workflow}"), "dbos_queue_depth"),
    ],
)
def test_units_are_suffixes(described: Description, name: str) -> None:
    assert metric_name(described) == name
