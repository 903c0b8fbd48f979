"""What a witness says, and about which step."""

from __future__ import annotations

from dbos.fields import NamedTuple


class Key(NamedTuple):
    """One step of one life of a workflow, and what else its row says about it."""

    workflow_id: str
    step_id: int
    life: str
    epoch: int  # of the execution
    resumed_epoch: int  # failures of executions up to this one count no more
    executor_id: str
    older_life: str | None  # whose witness gives way


class Testimony(NamedTuple):
    """What the step came to, encoded."""

    name: str  # of the function
    output: str | None
    error: str | None
    serialization: str | None
