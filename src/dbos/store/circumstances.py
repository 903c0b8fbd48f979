"""What is known around a workflow, for those who wonder why it stands where it stands."""

from __future__ import annotations

import json

from dbos.model.queue import QueueSpec
from dbos.model.reasons import Circumstances, ExecutorSeen
from dbos.model.workflow import StepRow, WorkflowRow
from dbos.store.database import Row
from dbos.store.pool import Pool
from dbos.store.queues import understood

MOST_COUNTED = 10_000  # nobody who wonders waits for more to be counted


class Surroundings:
    """The tables, as seen from one workflow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def around(self, row: WorkflowRow) -> Circumstances | None:
        """What is known; None if the workflow is gone."""
        found = self._pool.read("circumstances", workflow_id=row.workflow_uuid, most=MOST_COUNTED)
        if not found:
            return None
        now_ms, ahead, running, running_in_partition, latest = found[0]
        executors = self._pool.read(
            "executors_for", owner=row.executor_instance or "", application_name=row.application_name
        )
        return Circumstances(
            now_ms=now_ms,
            executors=[_executor(each) for each in executors],
            latest_version=latest,
            ahead=ahead,
            running=running,
            running_in_partition=running_in_partition,
            queue=self._queue(row.queue_name),
        )

    def last_step(self, workflow_id: str) -> StepRow | None:
        """The recorded step of the highest number."""
        rows = self._pool.read("last_step", workflow_id=workflow_id)
        return StepRow(*rows[0]) if rows else None

    def _queue(self, name: str | None) -> QueueSpec | None:
        rows = [] if name is None else self._pool.read("load_queue", queue_name=name)
        definition = understood(rows[0]) if rows else None
        return definition if isinstance(definition, QueueSpec) else None


def _executor(row: Row) -> ExecutorSeen:
    instance, executor_id, version, host, pid, lease_left_ms, queues = row
    served = frozenset(json.loads(queues)) if queues else frozenset()
    return ExecutorSeen(instance, executor_id, version, host, pid, lease_left_ms, served)
