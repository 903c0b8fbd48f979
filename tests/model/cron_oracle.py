"""When a cron expression is due, found by brute force: every second of a span is looked at, one after the other.

Knows nothing of croniter nor of our code, except the rule for clocks that are set forward or back, which it follows by
watching the wall clock second by second instead of computing with offsets.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}


@dataclass(frozen=True)
class Fields:
    """What an expression matches, written out."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None  # of the month; None for any
    last_day: bool
    months: frozenset[int]
    weekdays: frozenset[int] | None  # None for any; 0 is Sunday

    def match(self, local: datetime) -> bool:
        return (
            local.second in self.seconds
            and local.minute in self.minutes
            and local.hour in self.hours
            and local.month in self.months
            and self._match_day(local)
        )

    def _match_day(self, local: datetime) -> bool:
        last = local.day == calendar.monthrange(local.year, local.month)[1]
        by_date = self.days is not None and (local.day in self.days or (self.last_day and last))
        by_weekday = self.weekdays is not None and local.isoweekday() % 7 in self.weekdays
        if self.days is None and self.weekdays is None:
            return True
        return by_date or by_weekday  # two restrictions are alternatives; one that is not there matches nothing


def read(expression: str) -> Fields:
    """Plain fields: numbers, names, ranges, lists, steps, `*`, and `l` for the last day of the month."""
    texts = expression.lower().split()
    if len(texts) == 5:
        texts = ["0", *texts]
    second, minute, hour, day, month, weekday = texts
    days = [part for part in day.split(",") if part != "l"]
    all_days = numbers(",".join(days), 1, 31) if days else set()
    all_weekdays = {each % 7 for each in numbers(weekday, 0, 7, DAYS)}
    return Fields(
        frozenset(numbers(second, 0, 59)),
        frozenset(numbers(minute, 0, 59)),
        frozenset(numbers(hour, 0, 23)),
        None if all_days == set(range(1, 32)) else frozenset(all_days),  # however it is written, it does not restrict
        "l" in day.split(","),
        frozenset(numbers(month, 1, 12, MONTHS)),
        None if all_weekdays == set(range(7)) else frozenset(all_weekdays),
    )


def numbers(text: str, lowest: int, highest: int, names: dict[str, int] | None = None) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            first, last = lowest, highest
        else:
            low, _, high = span.partition("-")
            first = number(low, names)
            last = number(high, names) if high else (highest if step else first)
        found.update(range(first, last + 1, int(step or 1)))
    return found


def number(text: str, names: dict[str, int] | None) -> int:
    return names[text] if names and text in names else int(text)


def ticks(expression: str, zone_name: str, start: datetime, end: datetime) -> list[datetime]:
    """Every tick in start < tick < end, by watching the wall clock of the zone: each second, or minute if that does.

    The clock is watched for a while before the start already, to know which times it has shown. (No clock of today is
    set back by more than two hours.)
    """
    fields = read(expression)
    step = timedelta(minutes=1) if len(expression.split()) == 5 else timedelta(seconds=1)
    in_real_time = fields.hours == frozenset(range(24))
    (_, latest), *later = watch(zone_name, start, end, step)
    found = []
    for moment, now in later:
        if in_real_time:
            due = fields.match(now)
        else:  # whatever the clock has come to for the first time, or jumped over
            due = any(fields.match(latest + number * step) for number in range(1, (now - latest) // step + 1))
        if due and moment > start:
            found.append(moment)
        latest = max(latest, now)
    return found


@lru_cache(maxsize=2)  # one watch serves many expressions
def watch(zone_name: str, start: datetime, end: datetime, step: timedelta) -> list[tuple[datetime, datetime]]:
    """Each moment of the span, and what the clock on the wall shows then."""
    zone = ZoneInfo(zone_name)
    moment = start.astimezone(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
    seen = []
    while moment < end:
        seen.append((moment, moment.astimezone(zone).replace(tzinfo=None)))
        moment += step
    return seen
