"""Which recorded failures a failed workflow forgets when it is resumed, so that it runs on from what it completed.

A failure that the workflow went on from is part of its past: steps were completed because of it, and a replay without
it would take another way and find them in its place. A failure that nothing was built upon can be tried again.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbos.fields import NamedTuple


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


def failures_to_forget(steps: Sequence[EndedStep]) -> list[EndedStep]:
    """The failures that no completed step followed; `steps` are in order.

    One of them may have ended the workflow. The others were handled, or happened beside it, in a `gather` say: to try
    them again leads nothing astray, for what completed was begun without knowing of them.
    """
    return [
        step
        for place, step in enumerate(steps)
        if step.error is not None
        and not any(later.error is None and _may_follow(step, later) for later in steps[place + 1 :])
    ]


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
    failures = failures_to_forget(steps)
    children = {step.child_workflow_id for step in failures} - {None}
    anew = [step.step_id for step in steps if step in failures or step.child_workflow_id in children]
    return min(anew, default=steps[-1].step_id + 1 if steps else 1)
