"""Replaying what is recorded, with the same code and with patched code."""

from __future__ import annotations

from tests.mutants.killers import ERRORS, POINTS, PROMISES
from tests.mutants.mutant import Mutant

PATCHING = "tests/acceptance/test_patching.py::{}[sqlite]"
STEERING = "tests/acceptance/test_steering.py::{}"

MUTANTS = (
    Mutant(
        "a step runs once more where a connection was lost",
        "runtime/step.py",
        "            outcome: Outcome[Any] = yield Invoke(call, awaited, timeout, on_timeout)\n",
        "            outcome: Outcome[Any] = yield Invoke(call, awaited, timeout, on_timeout)\n"
        "            if attempt.engine.store.losses:\n"
        "                outcome = yield Invoke(call, awaited, timeout, on_timeout)\n",
        ERRORS.format("coroutines-sequence"),
    ),
    Mutant(
        "a workflow of the old code takes the new way",
        "runtime/operations/patching.py",
        "        return False\n    yield from",
        "        return True\n    yield from",
        PATCHING.format("test_the_life_of_a_patch"),
    ),
    Mutant(
        "looking at the next step draws its number",
        "runtime/context.py",
        "self._numbers = itertools.count(number)",
        "self._numbers = itertools.count(number + 1)",
        PATCHING.format("test_a_workflow_that_has_not_come_to_the_patch_takes_the_new_way"),
    ),
    Mutant(
        "what began while a failure was recorded was built upon it",
        "runtime/step.py",
        "placed(attempt.failures, records) if attempt.failures else records",
        "records",
        STEERING.format("test_a_failure_among_gathered_steps_is_tried_again[sqlite-step]"),
    ),
    Mutant(
        "every step was built upon the failures before it",
        "model/resuming.py",
        "later.error is None and _may_follow(step, later)",
        "later.error is None",
        "tests/acceptance/test_steering.py::test_all_failures_among_gathered_steps_are_tried_again[sqlite]",
    ),
    Mutant(
        "a wait keeps what it came to with a failure that is tried again",
        "model/resuming.py",
        "return failures + waits",
        "return failures",
        "tests/acceptance/test_steering.py::test_a_wait_that_ended_with_a_failure_waits_again[sqlite]",
    ),
    Mutant(
        "nothing is built upon a failure",
        "runtime/consequences.py",
        "            if step_id > failure.last_step_id:\n",
        "            if not failure:\n",
        "tests/runtime/test_consequences.py::test_what_was_built_upon_a_failure_is_told_from_what_was_not",
    ),
    Mutant(
        "what was numbered before a failure was built upon it",
        "runtime/consequences.py",
        "            if step_id > failure.last_step_id:\n",
        "            if failure:\n",
        STEERING.format("test_a_failure_among_steps_on_threads_is_tried_again[sqlite]"),
    ),
    Mutant(
        "what followed a failure soon was beside it",
        "model/resuming.py",
        "return at_ms + slack_ms >= ended.completed_at_ms\n",
        "return at_ms + slack_ms >= ended.completed_at_ms + 50\n",
        STEERING.format("test_a_failure_that_was_cleaned_up_after_is_not_tried_again[sqlite-False]"),
    ),
    Mutant(
        "the history is not loaded",
        "runtime/claimed.py",
        "        {step.function_id: step for step in history},\n",
        "        {},\n",
        POINTS.format("blocking-sequence"),
    ),
    Mutant(
        "a recorded error is replayed as a value",
        "runtime/step.py",
        "        return Outcome(error=codec.decode_error(row.error, row.serialization))\n",
        "        return Outcome(codec.decode_error(row.error, row.serialization))\n",
        POINTS.format("blocking-caught_errors"),
    ),
    Mutant(
        "a step number is drawn after I/O",
        "runtime/operations/starting.py",
        "(parent.next_step_id(), parent.next_step_id())",
        "(parent.next_step_id(), None)",
        POINTS.format("coroutines-gathered_children"),
    ),
    Mutant(
        "a reading of the clock undoes a later one",
        "runtime/clock.py",
        "with self._reading:",
        "with threading.Lock():",
        "tests/runtime/test_clock.py::test_a_reading_does_not_undo_one_that_was_asked_for_later",
    ),
    Mutant(
        "a sleep is short by what has passed of a millisecond",
        "runtime/clock.py",
        "return int(steady() * 1000 + self._latest_offset_ms) + 1",
        "return int(steady() * 1000 + self._latest_offset_ms)",
        "tests/acceptance/test_sleep.py::test_no_sleep_is_short[sqlite]",
    ),
    Mutant(
        "a sleep begins anew",
        "runtime/timeouts.py",
        "            wake_at = float(replay(attempt, row).unwrap())\n",
        "            wake_at = attempt.engine.clock.now_ms() / 1000 + max(0.0, seconds)\n",
        PROMISES.format("test_a_recovered_sleep_ends_when_the_recorded_time_has_come"),
    ),
    Mutant(
        "a step is never recorded",
        "runtime/step.py",
        "    yield from record(attempt, encode(attempt, step_id, name, outcome, started_at_ms, child))\n",
        "",
        POINTS.format("blocking-sequence"),
    ),
)
