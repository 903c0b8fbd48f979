"""The clock of a test: it jumps from one moment at which something is due to the next, so that no test waits for time.

Time never jumps over anything. Before each jump everything comes to rest: what runs has run as far as it can, so that
a workflow sleeping ten times for an hour wakes ten times on the way, and a schedule fires every tick at its own time.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from dbos import DBOS
from dbos.api.twins import refuse_on_loop
from dbos.error import DBOSException
from dbos.model.schedule import from_ms
from dbos.model.seconds import LONGEST_SECONDS, is_seconds
from dbos.runtime import clock
from dbos.runtime.context import current_attempt
from dbos.runtime.executor import Executor
from dbos.services.kafka import KafkaConsumer
from dbos.services.listener import Listener
from dbos.services.service import Service
from dbos.testing.shifting import Shift
from dbos.testing.watching import Watch

BUSY_SECONDS = 0.001  # between two looks whether everything is at rest
IDLE_SECONDS = 0.02  # while somebody waits for what time alone does not bring
SURPRISING_MS = 100  # more than a jump itself takes
PATIENCE_SECONDS = 1.0  # for user code that runs and does nothing that we see
WORK_SECONDS = 10.0  # for what the library does, with a database that is slow or that user code keeps from answering
LOOK_SECONDS = 0.05  # from one look to the next; what is beyond that goes by without anybody
FOLLOWERS = ("scheduler", "deadlines", "retention")  # the services to which the time matters, beside the dispatcher
RESTLESS = (Listener, KafkaConsumer)  # they wait for the outside world instead


class Clock:
    """See `dbos_pytest.DBOSClock`, of which this is the one kind there is."""

    def __init__(self) -> None:
        self._shift = Shift()
        self._watch = Watch()
        self._turn = threading.Lock()  # whose it is to move time
        self._gate = threading.Lock()  # guards _held, and keeps it as it is during a jump
        self._held = 0
        self._read_of: Executor | None = None  # whose clock `now` carries forward
        self._offset_ms = 0.0
        self._stopped = threading.Event()

    @contextmanager
    def installed(self) -> Generator[Clock]:
        """What is launched from here on goes by this clock."""
        skipper = threading.Thread(target=self._skip_while_somebody_waits, name="dbos-test-clock", daemon=True)
        with self._shift.installed(), self._watch.installed():
            skipper.start()
            try:
                yield self
            finally:
                self._stopped.set()
                self._watch.outside.set()
                skipper.join()

    # ------------------------------------------------------------ what tests call

    def now(self) -> datetime:
        """What time it is, in UTC: by the database, read once in a launch, so two answers differ by time alone."""
        running = _running()
        if running is None:
            return datetime.now(UTC) + timedelta(milliseconds=self._shift.ahead_ms)
        engine, _ = running
        if engine is not self._read_of:
            self._offset_ms, self._read_of = engine.clock.now_ms() - clock.steady() * 1000, engine
        return from_ms(int(clock.steady() * 1000 + self._offset_ms))

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        span = _span(seconds, minutes, hours, days)
        refuse_on_loop("dbos_clock.advance", waits=True)
        self._let_pass(span)

    async def advance_async(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        span = _span(seconds, minutes, hours, days)
        await asyncio.to_thread(self._let_pass, span)

    def advance_to(self, moment: datetime) -> None:
        span = self._until(moment)
        refuse_on_loop("dbos_clock.advance_to", waits=True)
        self._let_pass(span)

    async def advance_to_async(self, moment: datetime) -> None:
        await asyncio.to_thread(self._let_pass, self._until(moment))

    @contextmanager
    def held(self) -> Generator[None]:
        with self._gate:
            self._held += 1
        try:
            yield
        finally:
            with self._gate:
                self._held -= 1

    @property
    def _is_held(self) -> bool:
        return self._held > 0

    # ------------------------------------------------------------ moving

    def _until(self, moment: datetime) -> float:
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            raise DBOSException(f"The clock moves to a datetime with a time zone, not to {moment!r}")
        seconds = (moment - self.now()).total_seconds()
        if seconds < 0:
            raise DBOSException(f"The clock moves forward only: it is {self.now()} already, after {moment}")
        return _span(seconds)

    def _let_pass(self, seconds: float) -> None:
        with self._turn:
            end = clock.steady() + seconds
            self._nudge(everybody=True)
            while (due := self._settle()) < end - clock.steady():
                self._move(due)
            self._move(max(0.0, end - clock.steady()))
            self._settle()

    def _move(self, seconds: float) -> None:
        """Let time jump, and wake those for whom that means something."""
        running, by_ms = _running(), math.ceil(seconds * 1000)
        if running is None:
            self._shift.forward(by_ms)
            return
        engine, _ = running
        expected_ms = engine.clock.now_ms() + by_ms
        self._shift.forward(by_ms)
        off_ms = abs(engine.clock.now_ms() - expected_ms)
        if off_ms > SURPRISING_MS:  # perhaps the clock was read anew in the middle of the jump
            engine.clock.synchronise()
        self._nudge()

    def _nudge(self, everybody: bool = False) -> None:
        """Whose time has come goes on, and so do the services: timers that were set before a jump are late.

        `everybody`: for what came from elsewhere, whose notification may be on its way.
        """
        self._watch.wake_the_due()
        running = _running()
        if running is not None:
            engine, _ = running
            engine.queue_changed(None)
            for name in FOLLOWERS:
                engine.waiters.wake("service", name)
            if everybody:
                self._watch.look_again(engine)

    def _settle(self) -> float:
        """Wait until everything is at rest. User code that does not come to rest is left alone after a while.

        Returns the seconds until something will be due. What has become due meanwhile has run.
        """
        patience = _Patience()
        while True:
            if self._rests():
                due = self._due_in_seconds()
                if due > 0:
                    return due
                self._nudge()
            if patience.is_over(self._watch.effects, self._is_working()):
                return self._due_in_seconds(overdue=False)
            time.sleep(BUSY_SECONDS)

    def _rests(self) -> bool:
        """Is nothing going on? Looked at twice: a coroutine beside one that waits is not seen between two effects."""
        seen = self._watch.effects
        if not self._is_quiet():
            return False
        time.sleep(BUSY_SECONDS)
        return self._watch.turn_loops() and self._is_quiet() and self._watch.effects == seen

    def _is_quiet(self) -> bool:
        running = _running()
        return running is None or self._watch.is_quiet(running[0], _restful(running[1]))

    def _is_working(self) -> bool:
        running = _running()
        return running is not None and self._watch.is_working(_restful(running[1]))

    def _due_in_seconds(self, overdue: bool = True) -> float:
        """Until the next moment at which something is due; without what is `overdue` already, if that is stuck."""
        running = _running()
        services: Sequence[Service] = () if running is None else running[1]
        due = [self._watch.due_in_seconds(), *(service.due_in_seconds() for service in services)]
        return min((each for each in due if overdue or each > 0), default=math.inf)

    # ------------------------------------------------------------ by itself

    def _skip_while_somebody_waits(self) -> None:
        while not self._stopped.is_set():
            self._watch.outside.wait()
            pause = BUSY_SECONDS
            if self._turn.acquire(blocking=False):
                try:
                    pause = self._skip()
                except DBOSException:  # it is being destroyed
                    pass
                finally:
                    self._turn.release()
            self._stopped.wait(pause)

    def _skip(self) -> float:
        """If somebody waits, and only for time, let it jump to what is due next; the seconds until another look."""
        if self._is_held or not self._rests():
            return BUSY_SECONDS
        if math.isinf(self._due_in_seconds()):
            return IDLE_SECONDS
        before = self._watch.scene()
        self._nudge(everybody=True)
        patient_until = time.monotonic() + PATIENCE_SECONDS
        while not self._rests():
            if time.monotonic() > patient_until or self._stopped.is_set():
                return BUSY_SECONDS
        if self._watch.scene() != before:
            return BUSY_SECONDS
        due = self._due_in_seconds()
        with self._gate:
            if self._watch.outside.is_set() and not self._is_held and 0 < due < math.inf:
                self._move(due)
        return BUSY_SECONDS


class _Patience:
    """With what does not come to rest: short with user code, and long with the library, which waits for its database.

    It begins anew with each effect. Time in which nobody looked does not count: all of a suspended process stood still.
    """

    def __init__(self) -> None:
        self._effects = -1
        self._user_seconds = self._work_seconds = 0.0
        self._looked_at = time.monotonic()

    def is_over(self, effects: int, is_working: bool) -> bool:
        now = time.monotonic()
        passed_seconds, self._looked_at = min(now - self._looked_at, LOOK_SECONDS), now
        if effects != self._effects:
            self._effects, self._user_seconds, self._work_seconds = effects, 0.0, 0.0
        elif is_working:
            self._work_seconds += passed_seconds
        else:
            self._user_seconds += passed_seconds
        return self._user_seconds > PATIENCE_SECONDS or self._work_seconds > WORK_SECONDS


def _running() -> tuple[Executor, Sequence[Service]] | None:
    """What is launched."""
    application = DBOS._instance
    running = None if application is None else application._running
    return None if running is None else (running.engine, running.services)


def _restful(services: Sequence[Service]) -> list[Service]:
    """Those that do not wait for the outside world."""
    return [each for each in services if not isinstance(each, RESTLESS)]


def _span(seconds: float, minutes: float = 0, hours: float = 0, days: float = 0) -> float:
    """The seconds. Raises DBOSException for what is no span of time, or goes backward."""
    given = {"seconds": seconds, "minutes": minutes, "hours": hours, "days": days}
    for name, value in given.items():
        if not is_seconds(value):
            raise DBOSException(f"The clock moves forward by a number of {name}, not by {value!r}")
    total = float(seconds + minutes * 60 + hours * 3600 + days * 86_400)
    if total > LONGEST_SECONDS:
        raise DBOSException("The clock moves by no more than a century")
    if current_attempt() is not None:
        raise DBOSException("The clock is moved by the test, not by a workflow")
    return total
