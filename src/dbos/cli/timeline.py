"""The steps of a workflow over time, drawn with characters. Pure: it prints nothing and asks no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when something lasted, in epoch milliseconds."""

    begin_ms: int
    end_ms: int


def bars(spans: Sequence[Span | None], whole: Span, width: int) -> list[str]:
    """A bar for each span on the scale of the whole, `width` characters wide; nothing for one of unknown times.

    Even what took no time is seen, as the thinnest bar there is. What lies outside of the whole is cut off.
    """
    return ["" if span is None else _bar(span, whole, width) for span in spans]


def _bar(span: Span, whole: Span, width: int) -> str:
    total = max(1, whole.end_ms - whole.begin_ms)
    begin = (min(max(span.begin_ms, whole.begin_ms), whole.end_ms) - whole.begin_ms) / total
    end = (min(max(span.end_ms, whole.begin_ms), whole.end_ms) - whole.begin_ms) / total
    first = min(int(begin * width), width - 1)
    eighths = max(1, round((end * width - first) * 8))
    full, rest = divmod(min(eighths, (width - first) * 8), 8)
    return " " * first + EIGHTHS[8] * full + (EIGHTHS[rest] if rest else "")


def duration(milliseconds: int | None) -> str:
    """A length of time for people: `12 ms`, `3.4 s`, `5 min 6 s`, `7 h 8 min`; empty for None."""
    if milliseconds is None:
        return ""
    milliseconds = max(0, milliseconds)
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
