"""The table of schedules: created once, steered by its own application, defined anew without losing what it was."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import psycopg
import pytest

from dbos.error import DBOSException
from dbos.model.schedule import ScheduleRow
from dbos.store.database import StoreSettings
from dbos.store.records import CreateSchedule, DeleteSchedule, ScheduleFired, SetScheduleState
from dbos.store.store import Store
from tests.store.records import APPLICATION, checkpoint, finish, start
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

NO_GUARD = (None, None)


def schedule(name: str, guard: tuple[str, int] | tuple[None, None] = NO_GUARD, **fields: Any) -> CreateSchedule:
    plain: dict[str, Any] = {
        **dict.fromkeys(CreateSchedule._fields),
        "schedule_id": str(uuid.uuid4()),
        "schedule_name": name,
        "workflow_name": "function",
        "schedule": "0 0 * * *",
        "context": "null",
        "context_serialization": "json",
        "automatic_backfill": False,
        "application_name": APPLICATION,
        "guard_workflow_id": guard[0],
        "guard_epoch": guard[1],
    }
    return CreateSchedule(**{**plain, **fields})


def row(store: Store, name: str = "s") -> ScheduleRow:
    found = store.schedules.load(name)
    assert found is not None
    return found


def test_a_name_is_taken_once(store: Store) -> None:
    first, second = schedule("s", schedule="1 * * * *"), schedule("s", schedule="2 * * * *")
    assert store.journal.write([first]) == [()]
    assert store.journal.write([second]) == [None]
    assert row(store).schedule == "1 * * * *"
    assert (row(store).status, row(store).last_fired_at, row(store).automatic_backfill) == ("ACTIVE", None, False)


def test_one_batch_decides_as_several_do(store: Store) -> None:
    taken, free = schedule("s"), schedule("t", automatic_backfill=True, cron_timezone="Asia/Tokyo", queue_name="q")
    assert store.journal.write([taken, schedule("s"), free]) == [(), None, ()]
    other = row(store, "t")
    assert (other.automatic_backfill, other.cron_timezone, other.queue_name) == (True, "Asia/Tokyo", "q")
    paused = SetScheduleState("s", "PAUSED", APPLICATION, *NO_GUARD)
    gone = DeleteSchedule("t", APPLICATION, *NO_GUARD)
    nothing = DeleteSchedule("u", APPLICATION, *NO_GUARD)
    assert store.journal.write([paused, gone, nothing]) == [(), (), None]
    assert [(each.schedule_name, each.status) for each in store.schedules.list(None)] == [("s", "PAUSED")]


def test_a_pause_that_changes_nothing_says_so(store: Store) -> None:
    store.journal.write([schedule("s")])
    born = row(store).active_since
    resume = SetScheduleState("s", "ACTIVE", APPLICATION, *NO_GUARD)
    pause = SetScheduleState("s", "PAUSED", APPLICATION, *NO_GUARD)
    assert store.journal.write([resume]) == [None]
    assert row(store).active_since == born
    assert store.journal.write([pause]) == [()]
    assert store.journal.write([pause]) == [None]
    assert (row(store).status, row(store).active_since) == ("PAUSED", born)


def test_resuming_begins_a_new_time(store: Store, database_url: str) -> None:
    store.journal.write([schedule("s")])
    run_sql(database_url, "update workflow_schedules set active_since = 5, status = 'PAUSED'")
    assert store.journal.write([SetScheduleState("s", "ACTIVE", APPLICATION, *NO_GUARD)]) == [()]
    assert row(store).active_since > 5


def test_others_cannot_steer(store: Store) -> None:
    store.journal.write([schedule("s")])
    strange = [SetScheduleState("s", "PAUSED", "other", *NO_GUARD), DeleteSchedule("s", "other", *NO_GUARD)]
    assert store.journal.write(strange) == [None, None]
    nameless = [SetScheduleState("s", "PAUSED", None, *NO_GUARD), DeleteSchedule("s", None, *NO_GUARD)]
    assert store.journal.write(nameless) == [(), ()]
    assert store.schedules.load("s") is None


def test_listing_knows_owners(store: Store) -> None:
    store.journal.write([schedule("b"), schedule("a"), schedule("x", application_name="other")])
    store.journal.write([schedule("n", application_name=None)])
    assert [each.schedule_name for each in store.schedules.list([APPLICATION])] == ["a", "b", "n"]
    assert [each.schedule_name for each in store.schedules.list(["other"])] == ["n", "x"]
    assert [each.schedule_name for each in store.schedules.list(None)] == ["a", "b", "n", "x"]


@pytest.mark.parametrize("ended", ["finished", "taken over"])
def test_a_stale_attempt_changes_nothing(ended: str, store: Store, database_url: str) -> None:
    guard = ("w", 1)
    store.journal.write([start("w"), schedule("mine", guard), schedule("s")])
    if ended == "finished":
        store.journal.write([finish("w")])
    else:
        run_sql(database_url, "update workflow_status set epoch = 2")
    stale = [
        checkpoint("w", 1),
        schedule("late", guard),
        SetScheduleState("s", "PAUSED", APPLICATION, *guard),
        DeleteSchedule("s", APPLICATION, *guard),
    ]
    for record in stale:
        assert store.journal.write([record]) == [None]
    assert store.journal.write(stale) == [None] * 4
    assert [(each.schedule_name, each.status) for each in store.schedules.list(None)] == [
        ("mine", "ACTIVE"),
        ("s", "ACTIVE"),
    ]


def test_the_last_tick_only_grows(store: Store) -> None:
    record = schedule("s")
    store.journal.write([record])
    since = row(store).active_since
    assert store.journal.write([ScheduleFired(record.schedule_id, since, "two", 2)]) == [()]
    assert store.journal.write([ScheduleFired(record.schedule_id, since, "one", 1)]) == [None]
    assert store.journal.write([ScheduleFired("of an earlier schedule of that name", since, "three", 3)]) == [None]
    assert (row(store).last_fired_at, row(store).last_fired_at_ms) == ("two", 2)


def test_a_run_remembers_its_schedule(store: Store) -> None:
    many = [start(f"w{number}", status="ENQUEUED", schedule_name=f"s{number}") for number in range(3)]
    store.journal.write(many)
    store.journal.write([start("alone", status="ENQUEUED", schedule_name="s"), start("none")])
    rows = store.workflows.load_many(["w0", "w2", "alone", "none"])
    names = {workflow_id: row.schedule_name for workflow_id, row in rows.items()}
    assert names == {"w0": "s0", "w2": "s2", "alone": "s", "none": None}


@pytest.mark.parametrize("change", ["status = 'PAUSED'", "active_since = active_since + 1"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_tick_that_was_found_due_before_a_change_does_not_run(
    store: Store, database_url: str, change: str, count: int
) -> None:
    """`count`: alone, or in one batch with others."""
    record = schedule("s")
    store.journal.write([record])
    since = row(store).active_since
    run_sql(database_url, f"update workflow_schedules set {change}")
    ticks = [
        start(f"tick {n}", status="ENQUEUED", schedule_name="s", schedule_active_since=since) for n in range(count)
    ]
    assert store.journal.write([*ticks, ScheduleFired(record.schedule_id, since, "two", 2)]) == [None] * (count + 1)
    assert store.journal.write([start("by hand", status="ENQUEUED", schedule_name="s")]) != [None]
    assert (row(store).last_fired_at, len(store.workflows.load_many(["tick 0", "tick 1"]))) == (None, 0)


def test_whoever_pauses_a_schedule_waits_for_the_tick_that_is_being_written(postgres_url: str) -> None:
    """Once the pause has returned nothing fires any more."""
    with Store.open(StoreSettings(url=postgres_url)) as store:
        store.journal.write([schedule("s")])
        since = row(store).active_since
        with psycopg.connect(postgres_url) as pausing:
            pausing.execute("update dbos.workflow_schedules set status = 'PAUSED'")
            tick = start("tick", status="ENQUEUED", schedule_name="s", schedule_active_since=since)
            written: list[object] = []
            writing = threading.Thread(target=lambda: written.extend(store.journal.write([tick])))
            writing.start()
            eventually(lambda: run_sql(postgres_url, "select 1 from pg_locks where not granted"))
            pausing.commit()
            writing.join()
        assert written == [None]


# ------------------------------------------------------------ applying


def definition(name: str, **fields: object) -> ScheduleRow:
    plain = ScheduleRow(
        f"id of {name}", name, "function", None, "0 0 * * *", "ACTIVE", "null", "json", False, None, None, APPLICATION
    )
    return plain._replace(**fields)  # type: ignore[arg-type]


def test_applying_creates_and_replaces(store: Store, database_url: str) -> None:
    record = schedule("s", queue_name="q", automatic_backfill=True, context='"old"')
    store.journal.write([record])
    store.journal.write([ScheduleFired(record.schedule_id, row(store).active_since, "then", 7)])
    store.journal.write([SetScheduleState("s", "PAUSED", APPLICATION, *NO_GUARD)])
    run_sql(database_url, "update workflow_schedules set active_since = 5")
    store.schedules.apply([definition("t"), definition("s", workflow_name="g", context='"new"')])
    changed = row(store)
    assert (changed.schedule_id, changed.status, changed.last_fired_at) == (record.schedule_id, "PAUSED", "then")
    assert (changed.workflow_name, changed.context, changed.queue_name) == ("g", '"new"', None)
    assert changed.automatic_backfill is False
    assert changed.active_since == 5, "ticks that are due this moment must not be lost to an unchanged definition"
    assert row(store, "t").schedule_id == "id of t"


@pytest.mark.parametrize("change", [{"schedule": "1 0 * * *"}, {"cron_timezone": "Asia/Tokyo"}])
def test_another_time_table_begins_now(change: dict[str, object], store: Store, database_url: str) -> None:
    store.schedules.apply([definition("s")])
    run_sql(database_url, "update workflow_schedules set active_since = 5")
    store.schedules.apply([definition("s", **change)])
    assert row(store).active_since > 5


def test_applying_is_all_or_nothing(store: Store) -> None:
    store.journal.write([schedule("m", application_name="other")])
    with pytest.raises(DBOSException, match="'m' belongs to another application"):
        store.schedules.apply([definition("a"), definition("m"), definition("z")])
    assert [each.schedule_name for each in store.schedules.list(None)] == ["m"]


def test_many_may_apply_at_once(store: Store) -> None:
    """In any order, without a deadlock that reaches them."""
    failures: list[BaseException] = []

    def apply(names: list[str]) -> None:
        try:
            for _ in range(5):
                # Ids are of the one who applies, as in life: only names meet.
                store.schedules.apply([definition(name, schedule_id=uuid.uuid4().hex) for name in names])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=apply, args=(list(order),)) for order in ("abc", "cba", "bac", "cab")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [each.schedule_name for each in store.schedules.list(None)] == ["a", "b", "c"]
