"""Schedules, their ticks and cron."""

from __future__ import annotations

from tests.mutants.killers import POINTS
from tests.mutants.mutant import Mutant

SCHEDULES = "tests/acceptance/test_schedules.py::{}"
CRON = "tests/model/test_schedule.py::{}"

MUTANTS = (
    Mutant(
        "scheduler: who was woken does not look if a tick is due by then",
        "services/scheduler.py",
        "if self.woken or",
        "if (self.woken and self._nearest_ms() > now_ms) or",
        SCHEDULES.format("test_a_new_schedule_is_seen_at_once_though_the_scheduler_is_slow[sqlite]"),
    ),
    Mutant(
        "scheduler: a pause between the look and the commit lets a tick through",
        "services/scheduler.py",
        "return [run._replace(schedule_active_since=row.active_since)]",
        "return [run]",
        SCHEDULES.format("test_a_pause_between_the_last_look_and_the_commit_is_heeded[sqlite]"),
    ),
    Mutant(
        "all ticks of a schedule are one run",
        "model/schedule.py",
        'return f"sched-{schedule_name}-{tick.isoformat()}"',
        'return f"sched-{schedule_name}-"',
        SCHEDULES.format("test_a_schedule_fires[sqlite]"),
    ),
    Mutant(
        "every process runs a tick of its own",
        "services/scheduler.py",
        "workflow_id = run_id(row.schedule_name, tick)\n",
        "workflow_id = run_id(row.schedule_name, tick.replace(microsecond=hash(engine.instance) % 1_000_000))\n",
        "tests/processes/test_schedulers.py::test_no_tick_is_lost_or_doubled_when_a_scheduler_is_killed[sqlite]",
    ),
    Mutant(
        "what was missed is not made up for",
        "services/scheduler.py",
        "        if not row.automatic_backfill:\n",
        "        if True:\n",
        SCHEDULES.format("test_after_a_restart[sqlite-True]"),
    ),
    Mutant(
        "what was missed runs unasked",
        "services/scheduler.py",
        "        if not row.automatic_backfill:\n",
        "        if False:\n",
        SCHEDULES.format("test_after_a_restart[sqlite-False]"),
    ),
    Mutant(
        "a paused schedule fires",
        "services/scheduler.py",
        "                if row is None or row.status != ScheduleState.ACTIVE:\n",
        "                if row is None:\n",
        SCHEDULES.format("test_a_paused_schedule_that_is_due_does_not_fire[sqlite]"),
    ),
    Mutant(
        "every batch of ticks looks at all that are due",
        "services/scheduler.py",
        "self._fire(due[:BATCH], now_ms)",
        "self._fire(due, now_ms)",
        SCHEDULES.format("test_many_that_are_due_at_once_cost_one_commit_per_batch[sqlite]"),
    ),
    Mutant(
        "a clock that is set forward runs what it left out",
        "services/scheduler.py",
        "JUMP_MS = 60_000",
        "JUMP_MS = 60_000_000_000",
        SCHEDULES.format("test_a_clock_that_is_set_forward_leaves_ticks_out[sqlite]"),
    ),
    Mutant(
        "the zone of a schedule is ignored",
        "services/scheduler.py",
        "parse(row.schedule, row.cron_timezone)",
        "parse(row.schedule)",
        SCHEDULES.format("test_a_schedule_fires[sqlite]"),
    ),
    Mutant(
        "a time that the clock shows twice runs twice",
        "model/cron.py",
        "self._in_real_time(start) if self.every_hour else self._by_the_wall_clock(start)",
        "self._in_real_time(start)",
        CRON.format("test_a_daily_job_runs_once_a_day"),
    ),
    Mutant(
        "a range of one is everything",
        "model/cron.py",
        're.sub(_RANGE_OF_ONE, r"\\1", expression).split()',
        "expression.split()",
        CRON.format("test_notations"),
    ),
    Mutant(
        "days that are all named are a restriction",
        "model/cron.py",
        "if len(days) == 31:",
        "if not days:",
        CRON.format("test_days_that_are_all_named_restrict_nothing"),
    ),
    Mutant(
        "a workflow creates its schedule twice",
        "runtime/operations/scheduling.py",
        "if there is None or there.schedule_id != creation.schedule_id:",
        "if True:",
        POINTS.format("schedules-kept_by_a_workflow"),
    ),
)
