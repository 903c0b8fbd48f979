"""Changing for how long an enqueued workflow has to wait before it may run."""

from __future__ import annotations

from dbos.error import DBOSException
from dbos.model.ids import validate_workflow_id
from dbos.model.placement import require_delay
from dbos.model.seconds import LONGEST_SECONDS
from dbos.runtime.context import workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Commit, Operation
from dbos.runtime.step import commit_as_step
from dbos.store.records import SetDelay


def set_workflow_delay(
    engine: Engine, workflow_id: str, *, delay_seconds: float | None = None, delay_until_epoch_ms: int | None = None
) -> Operation[None]:
    """Change when a delayed workflow may run. Exactly one of the two times must be given.

    Args:
        workflow_id: One that is not delayed, or not there, is left as it is.
        delay_seconds: So long from now, on the clock of the database.
        delay_until_epoch_ms: At this time; one that is over lets it run at once.

    Raises DBOSException for negative times.
    """
    validate_workflow_id(workflow_id)
    delay_ms = _relative_ms(delay_seconds, delay_until_epoch_ms)
    attempt = workflow_body()
    if attempt is None:
        yield Commit(SetDelay(workflow_id, delay_ms, delay_until_epoch_ms, None, None))
    else:
        change = SetDelay(workflow_id, delay_ms, delay_until_epoch_ms, attempt.workflow_id, attempt.epoch)
        yield from commit_as_step(attempt, "DBOS.setWorkflowDelay", change)
    engine.announce_enqueued(None)  # the next time that something is due may have changed


def _relative_ms(delay_seconds: float | None, until_ms: int | None) -> int | None:
    if (delay_seconds is None) == (until_ms is None):
        raise DBOSException("set_workflow_delay takes either delay_seconds or delay_until_epoch_ms")
    if delay_seconds is not None:
        return round(require_delay(delay_seconds) * 1000)
    longest_ms = 2 * LONGEST_SECONDS * 1000
    if not isinstance(until_ms, int) or isinstance(until_ms, bool) or not 0 <= until_ms <= longest_ms:
        raise DBOSException(
            f"delay_until_epoch_ms must be whole milliseconds since 1970, from 0 to {longest_ms}, not {until_ms!r}"
        )
    return None
