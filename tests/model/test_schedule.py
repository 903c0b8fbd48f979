"""When schedules are due: what cron expressions mean, and what becomes of them where clocks are set forward or back.

The oracle watches the wall clock step by step (cron_oracle.py). It is held against our ticks around every change of
the clock of many zones, and for random expressions, zones and times.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbos.model.cron import parse
from dbos.model.ids import MAX_ID_BYTES
from dbos.model.schedule import MAX_NAME_BYTES, from_ms, require_schedule_name, run_id, to_ms, triggered_id
from tests.model.cron_oracle import ticks

ZONES = (
    "UTC", "Asia/Kolkata", "Asia/Tokyo",  # never change
    "America/New_York", "America/Los_Angeles", "America/Chicago", "America/St_Johns", "America/Havana",
    "America/Santiago", "America/Asuncion", "America/Sao_Paulo", "America/Nuuk", "Atlantic/Azores",
    "Europe/London", "Europe/Dublin", "Europe/Paris", "Europe/Athens", "Europe/Moscow", "Europe/Istanbul",
    "Africa/Casablanca", "Africa/Cairo", "Asia/Tehran", "Asia/Beirut", "Asia/Gaza",
    "Asia/Jerusalem", "Asia/Amman", "Australia/Sydney", "Australia/Adelaide", "Australia/Lord_Howe",
    "Pacific/Auckland", "Pacific/Chatham", "Pacific/Fiji", "Pacific/Norfolk", "Antarctica/Troll",
)  # fmt: skip
YEARS = (2016, 2021, 2025)

EXPRESSIONS = (
    "* * * * *", "*/7 * * * *", "30 * * * *", "0 0-23 * * *",  # every hour: in real time
    "0 0 * * *", "30 0 * * *", "30 1 * * *", "15 2 * * *", "0 3 * * *", "*/20 2 * * *", "0 */2 * * *", "5,10 1-3 * * *",
    "45 23 * * *", "0 1,2 * * sun", "59 0 * * *",
)  # fmt: skip
SECONDLY = ("*/10 * * * * *", "30 */30 * * * *", "15 30 2 * * *", "*/30 59 1 * * *")


@cache
def changes(zone_name: str, year: int) -> list[datetime]:
    """When the clock of a zone is set in that year, to the minute."""
    zone = ZoneInfo(zone_name)
    days = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(367)]

    def offset(moment: datetime) -> timedelta | None:
        return moment.astimezone(zone).utcoffset()

    found = []
    for day, following in pairwise(days):
        if offset(day) != offset(following):
            minutes = [day + timedelta(minutes=number) for number in range(24 * 60 + 1)]
            found += [after for before, after in pairwise(minutes) if offset(before) != offset(after)]
    return found


def ours(expression: str, zone_name: str | None, start: datetime, end: datetime) -> list[datetime]:
    return [tick.astimezone(UTC) for tick in parse(expression, zone_name).between(start, end)]


@pytest.mark.parametrize("zone_name", ZONES)
def test_ticks_around_every_change_of_the_clock_are_those_of_the_oracle(zone_name: str) -> None:
    moments = [change for year in YEARS for change in changes(zone_name, year)]
    moments = moments or [datetime(2025, 3, 30, 1, tzinfo=UTC)]
    for number, change in enumerate(moments):
        start, end = change - timedelta(hours=2, minutes=7), change + timedelta(hours=3)
        for expression in EXPRESSIONS[number // 2 % 2 :: 2]:  # each half at clocks set forward and set back
            expected = ticks(expression, zone_name, start, end)
            assert ours(expression, zone_name, start, end) == expected, f"{expression} in {zone_name} at {change}"
    change = moments[0]
    start, end = change - timedelta(minutes=31), change + timedelta(minutes=61)
    for expression in SECONDLY:
        expected = ticks(expression, zone_name, start, end)
        assert ours(expression, zone_name, start, end) == expected, f"{expression} in {zone_name} at {change}"


def test_the_zones_change_often_enough_for_that() -> None:
    changing = [zone for zone in ZONES if any(changes(zone, year) for year in YEARS)]
    assert len(changing) >= 25
    assert sum(len(changes(zone, year)) for zone in ZONES for year in YEARS) > 100


def fields(lowest: int, highest: int) -> st.SearchStrategy[str]:
    """One field: `*`, a step, a number, a range, or a list of them."""
    value = st.integers(lowest, highest)
    span = st.tuples(value, value).map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(span, st.integers(1, 9)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    part = st.one_of(value.map(str), span, stepped)
    listed = st.lists(part, min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), st.integers(1, (highest - lowest) // 2).map("*/{}".format), listed)


def expressions() -> st.SearchStrategy[str]:
    return st.tuples(
        fields(0, 59), fields(0, 23), st.one_of(st.just("*"), fields(1, 31)), st.one_of(st.just("*"), fields(1, 12)),
        st.one_of(st.just("*"), fields(0, 7), st.sampled_from(["mon-fri", "sun", "sat,sun"])),
    ).map(" ".join)  # fmt: skip


SOME_CHANGES = [
    (zone_name, change)
    for zone_name in ("America/New_York", "Australia/Lord_Howe", "Europe/Paris", "Africa/Cairo", "Antarctica/Troll")
    for change in changes(zone_name, 2025)
]


@settings(max_examples=50)
@given(expressions(), st.sampled_from(SOME_CHANGES), st.integers(-6 * 3600, 4 * 3600))
def test_random_expressions_from_random_moments(
    expression: str, where: tuple[str, datetime], offset_seconds: int
) -> None:
    zone_name, change = where
    start = change + timedelta(seconds=offset_seconds)
    end = start + timedelta(hours=4)
    try:
        found = ours(expression, zone_name, start, end)
    except ValueError:  # the 31st of February
        found = []
    assert found == ticks(expression, zone_name, start, end)


@settings(max_examples=50)
@given(expressions(), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))  # noqa: DTZ001
def test_random_expressions_over_a_day_in_utc(expression: str, moment: datetime) -> None:
    """Dates, weekdays and months, where clocks play no part."""
    start = moment.replace(tzinfo=UTC)
    end = start + timedelta(hours=24)
    try:
        found = ours(expression, None, start, end)
    except ValueError:  # the 31st of February
        found = []
    assert found == ticks(expression, "UTC", start, end)


@settings(max_examples=50)
@given(st.sampled_from(SOME_CHANGES), st.sampled_from(EXPRESSIONS), st.integers(-7200, 7200))
def test_ticks_do_not_depend_on_where_one_begins_to_count(
    where: tuple[str, datetime], expression: str, offset_seconds: int
) -> None:
    """Two processes that were launched at different times agree."""
    zone_name, change = where
    cron = parse(expression, zone_name)
    middle, end = change + timedelta(seconds=offset_seconds), change + timedelta(hours=3)
    early = cron.between(change - timedelta(hours=3), end)
    assert [tick for tick in early if tick > middle] == list(cron.between(middle, end))


# ------------------------------------------------------------ what it means, by hand


def local(expression: str, zone_name: str, start: str, count: int) -> list[str]:
    moment = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone_name))
    return [tick.isoformat() for tick in islice(parse(expression, zone_name).after(moment), count)]


def test_a_daily_job_runs_once_a_day() -> None:
    assert local("30 2 * * *", "America/New_York", "2025-03-08", 3) == [
        "2025-03-08T02:30:00-05:00",
        "2025-03-09T03:00:00-04:00",  # 2:30 was skipped: right when the clock jumps
        "2025-03-10T02:30:00-04:00",
    ]
    assert local("30 1 * * *", "America/New_York", "2025-11-01", 3) == [
        "2025-11-01T01:30:00-04:00",
        "2025-11-02T01:30:00-04:00",  # and not again at 1:30 of winter time
        "2025-11-03T01:30:00-05:00",
    ]


def test_an_hourly_job_runs_every_hour() -> None:
    assert local("30 * * * *", "America/New_York", "2025-11-02T00:00", 4) == [
        "2025-11-02T00:30:00-04:00",
        "2025-11-02T01:30:00-04:00",
        "2025-11-02T01:30:00-05:00",
        "2025-11-02T02:30:00-05:00",
    ]
    assert local("30 * * * *", "America/New_York", "2025-03-09T01:00", 2) == [
        "2025-03-09T01:30:00-05:00",
        "2025-03-09T03:30:00-04:00",
    ]


def test_many_skipped_times_make_one_run() -> None:
    assert local("*/10 2 * * *", "Europe/Paris", "2025-03-30T01:00", 3) == [
        "2025-03-30T03:00:00+02:00",
        "2025-03-31T02:00:00+02:00",
        "2025-03-31T02:10:00+02:00",
    ]


def test_a_day_that_a_country_left_out() -> None:
    """Samoa had no 30 December 2011."""
    assert local("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00", 3) == [
        "2011-12-29T12:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2011-12-31T12:00:00+14:00",
    ]


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("@hourly", "2025-01-01T01:00:00+00:00"),
        ("@daily", "2025-01-02T00:00:00+00:00"),
        ("@midnight", "2025-01-02T00:00:00+00:00"),
        ("@weekly", "2025-01-05T00:00:00+00:00"),
        ("@monthly", "2025-02-01T00:00:00+00:00"),
        ("@yearly", "2026-01-01T00:00:00+00:00"),
        ("@annually", "2026-01-01T00:00:00+00:00"),
        ("*/15 * * * * *", "2025-01-01T00:00:15+00:00"),
        ("0 0 * * 0", "2025-01-05T00:00:00+00:00"),
        ("0 0 * * 7", "2025-01-05T00:00:00+00:00"),
        ("0 0 * jan mon", "2025-01-06T00:00:00+00:00"),
        ("0 0 L * *", "2025-01-31T00:00:00+00:00"),
        ("0 0 * * fri#2", "2025-01-10T00:00:00+00:00"),
        ("0 0 * * L5", "2025-01-31T00:00:00+00:00"),
        ("0 0 13 * fri", "2025-01-03T00:00:00+00:00"),
        ("0 0 * * 3-3", "2025-01-08T00:00:00+00:00"),
        ("5-5/2 * * * *", "2025-01-01T00:05:00+00:00"),
        ("0 0 10-010,20-20 * *", "2025-01-10T00:00:00+00:00"),
        ("0 0 * * fri-Fri", "2025-01-03T00:00:00+00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00:00+00:00"),
        ("  0\t0  * * *\n", "2025-01-02T00:00:00+00:00"),
    ],
)
def test_notations(expression: str, first: str) -> None:
    tick = parse(expression.strip()).next_after(datetime(2025, 1, 1, tzinfo=UTC))
    assert tick is not None
    assert tick.isoformat() == first


@pytest.mark.parametrize("every_day", ["*", "*/1", "1-31"])
@pytest.mark.parametrize("every_weekday", ["*", "*/1", "0-6", "mon-sun"])
def test_days_that_are_all_named_restrict_nothing(every_day: str, every_weekday: str) -> None:
    """The other kind of day is then no alternative, but decides alone."""
    assert local(f"0 0 {every_day} * 5", "UTC", "2025-01-01", 2) == [
        "2025-01-03T00:00:00+00:00",
        "2025-01-10T00:00:00+00:00",
    ]
    assert local(f"0 0 15 * {every_weekday}", "UTC", "2025-01-01", 2) == [
        "2025-01-15T00:00:00+00:00",
        "2025-02-15T00:00:00+00:00",
    ]


def test_ticks_lie_strictly_between() -> None:
    midnight = datetime(2025, 1, 1, tzinfo=UTC)
    found = parse("0 * * * *").between(midnight, midnight + timedelta(hours=3))
    assert [tick.hour for tick in found] == [1, 2]
    assert list(parse("0 * * * *").between(midnight, midnight)) == []
    just_before = midnight - timedelta(microseconds=1)
    assert parse("0 0 * * *").next_after(just_before) == midnight


def test_the_zone_of_the_machine_plays_no_part() -> None:
    program = (
        "from datetime import *; from dbos.model.cron import parse;"
        "print(parse('30 2 * * *').next_after(datetime(2025, 3, 30, tzinfo=UTC)))"
    )
    for zone_name in ("Europe/Paris", "America/New_York"):
        answer = subprocess.run(
            [sys.executable, "-c", program], env={"TZ": zone_name, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        assert answer.stdout == "2025-03-30 02:30:00+00:00\n"


# ------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    "expression",
    [
        "", " ", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 32 * *", "* * * 13 *", "* * * * 8",
        "60 * * * * *", "0 0 31 2 *", "0 0 30 feb *", "a b c d e", "*/0 * * * *", "1-0/0 * * * *", "5,, * * * *",
        "-1 * * * *", "1.5 * * * *", "@reboot", "@often", "R * * * *", "R(1-5) * * * *", "H * * * *", "* * * * fri#9",
        "\0 * * * *", "٣ * * * *", "0 0 * * *" + " " * 1000, None, 5, b"* * * * *", ["* * * * *"],
    ],
)  # fmt: skip
def test_bad_expressions(expression: object) -> None:
    with pytest.raises(ValueError, match="Invalid cron schedule: "):
        parse(expression)


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "America", "../UTC", "/etc/localtime", "UTC\0", "a" * 5000, "Ü", 5, UTC]
)
def test_bad_zones(zone: object) -> None:
    with pytest.raises(ValueError, match="Invalid timezone: "):
        parse("* * * * *", zone)


@pytest.mark.parametrize("name", ["", " ", None, 5, "a\0b", "\ud800", "a" * (MAX_NAME_BYTES + 1), "ü" * MAX_NAME_BYTES])
def test_bad_names(name: object) -> None:
    with pytest.raises(ValueError, match="schedule"):
        require_schedule_name(name)


def test_the_longest_name_makes_a_possible_id() -> None:
    name = require_schedule_name("a" * MAX_NAME_BYTES)
    moment = datetime(2025, 1, 1, 12, 30, 15, 123456, tzinfo=ZoneInfo("Asia/Kathmandu"))
    assert len(run_id(name, moment)) <= MAX_ID_BYTES
    assert len(triggered_id(name, moment)) <= MAX_ID_BYTES


def test_ids() -> None:
    moment = datetime(2026, 11, 23, 9, 8, 7, tzinfo=UTC)
    assert run_id("sch", moment) == "sched-sch-2026-11-23T09:08:07+00:00"
    assert run_id("sch", moment.astimezone(ZoneInfo("America/New_York"))) == "sched-sch-2026-11-23T04:08:07-05:00"
    assert triggered_id("sch", moment) == "sched-sch-trigger-2026-11-23T09:08:07.000000+00:00"


@given(st.integers(0, 2**42))
def test_moments_survive_being_counted(epoch_ms: int) -> None:
    assert to_ms(from_ms(epoch_ms)) == epoch_ms


def test_an_expression_that_thousands_share_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = parse("7 7 7 7 *")
    monkeypatch.setattr("croniter.croniter.expand", None)
    assert parse("7 7 7 7 *", "Europe/Rome").every_hour is first.every_hour
