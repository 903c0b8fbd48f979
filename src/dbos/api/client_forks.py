"""Forking and rewinding, as clients do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbos.api import forking, rewinding
from dbos.api.client_connection import ClientConnection
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.scopes import refuse_shard_key
from dbos.api.twins import refuse_on_loop
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation


class ClientForkCalls:
    """Fork one at a step, or many where they failed; rewind one. See the operations of the same names of `DBOS`."""

    _connection: ClientConnection

    def fork_workflow(
        self,
        workflow_id: str,
        start_step: int,
        *,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        replacement_children: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
        shard_key: str | None = None,
    ) -> WorkflowHandle[Any]:
        """Run a workflow once more from one of its steps on; see `DBOS.fork_workflow`."""
        refuse_on_loop("DBOSClient.fork_workflow", waits=False)
        refuse_shard_key(shard_key)

        def fork(engine: Engine) -> Operation[list[str]]:
            return forking.fork(
                engine,
                workflow_id,
                start_step,
                application_version=application_version,
                queue_name=queue_name,
                queue_partition_key=queue_partition_key,
                replacement_children=replacement_children,
                timeout_seconds=timeout_seconds,
            )

        forked = self._connection.perform(fork)
        return WorkflowHandle(forked[0], performer=self._connection)

    async def fork_workflow_async(
        self,
        workflow_id: str,
        start_step: int,
        *,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        replacement_children: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
        shard_key: str | None = None,
    ) -> WorkflowHandleAsync[Any]:
        """Run a workflow once more from one of its steps on; see `DBOS.fork_workflow`."""
        refuse_shard_key(shard_key)

        def fork(engine: Engine) -> Operation[list[str]]:
            return forking.fork(
                engine,
                workflow_id,
                start_step,
                application_version=application_version,
                queue_name=queue_name,
                queue_partition_key=queue_partition_key,
                replacement_children=replacement_children,
                timeout_seconds=timeout_seconds,
            )

        forked = await self._connection.perform_async(fork)
        return WorkflowHandleAsync(forked[0], performer=self._connection)

    def fork_from_failure(
        self,
        workflow_ids: Sequence[str],
        *,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[WorkflowHandle[Any]]:
        """Fork workflows at the step where each failed; see `DBOS.fork_from_failure`."""
        refuse_on_loop("DBOSClient.fork_from_failure", waits=False)

        def fork(engine: Engine) -> Operation[list[str]]:
            return forking.fork_from_failure(
                engine,
                workflow_ids,
                application_version=application_version,
                queue_name=queue_name,
                queue_partition_key=queue_partition_key,
                timeout_seconds=timeout_seconds,
            )

        forked = self._connection.perform(fork)
        return [WorkflowHandle(each, performer=self._connection) for each in forked]

    async def fork_from_failure_async(
        self,
        workflow_ids: Sequence[str],
        *,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[WorkflowHandleAsync[Any]]:
        """Fork workflows at the step where each failed; see `DBOS.fork_from_failure`."""

        def fork(engine: Engine) -> Operation[list[str]]:
            return forking.fork_from_failure(
                engine,
                workflow_ids,
                application_version=application_version,
                queue_name=queue_name,
                queue_partition_key=queue_partition_key,
                timeout_seconds=timeout_seconds,
            )

        forked = await self._connection.perform_async(fork)
        return [WorkflowHandleAsync(each, performer=self._connection) for each in forked]

    def rewind_workflow(
        self,
        workflow_id: str,
        *,
        start_step: int | None = None,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        shard_key: str | None = None,
    ) -> WorkflowHandle[Any]:
        """Run a finished workflow again from one of its steps on; see `DBOS.rewind_workflow`."""
        refuse_on_loop("DBOSClient.rewind_workflow", waits=False)
        refuse_shard_key(shard_key)

        def rewind(engine: Engine) -> Operation[str]:
            return rewinding.rewind(
                engine,
                workflow_id,
                start_step=start_step,
                application_version=application_version,
                queue_name=queue_name,
                queue_partition_key=queue_partition_key,
            )

        rewound = self._connection.perform(rewind)
        return WorkflowHandle(rewound, performer=self._connection)

    async def rewind_workflow_async(
        self,
        workflow_id: str,
        *,
        start_step: int | None = None,
        application_version: str | None = None,
        queue_name: str | None = None,
        queue_partition_key: str | None = None,
        shard_key: str | None = None,
    ) -> WorkflowHandleAsync[Any]:
        """Run a finished workflow again from one of its steps on; see `DBOS.rewind_workflow`."""
        refuse_shard_key(shard_key)

        def rewind(engine: Engine) -> Operation[str]:
            return rewinding.rewind(
                engine,
                workflow_id,
                start_step=start_step,
                application_version=application_version,
                queue_name=queue_name,
                queue_partition_key=queue_partition_key,
            )

        rewound = await self._connection.perform_async(rewind)
        return WorkflowHandleAsync(rewound, performer=self._connection)
