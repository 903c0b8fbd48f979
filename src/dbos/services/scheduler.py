"""Cron ticks -> enqueued workflows: each tick once, however many processes watch the same clock.

Every process enqueues every tick, under an id that is made of the schedule and the tick; the first one wins. So a tick
is lost only if no scheduler lives. Ticks follow the database's clock, never early. A process that was late fires what
became due meanwhile; if the clock itself was set forward, what it left out counts as missed, which only a schedule
with `automatic_backfill` makes up for. If it was set back, the ids keep everything from running again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from dbos.model.cron import Cron, parse
from dbos.model.schedule import ScheduleRow, ScheduleState, from_ms, run_id, to_ms
from dbos.runtime import clock
from dbos.runtime.executor import Executor
from dbos.runtime.registry import Target
from dbos.runtime.scheduled_runs import run_of
from dbos.runtime.unattended import announce_runs, enqueued, latest_version
from dbos.services.service import NEVER, Service
from dbos.store.records import ScheduleFired, StartWorkflow

logger = logging.getLogger("dbos")

BATCH = 500  # runs enqueued by one commit, of at most as many schedules
JUMP_MS = 60_000  # a clock that is off by more was set; by less, it was read late
NEVER_MS = 2**62

TimeTable = tuple[object, ...]


class _Plan:
    """What fires next by one time table, of a schedule in the database or of a decorated function."""

    __slots__ = ("_ticks", "cron", "next", "next_ms", "row", "settled_ms", "target")

    def __init__(self, source: ScheduleRow | Target, cron: Cron, settled_ms: int) -> None:
        self.row = source if isinstance(source, ScheduleRow) else None
        self.target = source if isinstance(source, Target) else None
        self.cron = cron
        self.start_after(settled_ms)

    @property
    def backfills(self) -> bool:
        """Does it make up for what was missed?"""
        return self.row is not None and self.row.automatic_backfill

    def start_after(self, settled_ms: int) -> None:
        """Everything up to this moment is settled; go on from there."""
        self.settled_ms = settled_ms
        self._ticks: Iterator[datetime] = self.cron.after(from_ms(settled_ms))
        self.advance()

    def advance(self) -> None:
        """Look at the tick after this one."""
        self.next: datetime | None = next(self._ticks, None)
        self.next_ms = NEVER_MS if self.next is None else to_ms(self.next)


class Scheduler(Service):
    """Sleeps until the next tick. Reads the schedules anew once in a while, and when it is woken."""

    name = "scheduler"
    engine: Executor

    def __init__(self, engine: Executor, polling_seconds: float) -> None:
        super().__init__(engine)
        self._polling_seconds = polling_seconds
        self._plans: dict[TimeTable, _Plan] = {}
        self._reported: set[str] = set()
        self._read_at = float("-inf")  # by the steady clock
        self._floor_ms = engine.clock.now_ms()  # what was due by then is missed: not launched yet, or the clock was set
        self._clock_seen = self._floor_ms, clock.steady()  # the latest reading, and when that was

    def poll(self) -> float:
        """Fire what is due, and find out when the next tick will be."""
        now_ms = self.engine.clock.now_ms()
        self._follow_the_clock(now_ms)
        if self.woken or clock.steady() - self._read_at >= self._polling_seconds:
            self._read(now_ms)
        due = [plan for plan in self._plans.values() if plan.next_ms <= now_ms]
        if due:
            due.sort(key=lambda plan: plan.next_ms)
            if self._fire(due[:BATCH], now_ms) or len(due) > BATCH:
                return 0.0
        return self._rest()

    def _rest(self) -> float:
        """Seconds until the next tick, or until the schedules are to be read."""
        now, nearest_ms = clock.steady(), self._nearest_ms()
        until_tick = self.engine.clock.remaining_seconds(nearest_ms)
        return max(0.0, min(until_tick, self._read_at + self._polling_seconds - now))

    def _nearest_ms(self) -> int:
        return min((plan.next_ms for plan in self._plans.values()), default=NEVER_MS)

    def due_in_seconds(self) -> float:
        nearest_ms = self._nearest_ms()
        return NEVER if nearest_ms == NEVER_MS else self.engine.clock.remaining_seconds(nearest_ms)

    def _follow_the_clock(self, now_ms: int) -> None:
        """Notice that the database's clock was set, and go on from where it stands."""
        now = clock.steady()
        seen_ms, seen_at = self._clock_seen
        lived_ms = round((now - seen_at) * 1000)
        ahead_ms = now_ms - seen_ms - lived_ms
        if ahead_ms > JUMP_MS:
            self._floor_ms = now_ms - lived_ms
            for plan in self._plans.values():
                if plan.next_ms <= self._floor_ms and not plan.backfills:
                    plan.start_after(self._floor_ms)
        elif ahead_ms < -JUMP_MS:
            self._floor_ms = now_ms
            for plan in self._plans.values():
                plan.start_after(now_ms)
        elif now_ms < seen_ms:
            return  # read late: the reading before was closer to the truth
        self._clock_seen = now_ms, now

    # ------------------------------------------------------------ the time tables

    def _read(self, now_ms: int) -> None:
        """Plan for all that is scheduled now; what was planned before goes on as it was."""
        first_time = self._read_at < 0
        plans: dict[TimeTable, _Plan] = {}
        for row in self.engine.store.schedules.list([self.engine.owner.application_name]):
            if row.status == ScheduleState.ACTIVE:
                table = _time_table(row)
                plan = self._plans.get(table) or self._plan_of(row)
                if plan is not None:
                    plans[table] = plan
        for function, cron in self.engine.registry.scheduled_functions():
            settled_ms = self._floor_ms if first_time else now_ms
            plans[function, cron] = self._plans.get((function, cron)) or _Plan(Target(function), cron, settled_ms)
        self._plans = plans
        self._read_at = clock.steady()

    def _plan_of(self, row: ScheduleRow) -> _Plan | None:
        try:
            cron = parse(row.schedule, row.cron_timezone)
        except ValueError as error:  # a zone that this machine does not know
            self._report(f"Schedule {row.schedule_name} cannot fire here: {error}")
            return None
        if not row.automatic_backfill:
            return _Plan(row, cron, max(row.active_since, self._floor_ms))
        return _Plan(row, cron, row.created_at if row.last_fired_at_ms is None else row.last_fired_at_ms)

    # ------------------------------------------------------------ firing

    def _fire(self, due: Sequence[_Plan], now_ms: int) -> bool:
        """Enqueue the runs of a batch of ticks. Is there more to do at once?"""
        fit = self._still_so(due)
        runs: list[StartWorkflow] = []
        fired: dict[_Plan, datetime] = {}
        owners = {plan.row.application_name if plan.row else self.engine.application_name for plan in fit}
        versions = {owner: latest_version(self.engine, owner) for owner in owners}
        for plan in fit:
            while plan.next is not None and plan.next_ms <= now_ms and len(runs) < BATCH:
                fired[plan] = plan.next
                runs += self._runs(plan, plan.next, versions)
                plan.advance()
        marks = [
            ScheduleFired(plan.row.schedule_id, plan.row.active_since, tick.isoformat(), to_ms(tick))
            for plan, tick in fired.items()
            if plan.row is not None
        ]
        try:
            if runs or marks:
                self.engine.store.journal.write((*runs, *marks))
        except BaseException:
            for plan in fired:
                plan.start_after(plan.settled_ms)
            raise
        for plan, tick in fired.items():
            plan.settled_ms = to_ms(tick)
        announce_runs(self.engine, runs)
        if len(fit) < len(due):
            self._read(now_ms)
        return len(fit) < len(due) or len(runs) >= BATCH

    def _still_so(self, due: Sequence[_Plan]) -> list[_Plan]:
        """Those whose time table still holds: one that was paused or changed meanwhile must not fire by the old one.

        The write repeats the condition, and locks the schedules: in the order of their names, as everybody does.
        """
        names = [plan.row.schedule_name for plan in due if plan.row is not None]
        rows = {_time_table(row): row for row in self.engine.store.schedules.load_many(names)}
        fit = []
        for plan in due:
            if plan.row is not None:
                row = rows.get(_time_table(plan.row))
                if row is None or row.status != ScheduleState.ACTIVE:
                    continue
                plan.row = row  # its queue, workflow and context as they are now
            fit.append(plan)
        return sorted(fit, key=lambda plan: "" if plan.row is None else plan.row.schedule_name)

    def _runs(self, plan: _Plan, tick: datetime, versions: Mapping[str | None, str | None]) -> list[StartWorkflow]:
        """The run of a tick. What cannot be run is reported, and stops nobody else."""
        engine, row, target = self.engine, plan.row, plan.target
        try:
            if row is not None:
                workflow_id = run_id(row.schedule_name, tick)
                run = run_of(engine, row, workflow_id, tick, versions[row.application_name])
                return [run._replace(schedule_active_since=row.active_since)]
            assert target is not None
            workflow_id = run_id(target.names.workflow, tick)
            times = tick, from_ms(engine.clock.now_ms())
            return [enqueued(engine, workflow_id, target.names, times, versions[engine.application_name])]
        except Exception as error:  # stored values may raise anything when they are loaded
            title = row.schedule_name if row is not None else "a @DBOS.scheduled() function"
            self._report(f"A scheduled run of {title} cannot be started: {error}")
            return []

    def _report(self, problem: str) -> None:
        """Say it once."""
        if problem not in self._reported:
            self._reported.add(problem)
            logger.error("%s", problem)


def _time_table(row: ScheduleRow) -> TimeTable:
    """What a plan is made of: by another one, it is another plan."""
    return row.schedule_id, row.active_since, row.schedule, row.cron_timezone, row.automatic_backfill
