"""The recorded steps of workflows. Only the journal writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dbos.model.workflow import StepRow
from dbos.store.pool import Pool
from dbos.store.search import NO_LIMIT


class Steps:
    """The table `operation_outputs`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def history(self, ids: Sequence[str]) -> dict[str, list[StepRow]]:
        """Everything the workflows recorded, in order of the step numbers, by one query. Every id has an entry."""
        found: dict[str, list[StepRow]] = {workflow_id: [] for workflow_id in ids}
        if ids:
            for row in self._pool.read("history", ids=json.dumps(ids)):
                found[row[0]].append(StepRow(*row))
        return found

    def recorded(self, workflow_id: str, step_id: int) -> StepRow | None:
        """One step, or None if it was not recorded."""
        rows = self._pool.read("recorded_step", workflow_id=workflow_id, step_id=step_id)
        return StepRow(*rows[0]) if rows else None

    def list(
        self, workflow_id: str, limit: int | None = None, offset: int | None = None, load_output: bool = True
    ) -> list[StepRow]:
        """The steps of one workflow in order, with or without outputs and errors."""
        rows = self._pool.read(
            "list_steps",
            workflow_id=workflow_id,
            limit=NO_LIMIT if limit is None else limit,
            offset=offset or 0,
            load_output=int(load_output),
        )
        return [StepRow(*row) for row in rows]
