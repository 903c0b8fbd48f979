"""Bars on a scale of time, and lengths of time in words."""

from hypothesis import given
from hypothesis import strategies as st

from dbos.cli.timeline import EIGHTHS, Span, bars, duration

moments = st.integers(0, 10_000)


def test_bars_stand_where_they_belong() -> None:
    spans = [Span(0, 50), Span(50, 100), Span(25, 25), Span(0, 100), Span(99, 100), None]
    assert bars(spans, Span(0, 100), 8) == ["████", "    ████", "  ▏", "████████", "       █", ""]


@given(st.lists(st.tuples(moments, moments)), st.tuples(moments, moments), st.integers(1, 80))
def test_every_bar_is_seen_and_fits(spans: list[tuple[int, int]], whole: tuple[int, int], width: int) -> None:
    drawn = bars([Span(min(pair), max(pair)) for pair in spans], Span(min(whole), max(whole)), width)
    for bar in drawn:
        assert 1 <= len(bar) <= width
        assert bar[-1] in EIGHTHS[1:]


def test_durations_in_words() -> None:
    words = {
        None: "",
        -5: "0 ms",
        0: "0 ms",
        999: "999 ms",
        3_449: "3.4 s",
        60_000: "1 min 0 s",
        3_723_000: "1 h 2 min",
    }
    assert {length: duration(length) for length in words} == words
