"""When a cron expression is due, in the wall-clock time of a zone.

`croniter` parses expressions and matches them, on local times without a zone: with zones it goes wrong where clocks are
set forward or back. What happens there is decided here:

- An expression that fires in every hour (its hour field names all 24) follows real time: it does not notice.
- Any other goes by the clock on the wall, and each time on it counts once. If the clock skips some of its times, it
  fires once, right when the clock jumps; if the clock shows a time twice, it fires the first time.

So a daily job runs once on every day, and an hourly one once in every hour.

Two other errors of `croniter` are put right as well: it takes the range `5-5` for everything, and days that are all
named, as in `*/1`, for a restriction beside which the other kind of day is an alternative.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from dbos.fields import NamedTuple

MAX_CHARACTERS = 1_000
REMEMBERED = 1_000  # expressions that were looked at: it takes a millisecond, and thousands of schedules share a few
_ALIASES = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_RANDOM_OR_HASHED = r"(?i)\b[rh]\b"  # what croniter fills in differs from process to process
_RANGE_OF_ONE = r"(?i)(?<![\w#-])0*(\w+)-0*\1(?:/\d+)?(?![\w#-])"
_HOURS, _DAYS, _WEEKDAYS = 1, 2, 4  # the places of fields in what croniter makes of an expression
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_ANY_DAY = datetime(2000, 1, 1)  # noqa: DTZ001  # local times have no zone here


class Cron(NamedTuple):
    """A valid expression in a zone."""

    expression: str
    zone: tzinfo
    every_hour: bool  # follows real time

    def after(self, moment: datetime) -> Iterator[datetime]:
        """All ticks later than an aware moment, in order, as times of the zone."""
        start = moment.astimezone(UTC).replace(microsecond=0)
        ticks = self._in_real_time(start) if self.every_hour else self._by_the_wall_clock(start)
        return (tick.astimezone(self.zone) for tick in ticks)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick later than an aware moment; None if there is none in the next decades."""
        return next(self.after(moment), None)

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The ticks between two aware moments, both exclusive."""
        for tick in self.after(start):
            if tick >= end:
                return
            yield tick

    # ------------------------------------------------------------ the two ways to read the clock

    def _in_real_time(self, start: datetime) -> Iterator[datetime]:
        """From change to change of the zone's offset; in between, local time is real time."""
        moment, local = start, self._local(start)
        while True:
            offset = local - moment.replace(tzinfo=None)
            for match in _matches(self.expression, local):
                tick = (match - offset).replace(tzinfo=UTC)
                change = self._first_change(moment, tick, offset)
                if change is not None:
                    break
                yield tick
                moment = tick
            else:
                return
            moment = change - _SECOND
            local = self._local(change) - _SECOND

    def _by_the_wall_clock(self, start: datetime) -> Iterator[datetime]:
        """From one local time to the next, each in its turn."""
        last = start
        for match in _matches(self.expression, self._local(start)):
            tick = self._first_instant(match)
            if tick > last:
                yield tick
                last = tick

    # ------------------------------------------------------------ the zone

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta()

    def _first_instant(self, local: datetime) -> datetime:
        """When the wall clock first shows a local time, or jumps over it."""
        aware = local.replace(tzinfo=self.zone)
        before, after = aware.astimezone(UTC), aware.replace(fold=1).astimezone(UTC)
        if after >= before:
            return before
        return self._change_between(after, before)  # skipped: by the old offset it is too late, by the new too early

    def _first_change(self, start: datetime, end: datetime, offset: timedelta) -> datetime | None:
        """When, after the start, the zone first has another offset; None if it still has this one at the end.

        Looks at every day: no zone goes there and back within one.
        """
        while start < end:
            following = min(start + _DAY, end)
            if self._offset(following) != offset:
                return self._change_between(start, following)
            start = following
        return None

    def _change_between(self, before: datetime, after: datetime) -> datetime:
        """The first second of the new offset."""
        offset = self._offset(before)
        while after - before > _SECOND:
            middle = before + (after - before) // 2
            middle = middle.replace(microsecond=0)
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after


def parse(expression: object, time_zone: object = None) -> Cron:
    """An expression of 5 fields, or 6 with seconds first, in a zone of the IANA database; None is UTC.

    Raises ValueError.
    """
    return Cron(_checked(expression), _zone(time_zone), _fires_every_hour(str(expression)))


def _checked(expression: object) -> str:
    if not isinstance(expression, str):
        raise ValueError(f"Invalid cron schedule: {expression!r} is no str")
    shown = expression if len(expression) <= MAX_CHARACTERS else expression[:60] + "..."
    problem = _problem(expression)
    if problem is not None:
        raise ValueError(f"Invalid cron schedule: {shown!r} ({problem})")
    return expression


@lru_cache(REMEMBERED)
def _problem(expression: str) -> str | None:
    if len(expression) > MAX_CHARACTERS:
        return f"it has more than {MAX_CHARACTERS} characters"
    if not expression.isascii() or not expression.replace("\t", " ").isprintable():
        return "it has other characters than those of cron"
    fields = expression.split()
    if expression.strip().lower() not in _ALIASES and len(fields) not in (5, 6):
        return f"write 5 fields, or 6 with seconds first, or one of {', '.join(_ALIASES)}"
    if re.search(_RANDOM_OR_HASHED, expression):
        return "R and H stand for times that differ from process to process"
    try:
        found = next(_matches(expression, _ANY_DAY), None)
    except Exception as error:  # croniter raises what int() and dicts raise, too
        return str(error) or type(error).__name__
    return "it never fires" if found is None else None


def _zone(time_zone: object) -> tzinfo:
    if time_zone is None:
        return UTC
    from zoneinfo import ZoneInfo  # takes long to import, and most programs name no zone

    if isinstance(time_zone, str) and time_zone.isascii() and time_zone.isprintable():
        try:
            return ZoneInfo(time_zone)
        except (ValueError, LookupError, OSError):  # no such name; no name at all; the name of a folder
            pass
    raise ValueError(f"Invalid timezone: {time_zone!r} (give a name of the IANA database such as 'Europe/Rome')")


@lru_cache(REMEMBERED)
def _fires_every_hour(expression: str) -> bool:
    from croniter import croniter

    fields, _ = croniter.expand(_plain(expression), second_at_beginning=True)
    hours = fields[_HOURS]
    return hours == ["*"] or len(set(hours)) == 24


@lru_cache(REMEMBERED)
def _plain(expression: str) -> str:
    """The expression without what croniter takes for something else."""
    from croniter import croniter

    fields = re.sub(_RANGE_OF_ONE, r"\1", expression).split()
    if len(fields) > 1:
        expanded, _ = croniter.expand(" ".join(fields), second_at_beginning=True)
        days, weekdays = ({each for each in expanded[place] if isinstance(each, int)} for place in (_DAYS, _WEEKDAYS))
        if len(days) == 31:
            fields[-3] = "*"
        if len({each % 7 for each in weekdays}) == 7:
            fields[-1] = "*"
    return " ".join(fields)


def _matches(expression: str, local: datetime) -> Iterator[datetime]:
    """The local times later than this one that an expression matches; ends where croniter finds no more."""
    from croniter import CroniterBadDateError, croniter

    times = croniter(_plain(expression), local, second_at_beginning=True)
    try:
        while True:
            yield times.get_next(datetime)
    except (CroniterBadDateError, OverflowError):
        return
