"""Bugs in the pytest plugin: its clock, its databases, crash_everywhere."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

CLOCK = "tests/acceptance/test_clock.py::{}[sqlite]"
PLUGIN = "tests/acceptance/test_pytest_plugin.py::test_the_plugin_in_a_suite_of_its_own[{}]"

MUTANTS = (
    Mutant(
        "a lease is over because a test moves time",
        "store/sql/executors.sql",
        "where instance_id = :instance and lease_expires_at_ms >= {lease_now_ms}",
        "where instance_id = :instance and lease_expires_at_ms >= {now_ms}",
        CLOCK.format("test_no_lease_is_over_because_time_jumps"),
    ),
    Mutant(
        "time jumps over what is due on the way",
        "testing/clock.py",
        "while (due := self._settle()) < end - clock.steady():",
        "while (due := self._settle()) < 0:",
        CLOCK.format("test_everything_on_the_way_happens_at_its_time"),
    ),
    Mutant(
        "time jumps while user code runs",
        "testing/watching.py",
        "return all(frame in waited for frame in frames) and",
        "return",
        CLOCK.format("test_time_stands_while_user_code_runs"),
    ),
    Mutant(
        "time jumps while a service is slow",
        "testing/clock.py",
        "elif is_working:",
        "elif False:",
        CLOCK.format("test_what_the_library_does_itself_is_waited_for"),
    ),
    Mutant(
        "two answers of the clock are of two readings",
        "testing/clock.py",
        "if engine is not self._read_of:",
        "if True:",
        CLOCK.format("test_no_reading_lags_behind_another"),
    ),
    Mutant(
        "held time jumps",
        "testing/clock.py",
        "return self._held > 0",
        "return self._held > 1",
        CLOCK.format("test_held_time_passes_as_on_the_wall"),
    ),
    Mutant(
        "a tick is nothing that time stops for",
        "services/scheduler.py",
        "return NEVER if nearest_ms == NEVER_MS else",
        "return NEVER if nearest_ms <= NEVER_MS else",
        CLOCK.format("test_every_tick_of_a_day_fires_once_at_its_time"),
    ),
    Mutant(
        "the process does not follow the database's time",
        "runtime/clock.py",
        "return int(steady() * 1000 + self._offset_ms)",
        "return int(time.monotonic() * 1000 + self._offset_ms)",
        CLOCK.format("test_no_lease_is_over_because_time_jumps"),
    ),
    Mutant(
        "tests share a database",
        "../dbos_pytest/__init__.py",
        "    DBOS.reset_system_database(truncate=True)\n",
        "",
        PLUGIN.format("postgres"),
    ),
    Mutant(
        "crash_everywhere does not compare what is left outside",
        "testing/everywhere.py",
        "return _Run(value, seen=observe())",
        "return _Run(value)",
        PLUGIN.format("sqlite"),
    ),
    Mutant(
        "crash_everywhere blames the wrong side of a commit",
        "testing/everywhere.py",
        "if point.when is When.AFTER:",
        "if point.when is When.BEFORE:",
        PLUGIN.format("sqlite"),
    ),
)
