"""Which recorded failures a failed workflow forgets when it is resumed, so that it runs on from what it completed.

A failure that the workflow went on from is part of its past: steps were completed because of it, and a replay without
it would take another way and find them in its place. A failure that nothing was built upon can be tried again.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbos.fields import NamedTuple

ASYNCIO_WAIT = "DBOS.asyncio_wait"  # the step that records which of several were done


class EndedStep(NamedTuple):
    """How and when a step ended: `error` is the stored error, None if it completed.

    Times are Unix epoch milliseconds, None where they were not recorded.
    """

    step_id: int
    name: str
    error: str | None
    child_workflow_id: str | None
    started_at_ms: int | None
    completed_at_ms: int | None
    epoch: int  # of the attempt that recorded it


def steps_to_forget(steps: Sequence[EndedStep]) -> list[EndedStep]:
    """The failures that no completed step followed, and the waits that came to an end with them; `steps` are in order.

    One of the failures may have ended the workflow. The others were handled, or happened beside it, in a `gather` say:
    to try them again leads nothing astray, for what completed was begun without knowing of them.
    """
    failures = [
        step
        for place, step in enumerate(steps)
        if step.error is not None
        and not any(later.error is None and _may_follow(step, later) for later in steps[place + 1 :])
    ]
    waits = [step for step in steps if step.name == ASYNCIO_WAIT and any(_may_end(each, step) for each in failures)]
    return failures + [wait for wait in waits if wait.error is None]


def _may_end(failure: EndedStep, wait: EndedStep) -> bool:
    """Could the wait have come to an end because of the failure? If nobody can tell, it could."""
    if wait.epoch != failure.epoch:
        return wait.epoch > failure.epoch
    if failure.completed_at_ms is None or wait.completed_at_ms is None:
        return True
    return wait.completed_at_ms >= failure.completed_at_ms - 1  # a failure ends a millisecond late


def _may_follow(earlier: EndedStep, later: EndedStep) -> bool:
    """Could the later step have begun because of how the earlier one ended? If nobody can tell, it could."""
    if later.epoch != earlier.epoch:  # perhaps by the clock of another host, but epochs only grow
        return later.epoch > earlier.epoch
    if earlier.completed_at_ms is None or later.started_at_ms is None:
        return True
    return later.started_at_ms >= earlier.completed_at_ms  # as `runtime/consequences.py` sees to


def step_of_failure(steps: Sequence[EndedStep]) -> int:
    """The first step that a fork of such a workflow runs itself, so that it does not meet the same failure again.

    If that is the result of a child, the child is started anew. Without a failure it is the step behind the last.
    """
    forgotten = steps_to_forget(steps)
    children = {step.child_workflow_id for step in forgotten} - {None}
    anew = [step.step_id for step in steps if step in forgotten or step.child_workflow_id in children]
    return min(anew, default=steps[-1].step_id + 1 if steps else 1)
