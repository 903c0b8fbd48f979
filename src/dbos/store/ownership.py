"""Another name for an application whose rows are in a database that it may share with others.

What is on its way, and what decides about it, changes its name in one transaction; what has ended follows in batches.
"""

from __future__ import annotations

import json

from dbos.fields import NamedTuple
from dbos.store.pool import Pool, Run


class Renaming(NamedTuple):
    """From which name to which; `old` is None if only rows of nobody are adopted."""

    old: str | None
    new: str
    adopts_unclaimed: bool


Counts = dict[str, int]
"""How many rows of each kind have the new name now: queues, schedules, versions, workflows, steps."""


class Ownership:
    """The column `application_name` of every table."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def rename(self, wanted: Renaming) -> Counts:
        """Rename all but the workflows that have ended."""

        def work(run: Run) -> Counts:
            values = _values(wanted)
            counts = {kind: len(run(f"rename_{kind}", **values)) for kind in ("queues", "schedules", "versions")}
            run("forget_versions", **values)
            run("rename_executors", **values)
            ids = [row[0] for row in run("rename_unfinished", **values)]
            return {**counts, "workflows": len(ids), "steps": _steps(run, ids)}

        return self._pool.transact(work)

    def rename_finished(self, wanted: Renaming, after: str, limit: int) -> tuple[Counts, str | None]:
        """Rename a page of the workflows that have ended, behind an id; where the next goes on, None at the end."""

        def work(run: Run) -> tuple[Counts, str | None]:
            values = _values(wanted)
            page = [row[0] for row in run("finished_to_rename", **values, after=after, limit=limit)]
            ids = [row[0] for row in run("rename_workflows", **values, ids=json.dumps(page))]
            return {"workflows": len(ids), "steps": _steps(run, ids)}, page[-1] if len(page) == limit else None

        return self._pool.transact(work)


def _values(wanted: Renaming) -> dict[str, object]:
    return {"old": wanted.old, "new": wanted.new, "unclaimed": int(wanted.adopts_unclaimed)}


def _steps(run: Run, ids: list[str]) -> int:
    return int(run("count_steps", ids=json.dumps(ids))[0][0]) if ids else 0
