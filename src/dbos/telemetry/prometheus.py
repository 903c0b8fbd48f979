"""Measurements in the text format of Prometheus, version 0.0.4.

A name gets its unit and `_total` as suffixes: `dbos.step.duration` in "s" is `dbos_step_duration_seconds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from dbos.telemetry.instruments import Description, Distribution, Family, Labels

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_IN_LABELS = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


def exposition(families: Iterable[Family]) -> bytes:
    """The answer to a scrape. What UTF-8 cannot say is replaced by question marks."""
    lines = [line for family in families for line in _lines(family)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace")


def metric_name(description: Description) -> str:
    """What Prometheus calls it."""
    name = description.name.replace(".", "_")
    if description.unit == "s":
        name += "_seconds"
    return f"{name}_total" if description.kind == "counter" else name


def _lines(family: Family) -> Iterator[str]:
    description = family.description
    name = metric_name(description)
    yield f"# HELP {name} {description.meaning.translate(_IN_HELP)}"
    yield f"# TYPE {name} {description.kind}"
    for labels, value in sorted(family.samples.items()):
        given = _pairs(description.labels, labels)
        if isinstance(value, Distribution):
            yield from _histogram(name, given, value)
        else:
            yield _sample(name, given, value)


def _histogram(name: str, given: list[str], value: Distribution) -> Iterator[str]:
    bounds = [*map(_number, value.bounds), "+Inf"]
    running = list(accumulate(value.counts))
    for bound, count in zip(bounds, running, strict=True):
        yield _sample(f"{name}_bucket", [*given, f'le="{bound}"'], count)
    yield _sample(f"{name}_sum", given, value.total)
    yield _sample(f"{name}_count", given, running[-1])


def _pairs(names: Labels, values: Labels) -> list[str]:
    pairs = zip(names, values, strict=True)
    return [f'{name}="{value.translate(_IN_LABELS)}"' for name, value in pairs]


def _sample(name: str, given: list[str], value: float) -> str:
    labels = f"{{{','.join(given)}}}" if given else ""
    return f"{name}{labels} {_number(value)}"


def _number(value: float) -> str:
    """Whole ones without a point."""
    return repr(int(value)) if value == int(value) else repr(float(value))
