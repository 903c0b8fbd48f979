"""Taking workflows out of one database and into another, with their whole history: rows as plain data.

An exported workflow is a dict: a table -> its row, or rows. Exported and imported, it is the same in every column but
two: its place in the order of arrival is a new one, and it is owned by nobody. (Unfinished, a third one where it was
deleted: its epoch is beyond that of any attempt that it had there.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from dbos.error import DBOSConflictingWorkflowError, DBOSException
from dbos.store.database import KeyTaken
from dbos.store.pool import Pool, Run

WORKFLOW = "workflow_status"
HISTORY = (
    "operation_outputs",
    "notifications",
    "workflow_events",
    "workflow_events_history",
    "streams",
    "transaction_outputs",
)

LOOKS = 3  # whether a workflow is here already; each further one takes another who writes it in that very moment

_YES_OR_NO = {"rate_limited", "is_debounced", "was_forked_from", "consumed"}  # SQLite counts in 0 and 1
_JSON = "attributes"

Exported = dict[str, Any]


class Transfers:
    """Workflows as plain data."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @cached_property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Of each table, what is exported."""
        statements = self._pool.database.statements
        return {table: statements[f"import_{table}"].parameters for table in (WORKFLOW, *HISTORY)}

    def take_out(self, ids: Sequence[str]) -> list[Exported]:
        """Those of the workflows that exist, in order of arrival, each as it is at one moment."""

        def work(run: Run) -> list[Exported]:
            found = [row[0] for row in run("lock_to_export", ids=json.dumps(ids))]
            return [self._take_out(run, workflow_id) for workflow_id in found]

        return self._pool.transact(work)

    def bring_in(self, workflows: Sequence[Exported]) -> None:
        """Write workflows that were exported, all or none.

        One that is here already, and has not been less far when it was exported, is left as it is. Raises
        DBOSConflictingWorkflowError for another one under the id, or an older state of the same.
        """

        def work(run: Run) -> None:
            for each in workflows:
                if not _is_here(run, each[WORKFLOW]):
                    self._bring_in(run, each)

        for _ in range(LOOKS - 1):
            try:
                return self._pool.transact(work)
            except KeyTaken:
                pass  # by somebody who came in just now: the next look finds him
        return self._pool.transact(work)

    def _take_out(self, run: Run, workflow_id: str) -> Exported:
        def rows(table: str) -> list[dict[str, Any]]:
            found = run(f"export_{table}", workflow_id=workflow_id)
            return [dict(zip(self.columns[table], row, strict=True)) for row in found]

        (workflow,) = rows(WORKFLOW)
        history = {table: rows(table) for table in HISTORY}
        for row in (workflow, *history["notifications"]):
            row.update({name: bool(row[name]) for name in _YES_OR_NO & row.keys()})
        workflow[_JSON] = None if workflow[_JSON] is None else json.loads(workflow[_JSON])
        return {WORKFLOW: workflow, **history}

    def _bring_in(self, run: Run, exported: Exported) -> None:
        workflow = exported[WORKFLOW]
        text = None if workflow[_JSON] is None else json.dumps(workflow[_JSON])
        run(f"import_{WORKFLOW}", **{**workflow, _JSON: text})
        for table in HISTORY:
            for row in exported[table]:
                run(f"import_{table}", **row)


def _is_here(run: Run, workflow: Mapping[str, Any]) -> bool:
    workflow_id = workflow["workflow_uuid"]
    rows = run("known_life", workflow_id=workflow_id)
    if not rows:
        return False
    life, epoch = rows[0]
    if life != workflow["owner_xid"]:
        raise DBOSConflictingWorkflowError(workflow_id, "Another workflow of this ID exists already")
    if epoch < workflow["epoch"]:
        raise DBOSConflictingWorkflowError(workflow_id, "An older state of it is here: delete that first")
    return True


def require_exported(columns: Mapping[str, Sequence[str]], document: object) -> Exported:
    """An exported workflow, if it has the right shape. Raises DBOSException."""
    if not isinstance(document, dict) or document.keys() != columns.keys():
        raise DBOSException(f"An exported workflow is a dict of {', '.join(columns)}")
    for table, names in columns.items():
        rows = [document[table]] if table == WORKFLOW else document[table]
        if not isinstance(rows, list):
            raise DBOSException(f"{table} of an exported workflow must be a list of rows, not {rows!r}")
        for row in rows:
            if not isinstance(row, dict) or row.keys() != set(names):
                raise DBOSException(f"A row of {table} must be a dict of {', '.join(names)}; not {row!r}")
            for name, value in row.items():
                if name != _JSON and not (value is None or isinstance(value, str | int)):
                    raise DBOSException(f"{table}.{name} must be a text or a whole number, not {value!r}")
            if row[names[0]] != document[WORKFLOW][columns[WORKFLOW][0]]:
                raise DBOSException(f"A row of {table} is of another workflow: {row[names[0]]!r}")
    return dict(document)
