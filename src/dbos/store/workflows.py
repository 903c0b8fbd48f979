"""The workflows: questions about their rows, and every change of who may write.

A workflow changes hands in one statement or one short transaction that repeats what it assumes, and every change adds
one to the epoch, so that whoever had it before is refused by the journal's guards from then on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from dbos.model.workflow import WorkflowRow
from dbos.store.database import Row
from dbos.store.pool import Pool
from dbos.store.search import WorkflowFilter, query


class Workflows:
    """The table `workflow_status`."""

    def __init__(self, pool: Pool, query_timeout_seconds: float) -> None:
        self._pool = pool
        self._query_timeout_seconds = query_timeout_seconds

    # ------------------------------------------------------------ questions

    def search(self, wanted: WorkflowFilter) -> list[WorkflowRow]:
        """The workflows that fit a filter, in order of creation. Raises `DBOSQueryTimeoutError`."""
        text, values = query(wanted)
        rows = self._pool.read_within(self._query_timeout_seconds, text, **values)
        return [workflow_row(row) for row in rows]

    def load(self, workflow_id: str) -> WorkflowRow | None:
        """One workflow, or None."""
        rows = self._pool.read("load_workflow", workflow_id=workflow_id)
        return workflow_row(rows[0]) if rows else None

    def load_many(self, ids: Sequence[str]) -> list[WorkflowRow]:
        """Those of the workflows that exist, in no particular order."""
        return [workflow_row(row) for row in self._pool.read("load_workflows", ids=json.dumps(ids))] if ids else []

    def standing(self, workflow_id: str) -> tuple[str, int] | None:
        """Status and epoch: the cheapest check whether an attempt may go on."""
        rows = self._pool.read("standing", workflow_id=workflow_id)
        return (rows[0][0], rows[0][1]) if rows else None


def workflow_row(row: Row) -> WorkflowRow:
    """From `{workflow_columns}`."""
    workflow = WorkflowRow(*row)
    workflow.was_forked_from = bool(workflow.was_forked_from)  # SQLite counts in 0 and 1
    return workflow
