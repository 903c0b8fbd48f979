"""Rewinds as users ask for them."""

from __future__ import annotations

from dbos.api.forking import require_first_step, require_queue
from dbos.model.ids import validate_workflow_id
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.operations import rewinding
from dbos.store.rewinding import Rewind


def rewind(
    engine: Engine,
    workflow_id: str,
    *,
    start_step: int | None = None,
    application_version: str | None = None,
    queue_name: str | None = None,
    queue_partition_key: str | None = None,
) -> Operation[str]:
    """Rewind one workflow to a step; see `DBOS.rewind_workflow`."""
    wanted = Rewind(
        validate_workflow_id(workflow_id),
        require_first_step(1 if start_step is None else start_step),
        token="",
        queue_name=require_queue(engine, queue_name, queue_partition_key, application_version),
        queue_partition_key=queue_partition_key,
        application_version=application_version,
    )
    return rewinding.rewind(engine, wanted)
