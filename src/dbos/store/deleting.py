"""Deleting workflows, with everything they have left in the tables, in one transaction.

The row of a workflow goes first. Whoever writes for a workflow (a step, an event, a value of a stream, a message, a
child) holds a lock on its row until he has committed, so the statements that follow see all of it, and nobody adds
anything behind them. Only what belonged to a row that went is deleted: the id may be in use again.

Of the row itself the epoch stays for a while (`deleted_workflows`), because epochs fence the writers of an id: a later
workflow of it begins behind that one, and an attempt that has not heard of the deletion is refused by the new row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from dbos.fields import NamedTuple
from dbos.store.forking import Guard, still_owned
from dbos.store.pool import Run

REMAINS = (
    "delete_steps",
    "delete_messages",
    "delete_events",
    "delete_event_history",
    "delete_streams",
    "delete_witnesses",
)

EPOCHS_KEPT_MS = 7 * 24 * 3600 * 1000
"""How long: a process that lives hears of a deletion within a second or so, and ends its attempt after the step it is
in. A week is for that step, and for a process that was stopped."""

EPOCHS_FORGOTTEN = 1_000
"""By a deletion at most. That is more than one leaves behind, unless it is a very large one."""


Life = tuple[str, str]
"""A workflow that was deleted: its id, and the token that tells it from others of this id."""


class Deleted(NamedTuple):
    """What came of it."""

    ids: list[str]  # of all that are gone now, whoever deleted them
    lives: list[Life]  # of those that this call has deleted


def delete(run: Run, ids: Sequence[str], with_children: bool, guard: Guard | None) -> Deleted | None:
    """Delete workflows, and their descendants if asked to. None: the guard does not hold."""
    if guard is not None and not still_owned(run, guard):
        return None
    doomed = _lock_family(run, ids) if with_children else list(ids)
    run("lock_to_delete", ids=json.dumps(doomed))
    run("keep_epochs", ids=json.dumps(doomed), kept_ms=EPOCHS_KEPT_MS)
    lives = [(row[0], row[1]) for row in run("delete_workflows", ids=json.dumps(doomed))]
    if lives:
        for statement in REMAINS:
            run(statement, ids=json.dumps([workflow_id for workflow_id, _ in lives]))
        run("forget_epochs", kept_ms=EPOCHS_KEPT_MS, limit=EPOCHS_FORGOTTEN)
    return Deleted(doomed, lives)


def _lock_family(run: Run, ids: Sequence[str]) -> list[str]:
    """The workflows and all they started. Locked ones start nothing more: once nobody new is found, nobody comes."""
    family = dict.fromkeys(ids)
    while True:
        run("lock_to_delete", ids=json.dumps([*family]))
        late = [row[0] for row in run("children", ids=json.dumps([*family])) if row[0] not in family]
        if not late:
            return [*family]
        family.update(dict.fromkeys(late))
