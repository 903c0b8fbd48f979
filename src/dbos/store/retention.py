"""Which finished workflows may go: those that are old enough, and that no unfinished workflow still needs.

An unfinished workflow needs the workflows that its steps name, whose results it may ask for when it is replayed; its
children and its parent; and the workflow it is a fork of. A batch looks at one page of workflows in order of creation
and deletes what may go, in one short transaction. Rows that somebody has locked are left to the next sweep.

A finished workflow may be reopened at any moment, and then asks for what its steps name. So the question who is needed
is put twice: before anything is locked, to lock no more than that, and once what goes and who may ask for it are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from dbos.fields import NamedTuple
from dbos.store.deleting import Life, delete
from dbos.store.pool import Run

Place = tuple[int, int]
"""Of a workflow in order of creation: `created_at` and `sequence`."""

BEGINNING: Place = (-1, -1)


class Bounds(NamedTuple):
    """Which workflows are old: created before one moment, and ended before another; milliseconds since 1970."""

    created_before_ms: int
    ended_before_ms: int
    application_name: str | None = None  # of this application, or of none; None: of any


class Batch(NamedTuple):
    """What one batch came to."""

    deleted: list[Life]
    reached: Place | None  # where the next one goes on; None: all were looked at


def collect(run: Run, bounds: Bounds, after: Place, limit: int) -> Batch:
    """Delete what may go of the next `limit` workflows behind a place."""
    page = run(
        "old_workflows",
        created_before_ms=bounds.created_before_ms,
        ended_before_ms=bounds.ended_before_ms,
        after_created_at=after[0],
        after_sequence=after[1],
        limit=limit,
        **_whose(bounds.application_name),
    )
    aged = [workflow_id for workflow_id, _, _, ended in page if ended]
    needed = {each.workflow_id for each in _relatives(run, aged) if not each.ended}
    free = _unneeded(run, _lock(run, [each for each in aged if each not in needed]))
    gone = delete(run, free, with_children=False, guard=None) if free else None
    return Batch([] if gone is None else gone.lives, (page[-1][1], page[-1][2]) if len(page) == limit else None)


class _Relative(NamedTuple):
    """A workflow that needs another one as long as it has not ended itself."""

    workflow_id: str  # that is needed
    relative: str
    ended: bool
    asks: bool  # for what the other one came to


def _relatives(run: Run, ids: Sequence[str]) -> list[_Relative]:
    return [_Relative(*row) for row in run("relatives", ids=json.dumps(ids))] if ids else []


def _lock(run: Run, ids: Sequence[str]) -> list[str]:
    """Those that nobody else has locked, and that have ended; they stay so until this transaction is over."""
    return [row[0] for row in run("lock_finished", ids=json.dumps(ids))] if ids else []


def _unneeded(run: Run, locked: Sequence[str]) -> list[str]:
    """Those that nobody needs, and that nobody can need before they are gone: whoever may ask is locked as well."""
    relatives = _relatives(run, locked)
    askers = {each.relative for each in relatives if each.asks} - {*locked}
    held = {*locked, *_lock(run, sorted(askers))}
    needed = {each.workflow_id for each in relatives if not (each.relative in held if each.asks else each.ended)}
    return [each for each in locked if each not in needed]


def nth_newest(run: Run, number: int, application_name: str | None) -> int | None:
    """When the n-th newest workflow was created, counted from 1; None if there are fewer."""
    rows = run("nth_newest", offset=number - 1, **_whose(application_name))
    return rows[0][0] if rows else None


def unfinished_before(
    run: Run, created_before_ms: int, application_name: str | None, after: str, limit: int
) -> list[str]:
    """Unfinished workflows that were created before a moment, in order of their ids, from behind `after`."""
    rows = run(
        "unfinished_before",
        created_before_ms=created_before_ms,
        after=after,
        limit=limit,
        **_whose(application_name),
    )
    return [row[0] for row in rows]


def _whose(application_name: str | None) -> dict[str, object]:
    return {"all": int(application_name is None), "application_name": application_name}
