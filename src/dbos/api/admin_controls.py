"""What the admin server may do with the launched application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, cast

from dbos.api import forking, listing
from dbos.api.performers import OneEngine
from dbos.api.scopes import SetWorkflowID
from dbos.model.queue import INTERNAL, QueueSpec
from dbos.model.status import StepInfo, WorkflowStatus
from dbos.runtime.executor import Executor
from dbos.runtime.gauges import Gauges
from dbos.runtime.operations import inspection, management, retention
from dbos.services.recovery import take_over
from dbos.telemetry.instruments import Family


class _Looking:
    """An engine for people: what is pickled is shown, and runs nothing."""

    def __init__(self, engine: Executor) -> None:
        self._engine = engine
        self.codec = engine.codec.for_people()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


class AdminControls:
    """Performs on the engine of this launch, outside of any workflow."""

    def __init__(self, engine: Executor, gauges: Gauges, deactivate: Callable[[], None]) -> None:
        self._engine = engine
        self._gauges = gauges
        self._performer = OneEngine(engine)
        self._looker = OneEngine(cast(Executor, _Looking(engine)))
        self.deactivate = deactivate

    def recover(self, executor_ids: Sequence[str]) -> list[str]:
        return take_over(self._engine, list(executor_ids))

    def garbage_collect(self, cutoff_ms: int | None, rows_threshold: int | None) -> None:
        self._performer.perform(
            lambda engine: retention.garbage_collect(
                engine, cutoff_epoch_timestamp_ms=cutoff_ms, rows_threshold=rows_threshold
            )
        )

    def global_timeout(self, cutoff_ms: int) -> None:
        self._performer.perform(lambda engine: retention.global_timeout(engine, cutoff_ms))

    def queues(self) -> list[QueueSpec]:
        return [INTERNAL, *self._engine.registry.queues.values()]

    def metrics(self) -> list[Family]:
        return [*self._engine.metrics.read(), *self._gauges.read()]

    def get(self, workflow_id: str) -> WorkflowStatus | None:
        return self._looker.perform(lambda engine: inspection.get_workflow_status(engine, workflow_id))

    def steps(self, workflow_id: str) -> list[StepInfo]:
        return self._looker.perform(lambda engine: inspection.list_workflow_steps(engine, workflow_id))

    def list_workflows(self, **filters: Any) -> list[WorkflowStatus]:
        return self._looker.perform(lambda engine: listing.list_workflows(engine, **filters))

    def list_queued_workflows(self, **filters: Any) -> list[WorkflowStatus]:
        return self._looker.perform(lambda engine: listing.list_queued_workflows(engine, **filters))

    def cancel(self, workflow_id: str) -> None:
        self._performer.perform(lambda engine: management.cancel_workflow(engine, workflow_id))

    def resume(self, workflow_id: str) -> None:
        self._performer.perform(lambda engine: management.resume_workflow(engine, workflow_id))

    def fork(self, workflow_id: str, start_step: int, new_id: str | None, application_version: str | None) -> str:
        with nullcontext() if new_id is None else SetWorkflowID(new_id):
            return self._performer.perform(
                lambda engine: forking.fork_workflow(
                    engine, workflow_id, start_step, application_version=application_version
                )
            )
