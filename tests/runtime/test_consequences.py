"""Whatever the clock shows meanwhile, the times of steps tell which of them followed a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from dbos.model.resuming import EndedStep, steps_to_forget
from dbos.runtime.consequences import placed, recording_failure
from dbos.runtime.context import Attempt
from dbos.runtime.operation import Operation
from dbos.store.records import Checkpoint


@dataclass
class Steps:
    """An attempt, as far as failures are concerned."""

    failures: Any = None
    last_step_id: int = 0

    def fail(self, now_ms: int) -> Operation[None]:
        """Begins to record a failure; when it goes on, the workflow hears of it."""

        def recording() -> Any:
            yield

        operation = recording_failure(cast(Attempt, self), now_ms + 1, recording())
        next(operation)
        return operation

    def begun_ms(self, step_id: int, now_ms: int) -> int:
        """The time that is recorded for a step."""
        step = Checkpoint("w", 1, step_id, "good", "1", None, None, None, now_ms, now_ms)
        record = cast(Checkpoint, step if self.failures is None else placed(self.failures, [step])[0])
        assert record.started_at_ms is not None
        assert record.completed_at_ms == max(now_ms, record.started_at_ms)
        return record.started_at_ms


def hear(failure: Operation[None]) -> None:
    for _ in failure:
        raise AssertionError("it is recorded")


@given(after_ms=st.integers(-5, 5), drawn_late=st.booleans(), recorded_late=st.booleans())
def test_what_was_built_upon_a_failure_is_told_from_what_was_not(
    after_ms: int, drawn_late: bool, recorded_late: bool
) -> None:
    """By the clock, which may be set back, the other step begins so long after the failure, and ends at once."""
    failed_at_ms = 1_000
    steps = Steps(last_step_id=1 if drawn_late else 2)
    failure = steps.fail(failed_at_ms)
    if recorded_late or drawn_late:
        hear(failure)
    steps.last_step_id = 2
    begun_ms = steps.begun_ms(2, failed_at_ms + after_ms)
    found = [
        EndedStep(1, "bad", "boom", None, failed_at_ms, failed_at_ms + 1, 1),
        EndedStep(2, "good", None, None, begun_ms, begun_ms + 9, 1),
    ]
    assert [each.step_id for each in steps_to_forget(found)] == ([] if drawn_late else [1])
    assert abs(begun_ms - (failed_at_ms + after_ms)) <= 6


def test_of_several_failures_each_is_followed_or_not() -> None:
    steps = Steps()
    steps.last_step_id = 3
    first, second = steps.fail(10), steps.fail(20)  # the first and the third of three that are gathered
    hear(first)
    steps.last_step_id = 4  # drawn in between
    hear(second)
    steps.last_step_id = 5
    assert [steps.begun_ms(number, 50) for number in (2, 4, 5)] == [10, 20, 50]
    assert steps.begun_ms(5, 0) == 21
