"""Several processes watch the same clock: every tick runs once, whoever dies, and late rather than never."""

import signal
from datetime import datetime, timedelta
from itertools import pairwise

from tests.processes.conftest import Start
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually
from tests.support.worker_ledger import Ledger

EVERY_SECOND = "* * * * * *"


def ticks(url: str, name: str) -> list[datetime]:
    """The ticks that have become runs, in order."""
    prefix = f"sched-{name}-"
    rows = run_sql(url, "select workflow_uuid from workflow_status where workflow_uuid like ?", f"{prefix}2%")
    return sorted(datetime.fromisoformat(row[0].removeprefix(prefix)) for row in rows)


def gaps(found: list[datetime]) -> list[tuple[datetime, datetime]]:
    return [pair for pair in pairwise(found) if pair[1] - pair[0] != timedelta(seconds=1)]


def test_no_tick_is_lost_or_doubled_when_a_scheduler_is_killed(start: Start, database_url: str, ledger: Ledger) -> None:
    first = start(scheduler_polling_interval_sec=0.2)
    second = start(scheduler_polling_interval_sec=0.2)
    first.call("schedule", "s", EVERY_SECOND)
    eventually(lambda: len(ticks(database_url, "s")) >= 2)
    first.kill()
    first.wait()
    count = len(ticks(database_url, "s"))
    eventually(lambda: len(ticks(database_url, "s")) >= count + 3)
    second.call("pause_schedule", "s")
    unfinished = "select count(*) from workflow_status where status <> 'SUCCESS'"
    eventually(lambda: run_sql(database_url, unfinished) == [(0,)])
    found = ticks(database_url, "s")
    assert gaps(found) == []
    begun = [entry.workflow_id for entry in ledger.begun()]
    assert set(begun) == {f"sched-s-{tick.isoformat()}" for tick in found}
    repeated = {each for each in begun if begun.count(each) > 1}
    assert len(repeated) <= 1, "only what died with its process may have begun twice"


def test_a_scheduler_that_was_stopped_makes_up_for_it(start: Start, database_url: str) -> None:
    """It lives, so what became due while it could not move still runs."""
    only = start(executor_lease_sec=30.0)
    only.call("schedule", "s", EVERY_SECOND)
    eventually(lambda: ticks(database_url, "s"))
    before = ticks(database_url, "s")[-1]
    only.kill(signal.SIGSTOP)
    eventually(lambda: datetime.now(before.tzinfo) > before + timedelta(seconds=4))
    only.kill(signal.SIGCONT)
    eventually(lambda: ticks(database_url, "s")[-1] > before + timedelta(seconds=4))
    assert gaps(ticks(database_url, "s")) == []


def test_what_was_due_between_two_launches_is_made_up_for_on_request(start: Start, database_url: str) -> None:
    first = start()
    first.call("schedule", "thorough", EVERY_SECOND, True)
    first.call("schedule", "plain", EVERY_SECOND)
    eventually(lambda: ticks(database_url, "thorough") and ticks(database_url, "plain"))
    first.kill()
    first.wait()
    before = ticks(database_url, "thorough")[-1]
    eventually(lambda: datetime.now(before.tzinfo) > before + timedelta(seconds=3))
    start()
    eventually(lambda: ticks(database_url, "plain")[-1] > before + timedelta(seconds=3))
    eventually(lambda: ticks(database_url, "thorough")[-1] > before + timedelta(seconds=3))
    assert gaps(ticks(database_url, "thorough")) == []
    assert gaps(ticks(database_url, "plain")) != []
