"""Which recorded failures a failed workflow forgets when it is resumed, so that it runs on from what it completed.

A failure that the workflow went on from is part of its past: steps were completed because of it, and a replay without
it would take another way and find them in its place. A failure that nothing was built upon is what it ended with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EndedStep:
    """How and when a step ended. Times are Unix epoch milliseconds, None where they were not recorded."""

    step_id: int
    name: str
    failed: bool
    child_workflow_id: str | None
    started_at_ms: int | None
    completed_at_ms: int | None
    epoch: int  # of the attempt that recorded it


def failures_to_forget(steps: Sequence[EndedStep]) -> list[EndedStep]:
    """Of the steps of a failed workflow, in order: the failures after which no completed step began.

    Steps that overlapped with the failure, such as the others of a `gather`, do not count as built upon it. Where the
    times leave that open, the failure is kept: resuming may then be in vain, but does not lead astray.
    """
    return [
        step
        for place, step in enumerate(steps)
        if step.failed and not any(not later.failed and _may_follow(step, later) for later in steps[place + 1 :])
    ]


def _may_follow(earlier: EndedStep, later: EndedStep) -> bool:
    """Could the later step have begun because of how the earlier one ended?"""
    if later.epoch != earlier.epoch:  # perhaps by the clock of another host, but epochs only grow
        return later.epoch > earlier.epoch
    if earlier.completed_at_ms is None or later.started_at_ms is None:
        return True
    if later.started_at_ms == earlier.completed_at_ms:
        # Steps of a gather begin together. So it is one of those only if all of the failure is in this millisecond.
        return earlier.started_at_ms != earlier.completed_at_ms
    return later.started_at_ms > earlier.completed_at_ms
