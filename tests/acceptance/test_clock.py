"""The clock of the pytest plugin: whoever waits for time does so in no time, in order, and nobody is jumped over."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dbos import DBOS, DBOSClient, Debouncer, Queue, SetEnqueueOptions, SetWorkflowID, SetWorkflowTimeout, error
from dbos.api.launched import launched_engine
from dbos.runtime.executor import Executor
from dbos.store.workflows import Workflows
from dbos.testing.clock import Clock
from tests.support.fixture_types import Launch
from tests.support.waiting import eventually

pytestmark = pytest.mark.owner("makes the table that moves the time of a database")

DAY = 86_400
SLACK = timedelta(seconds=30)  # that a slow machine may take in real time


@pytest.fixture
def clock() -> Iterator[Clock]:
    """Ask for it before `launch`."""
    with Clock().installed() as clock:
        yield clock


@pytest.fixture
def passed(clock: Clock) -> Callable[[], float]:
    """The seconds since the last time it was asked, or since the test began: rounded to half a minute."""
    begun = clock.now()

    def since() -> float:
        nonlocal begun
        earlier, begun = begun, clock.now()
        seconds = (begun - earlier).total_seconds()
        assert seconds % 30 < 29, "so slow that nothing can be said"
        return seconds // 30 * 30

    return since


def engine() -> Executor:
    running = launched_engine()
    assert isinstance(running, Executor)
    return running


# ------------------------------------------------------------ by itself


def test_sleeps_and_waits_are_over_at_their_time(clock: Clock, launch: Launch, passed: Callable[[], float]) -> None:
    @DBOS.workflow()
    def sleep() -> str:
        DBOS.sleep(DAY)
        return "slept"

    @DBOS.workflow()
    def parent() -> str:
        return sleep()

    @DBOS.workflow()
    def receive() -> Any:
        return DBOS.recv("topic", timeout_seconds=3600)

    @DBOS.workflow()
    def look() -> Any:
        return DBOS.get_event("nobody", "key", timeout_seconds=600)

    @DBOS.workflow()
    async def sleep_twice_at_once() -> list[Any]:
        return [*await asyncio.gather(DBOS.sleep_async(DAY), DBOS.sleep_async(2 * DAY))]

    @DBOS.workflow()
    async def receive_async() -> Any:
        return await DBOS.recv_async("topic", timeout_seconds=3600)

    async def directly_and_by_handle() -> None:
        await sleep_twice_at_once()
        assert passed() == 2 * DAY
        handle = await DBOS.start_workflow_async(receive_async)
        assert await handle.get_result() is None
        assert passed() == 3600
        assert await DBOS.get_event_async("nobody", "key", timeout_seconds=600) is None
        assert passed() == 600

    launch()
    assert sleep() == "slept"
    assert passed() == DAY
    assert parent() == "slept"
    assert passed() == DAY
    assert DBOS.start_workflow(receive).get_result() is None
    assert passed() == 3600
    assert look() is None
    assert passed() == 600
    assert DBOS.get_event("nobody", "key", timeout_seconds=600) is None
    assert passed() == 600
    assert DBOS.start_workflow(sleep_twice_at_once).get_result() == [None, None]
    assert passed() == 2 * DAY
    asyncio.run(directly_and_by_handle())


def test_a_reader_of_a_stream_gives_up_at_its_time(clock: Clock, launch: Launch, passed: Callable[[], float]) -> None:
    @DBOS.workflow()
    def silent() -> None:
        DBOS.sleep(DAY)

    launch()
    silent_id = DBOS.start_workflow(silent).workflow_id
    with pytest.raises(error.DBOSStreamTimeoutError):
        next(DBOS.read_stream(silent_id, "key", timeout_seconds=600))
    assert passed() == 600
    with pytest.raises(error.DBOSStreamTimeoutError):
        DBOS.read_stream_offset(silent_id, "key", 0, timeout_seconds=3600)
    assert passed() == 3600


def test_what_comes_in_time_is_not_missed(clock: Clock, launch: Launch, passed: Callable[[], float]) -> None:
    @DBOS.workflow()
    def receive() -> Any:
        return DBOS.recv("topic", timeout_seconds=DAY)

    @DBOS.workflow()
    def publish() -> None:
        DBOS.sleep(3600)
        DBOS.set_event("key", "value")
        DBOS.sleep(DAY)

    launch()
    handle = DBOS.start_workflow(receive)
    DBOS.send(handle.workflow_id, "here", "topic")
    assert handle.get_result() == "here"
    assert passed() == 0
    with SetWorkflowID("publisher"):
        DBOS.start_workflow(publish)
    assert DBOS.get_event("publisher", "key", timeout_seconds=2 * DAY) == "value"
    assert passed() == 3600


def test_retries_delays_and_limits_take_their_time(clock: Clock, launch: Launch, passed: Callable[[], float]) -> None:
    failures = iter([ValueError(), ValueError(), ValueError()])
    started: list[datetime] = []
    slow = Queue("slow", limiter={"limit": 2, "period": 3600})
    plain = Queue("plain")

    @DBOS.step(retries_allowed=True, max_attempts=4, interval_seconds=600, backoff_rate=2)
    def flaky() -> str:
        for failure in failures:
            raise failure
        return "at last"

    @DBOS.workflow()
    def persist() -> str:
        return flaky()

    @DBOS.workflow()
    def note(value: int = 0) -> int:
        started.append(clock.now())
        return value

    launch()
    assert persist() == "at last"
    assert passed() == 600 + 1200 + 2400
    with SetEnqueueOptions(delay_seconds=DAY):
        assert plain.enqueue(note).get_result() == 0
    assert passed() == DAY
    debouncer = Debouncer.create(note)
    handles = [debouncer.debounce("key", 1800, value) for value in range(3)]
    assert {handle.get_result() for handle in handles} == {2}
    assert passed() == 1800
    started.clear()
    for handle in [slow.enqueue(note) for _ in range(6)]:
        handle.get_result()
    hours = [(each - started[0] + SLACK).total_seconds() // 3600 for each in started]
    assert hours == [0, 0, 1, 1, 2, 2]


def test_a_deadline_ends_what_waits(clock: Clock, launch: Launch, passed: Callable[[], float]) -> None:
    @DBOS.workflow()
    def receive() -> None:
        DBOS.recv("topic", timeout_seconds=DAY)

    launch()
    with SetWorkflowTimeout(3600):
        handle = DBOS.start_workflow(receive)
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    assert passed() == 3600


def test_time_stands_while_user_code_runs(clock: Clock, launch: Launch) -> None:
    """Whatever is due, and however the code that runs is called."""
    ended: list[str] = []

    @DBOS.workflow()
    def sleep() -> None:
        DBOS.sleep(3600)
        ended.append("sleep")

    @DBOS.step()
    def work() -> None:
        threading.Event().wait(0.1)  # real work takes real time
        ended.append("work")

    @DBOS.step()
    async def work_async() -> None:
        await asyncio.sleep(0.1)
        ended.append("work")

    @DBOS.workflow()
    def steps() -> None:
        work()

    @DBOS.workflow()
    async def both() -> None:
        async def nap() -> None:
            await DBOS.sleep_async(3600)
            ended.append("sleep")

        await asyncio.gather(nap(), work_async())

    launch()
    sleeping, working = DBOS.start_workflow(sleep), DBOS.start_workflow(steps)
    sleeping.get_result()
    working.get_result()
    DBOS.start_workflow(both).get_result()
    asyncio.run(both())
    assert ended == ["work", "sleep"] * 3


def test_what_another_engine_brings_comes_before_what_is_due(
    clock: Clock, launch: Launch, database_url: str, passed: Callable[[], float]
) -> None:
    queue = Queue("jobs")

    @DBOS.workflow(name="answer")
    def answer() -> int:
        return 42

    @DBOS.workflow()
    def daily(scheduled_time: datetime, context: Any) -> None:
        pass

    launch()
    DBOS.create_schedule(schedule_name="daily", workflow_fn=daily, schedule="0 0 * * *")
    clock.advance()
    passed()
    client = DBOSClient(system_database_url=database_url)
    try:
        for _ in range(3):
            options: Any = {"queue_name": queue.name, "workflow_name": "answer"}
            assert client.enqueue(options).get_result() == 42
    finally:
        client.destroy()
    assert passed() == 0


def test_held_time_passes_as_on_the_wall(clock: Clock, launch: Launch, passed: Callable[[], float]) -> None:
    @DBOS.workflow()
    def sleep() -> None:
        DBOS.sleep(DAY)

    launch()
    handle = DBOS.start_workflow(sleep)
    with clock.held():
        began = time.monotonic()
        assert DBOS.get_event("nobody", "key", timeout_seconds=0.3) is None
        assert time.monotonic() - began >= 0.29
        assert handle.get_status().status == "PENDING"
    handle.get_result()
    assert passed() == DAY


# ------------------------------------------------------------ on request


def test_every_tick_of_a_day_fires_once_at_its_time(clock: Clock, launch: Launch) -> None:
    ticks: list[tuple[datetime, datetime]] = []

    @DBOS.scheduled("0 * * * *")
    @DBOS.workflow()
    def hourly(scheduled: datetime, actual: datetime) -> None:
        ticks.append((scheduled, actual))

    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    clock.advance_to(hour + timedelta(hours=1, minutes=30))  # no tick comes while we read the clock
    launch()
    begun = clock.now()
    clock.advance(days=1)
    assert timedelta(days=1) <= clock.now() - begun < timedelta(days=1) + SLACK
    first = hour + timedelta(hours=2)
    assert sorted(scheduled for scheduled, _ in ticks) == [first + timedelta(hours=n) for n in range(24)]
    assert all(timedelta() <= actual - scheduled < SLACK for scheduled, actual in ticks)


def test_a_schedule_across_the_night_that_lacks_an_hour(clock: Clock, launch: Launch) -> None:
    ticks: list[datetime] = []

    @DBOS.workflow()
    def nightly(scheduled_time: datetime, context: Any) -> None:
        ticks.append(scheduled_time)

    launch()
    year = clock.now().year + 1
    march = max(day for day in range(25, 32) if datetime(year, 3, day, tzinfo=UTC).weekday() == 6)  # the last Sunday
    sunday = datetime(year, 3, march, tzinfo=UTC)
    clock.advance_to(sunday - timedelta(hours=12))
    DBOS.create_schedule(
        schedule_name="nightly", workflow_fn=nightly, schedule="30 2 * * *", cron_timezone="Europe/Berlin"
    )
    clock.advance(days=2)
    assert ticks == [sunday + timedelta(hours=1), sunday + timedelta(days=1, minutes=30)]


def test_everything_on_the_way_happens_at_its_time(clock: Clock, launch: Launch) -> None:
    woken: list[datetime] = []

    @DBOS.workflow()
    def rounds() -> None:
        for _ in range(10):
            DBOS.sleep(3600)
            woken.append(clock.now())

    @DBOS.workflow()
    async def rounds_async() -> None:
        for _ in range(10):
            await DBOS.sleep_async(3600)
            woken.append(clock.now())

    async def on_a_loop() -> None:
        handle = await DBOS.start_workflow_async(rounds_async)
        await clock.advance_async(hours=10, minutes=1)
        assert (await handle.get_status()).status == "SUCCESS"

    launch()
    for advance in (lambda: clock.advance(hours=10, minutes=1), lambda: asyncio.run(on_a_loop())):
        begun = clock.now()
        handle = DBOS.start_workflow(rounds)
        advance()
        assert handle.get_status().status == "SUCCESS"
        late = [(each - begun).total_seconds() % 3600 for each in woken]
        assert len(late) in (10, 20)
        assert max(late) < SLACK.total_seconds()
        woken.clear()


def test_code_that_runs_on_is_not_waited_for_for_ever(
    clock: Clock, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbos.testing.clock.PATIENCE_SECONDS", 0.05)
    gate = threading.Event()

    @DBOS.workflow()
    def stuck() -> None:
        gate.wait(30)

    launch()
    with SetWorkflowTimeout(3600):
        handle = DBOS.start_workflow(stuck)
    clock.advance(hours=1, seconds=1)
    eventually(lambda: handle.get_status().status == "CANCELLED")
    gate.set()
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()


def test_what_the_library_does_itself_is_waited_for(
    clock: Clock, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slowly it goes there: the patience is for user code."""
    monkeypatch.setattr("dbos.testing.clock.PATIENCE_SECONDS", 0.05)
    expire = Workflows.expire

    def expire_slowly(workflows: Workflows) -> list[str]:
        time.sleep(0.3)
        return expire(workflows)

    @DBOS.workflow()
    def receive() -> None:
        DBOS.recv(timeout_seconds=DAY)

    monkeypatch.setattr(Workflows, "expire", expire_slowly)
    launch()
    with SetWorkflowTimeout(3600):
        handle = DBOS.start_workflow(receive)
    clock.advance(hours=1, seconds=1)
    assert handle.get_status().status == "CANCELLED"


def test_no_lease_is_over_because_time_jumps(clock: Clock, launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def sleep() -> None:
        DBOS.sleep(500 * DAY)

    launch()
    sleeping = DBOS.start_workflow(sleep).workflow_id
    clock.advance(days=400)
    with DBOSClient(system_database_url=database_url) as client:
        assert [reason.code for reason in client.explain_workflow(sleeping)] == ["running", "sleeping"]
    store, owner = engine().store, engine().owner
    assert store.executors.renew(owner.instance, 30), "it has not lost its lease"
    now_ms = engine().clock.now_ms()
    assert abs(store.now_ms() - now_ms) < 5000, "the database and the process agree about the time"


def test_no_reading_lags_behind_another(clock: Clock, launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application asks the database anew what time it is, and is late if the answer is long in coming."""

    @DBOS.workflow()
    def sleep() -> None:
        DBOS.sleep(DAY)

    launch()
    begun = clock.now()
    handle = DBOS.start_workflow(sleep)
    database_clock = engine().clock
    read_ms = database_clock._read_ms
    monkeypatch.setattr(database_clock, "_read_ms", lambda: read_ms() - 5000)
    database_clock.synchronise()
    assert clock.now() >= begun
    handle.get_result()
    assert (clock.now() - begun).days == 1


# ------------------------------------------------------------ bad input


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, "1", None, True, 1e12])
def test_what_is_no_span_of_time_is_refused(clock: Clock, seconds: Any) -> None:
    before = clock.now()
    for refused in ({"seconds": seconds}, {"days": seconds}):
        with pytest.raises(error.DBOSException, match="The clock moves"):
            clock.advance(**refused)
    with pytest.raises(error.DBOSException, match="The clock moves"):
        asyncio.run(clock.advance_async(minutes=seconds))
    assert clock.now() - before < SLACK


def test_what_cannot_be_is_refused(clock: Clock, launch: Launch) -> None:
    @DBOS.workflow()
    def meddle() -> None:
        clock.advance(1)

    async def block() -> None:
        clock.advance(1)

    launch()
    with pytest.raises(error.DBOSException, match="by the test, not by a workflow"):
        meddle()
    with pytest.raises(RuntimeError, match=r"await dbos_clock\.advance_async"):
        asyncio.run(block())
    naive: Any
    for naive in (clock.now().replace(tzinfo=None), "tomorrow"):
        with pytest.raises(error.DBOSException, match="a datetime with a time zone"):
            clock.advance_to(naive)
    with pytest.raises(error.DBOSException, match="forward only"):
        asyncio.run(clock.advance_to_async(datetime(2000, 1, 1, tzinfo=UTC)))
