"""Which recorded failures a failed workflow forgets when it is resumed, so that it runs on from what it completed.

A failure that the workflow went on from is part of its past: steps were completed because of it, and a replay without
it would take another way and find them in its place. A failure that nothing was built upon can be tried again.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbos.fields import NamedTuple

ASYNCIO_WAIT = "DBOS.asyncio_wait"  # the step that records which of several were done
LATE_MS = 1  # so much later than it failed, a step that failed ends: after whatever has begun by then


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
    return failures + waits


def _may_follow(earlier: EndedStep, later: EndedStep) -> bool:
    """Could the later step have begun because of how the earlier one ended?"""
    return _may_be_after(earlier, later, later.started_at_ms)  # exact, as `runtime/consequences.py` sees to


def _may_end(failure: EndedStep, wait: EndedStep) -> bool:
    """Could the wait have come to an end because of the failure?"""
    return _may_be_after(failure, wait, wait.completed_at_ms, LATE_MS)


def _may_be_after(ended: EndedStep, other: EndedStep, at_ms: int | None, slack_ms: int = 0) -> bool:
    """Could this moment of another step be after the end of the one? If nobody can tell, it could."""
    if other.epoch != ended.epoch:  # perhaps by the clock of another host, but epochs only grow
        return other.epoch > ended.epoch
    if ended.completed_at_ms is None or at_ms is None:
        return True
    return at_ms + slack_ms >= ended.completed_at_ms


def step_of_failure(steps: Sequence[EndedStep]) -> int:
    """The first step that a fork of such a workflow runs itself, so that it does not meet the same failure again.

    If that is the result of a child, the child is started anew. Without a failure it is the step behind the last.
    """
    forgotten = steps_to_forget(steps)
    children = {step.child_workflow_id for step in forgotten} - {None}
    anew = [step.step_id for step in steps if step in forgotten or step.child_workflow_id in children]
    return min(anew, default=steps[-1].step_id + 1 if steps else 1)
