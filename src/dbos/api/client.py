"""`DBOSClient`: the same operations from a program that runs no workflows itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from typing import Any, Self

from dbos.api import client_calls, forking, handles, listing, registration, rewinding
from dbos.api.client_connection import ClientConnection, read_arguments
from dbos.api.client_schedules import ClientScheduleCalls
from dbos.api.enqueue_options import EnqueueOptions
from dbos.api.enqueueing import Call, enqueue_calls, enqueue_named
from dbos.api.guests import perform_within
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.scopes import refuse_shard_key
from dbos.api.twins import as_one, awaitable_method, blocking_method, refuse_on_loop
from dbos.model.ids import validate_workflow_id
from dbos.model.serialization import Serializer, WorkflowSerializationFormat
from dbos.runtime.operations import (
    delays,
    events,
    explaining,
    inspection,
    management,
    messages,
    retention,
    stream_reading,
    transfer,
    versions,
)
from dbos.runtime.operations.messages import SendMessage, send_bulk
from dbos.runtime.operations.stream_reading import END, StreamReader
from dbos.runtime.outcomes import POLLING_SECONDS


@as_one
class DBOSClient(ClientScheduleCalls):
    """Enqueues, looks and steers from outside the application, through nothing but its system database.

    Args:
        database_url: An older way to name the system database.
        system_database_url: The system database; some application has created it.
        system_database_engine: A sqlalchemy.Engine to take connections from instead; it is never disposed of.
        application_database_url: Accepted for older programs, and without effect.
        dbos_system_schema: The schema of the system tables (Postgres).
        serializer: The serializer of the application.
        system_database_pool_size: How many connections at most; 5 by default.
        system_database_polling_concurrency: Accepted, and without effect: one query asks for all who wait.
        use_listen_notify: Keep a connection that listens, so that waiting ends at once (Postgres); otherwise the
            database is asked once a second.
        application_name: The application whose workflows are listed and enqueued; without it, all of them.
        lazy: Connect with the first call instead of now.
        retry_connection_errors: Wait for a database that is away; otherwise the loss of a connection is an error.
        observability_query_timeout_sec: How long a listing may take; 30 seconds by default.
        sys_db_idle_transaction_timeout_sec: After how many idle seconds the server ends a transaction; 60 by default.
        sharding: Must be False.

    A client never creates or migrates tables, and never runs a workflow. It can be used from any thread and event loop,
    also inside a workflow, where its calls are recorded nowhere. End it with `destroy`, or use it in a `with` block.

    Raises DBOSInitializationError if the system database cannot be reached or has no tables of ours.
    """

    _for_people = False  # what is pickled is read, which runs what it names; for people it is only shown

    def __init__(
        self,
        database_url: str | None = None,
        *,
        system_database_url: str | None = None,
        system_database_engine: Any = None,
        application_database_url: str | None = None,
        dbos_system_schema: str | None = "dbos",
        serializer: Serializer | None = None,
        system_database_pool_size: int | None = None,
        system_database_polling_concurrency: int | None = None,
        use_listen_notify: bool = False,
        application_name: str | None = None,
        lazy: bool = False,
        retry_connection_errors: bool = True,
        observability_query_timeout_sec: float | None = None,
        sys_db_idle_transaction_timeout_sec: float | None = None,
        sharding: bool = False,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name != "self"}
        settings = read_arguments(arguments)
        self._connection = ClientConnection(settings, self._for_people)
        if not settings.lazy:
            self._connection.open()

    def destroy(self) -> None:
        """Close every connection; what waits on this client ends with DBOSException. A second time does nothing."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    check_connection = blocking_method(inspection.check_connection)
    check_connection_async = awaitable_method(inspection.check_connection)

    # ------------------------------------------------------------ enqueueing

    def enqueue(self, options: EnqueueOptions, *args: Any, **kwargs: Any) -> WorkflowHandle[Any]:
        """Enqueue a workflow by its name; returns as soon as it is durable.

        Args:
            options: See EnqueueOptions. Without `app_version` the latest version of the application runs it.
            args: Its arguments.
            kwargs: Its keyword arguments.

        Raises DBOSMissingOptionError, which is a KeyError too, DBOSConflictingWorkflowError if the id belongs to
        another function, DBOSQueueDeduplicatedError if an unfinished workflow of the queue holds the deduplication id,
        and DBOSException for what the queue cannot do.
        """
        refuse_on_loop("DBOSClient.enqueue", waits=False)
        started = self._connection.perform(lambda engine: enqueue_named(engine, options, args, kwargs))
        return self._handle(started.workflow_id)

    async def enqueue_async(self, options: EnqueueOptions, *args: Any, **kwargs: Any) -> WorkflowHandleAsync[Any]:
        """Enqueue a workflow by its name; see `enqueue`."""
        started = await self._connection.perform_async(lambda engine: enqueue_named(engine, options, args, kwargs))
        return self._handle_async(started.workflow_id)

    def enqueue_bulk(self, calls: Iterable[Call]) -> list[WorkflowHandle[Any]]:
        """Enqueue many workflows by one commit: far faster than one by one.

        Args:
            calls: For each workflow `(options, arguments)` or `(options, arguments, kwargs)`.

        Raises as `enqueue` does: for bad input before anything is written, and for a workflow that is refused when all
        the others are enqueued.
        """
        refuse_on_loop("DBOSClient.enqueue_bulk", waits=False)
        started = self._connection.perform(lambda engine: enqueue_calls(engine, calls))
        return [self._handle(each.workflow_id) for each in started]

    async def enqueue_bulk_async(self, calls: Iterable[Call]) -> list[WorkflowHandleAsync[Any]]:
        """Enqueue many workflows by one commit; see `enqueue_bulk`."""
        started = await self._connection.perform_async(lambda engine: enqueue_calls(engine, calls))
        return [self._handle_async(each.workflow_id) for each in started]

    # ------------------------------------------------------------ in a transaction of the caller's

    def enqueue_in_transaction(
        self, conn_or_session: Any, options: EnqueueOptions, *args: Any, **kwargs: Any
    ) -> WorkflowHandle[Any]:
        """Enqueue a workflow in your own transaction: it starts if and only if that is committed.

        Args:
            conn_or_session: A SQLAlchemy Connection or Session on the system database. It is never begun, committed,
                rolled back or tried again here.
            options: See EnqueueOptions.
            args: Its arguments.
            kwargs: Its keyword arguments.

        The handle is there at once; after a rollback its workflow does not exist. Raises what `enqueue` raises.
        """
        started = perform_within(
            self._connection.open(), conn_or_session, lambda engine: enqueue_named(engine, options, args, kwargs)
        )
        return self._handle(started.workflow_id)

    def send_in_transaction(
        self,
        conn_or_session: Any,
        destination_id: str,
        message: Any,
        topic: str | None = None,
        idempotency_key: str | None = None,
        *,
        serialization_type: WorkflowSerializationFormat = WorkflowSerializationFormat.DEFAULT,
        send_to_forks: bool = False,
    ) -> None:
        """Send a message in your own transaction; see `send` and `enqueue_in_transaction`."""
        perform_within(
            self._connection.open(),
            conn_or_session,
            lambda engine: client_calls.send(
                engine,
                destination_id,
                message,
                topic,
                idempotency_key,
                serialization_type=serialization_type,
                send_to_forks=send_to_forks,
            ),
        )

    def send_bulk_in_transaction(
        self,
        conn_or_session: Any,
        messages: Sequence[SendMessage],
        *,
        serialization_type: WorkflowSerializationFormat = WorkflowSerializationFormat.DEFAULT,
        send_to_forks: bool = False,
    ) -> None:
        """Send several messages in your own transaction; see `send_bulk` and `enqueue_in_transaction`."""
        perform_within(
            self._connection.open(),
            conn_or_session,
            lambda engine: send_bulk(
                engine, messages, serialization_type=serialization_type, send_to_forks=send_to_forks
            ),
        )

    # ------------------------------------------------------------ queues

    register_queue = blocking_method(client_calls.register_queue)
    register_queue_async = awaitable_method(client_calls.register_queue)
    retrieve_queue = blocking_method(registration.retrieve_queue)
    retrieve_queue_async = awaitable_method(registration.retrieve_queue)
    list_queues = blocking_method(registration.list_queues)
    list_queues_async = awaitable_method(registration.list_queues)
    delete_queue = blocking_method(registration.delete_queue)
    delete_queue_async = awaitable_method(registration.delete_queue)

    # ------------------------------------------------------------ messages, events and streams

    send = blocking_method(client_calls.send)
    send_async = awaitable_method(client_calls.send)
    send_bulk = blocking_method(messages.send_bulk)
    send_bulk_async = awaitable_method(messages.send_bulk)
    get_event = blocking_method(events.get_event, waits=True)
    get_event_async = awaitable_method(events.get_event)
    get_all_events = blocking_method(events.get_all_events)
    get_all_events_async = awaitable_method(events.get_all_events)
    read_stream_offset = blocking_method(stream_reading.read_stream_offset, waits=True)
    read_stream_offset_async = awaitable_method(stream_reading.read_stream_offset)

    def read_stream(
        self,
        workflow_id: str,
        key: str,
        *,
        offset: int = 0,
        polling_interval_sec: float | None = None,
        timeout_seconds: float | None = None,
        shard_key: str | None = None,
    ) -> Generator[Any, None, None]:
        """Follow a stream; see `DBOS.read_stream`."""
        refuse_on_loop("DBOSClient.read_stream", waits=True, instead="async for value in client.read_stream_async(...)")
        refuse_shard_key(shard_key)
        engine = self._connection.open()
        reader = StreamReader(engine, workflow_id, key, offset, polling_interval_sec, timeout_seconds)

        def values() -> Generator[Any, None, None]:
            while (value := self._connection.perform(lambda _: reader.next())) is not END:
                yield value

        return values()

    def read_stream_async(
        self,
        workflow_id: str,
        key: str,
        *,
        offset: int = 0,
        polling_interval_sec: float | None = None,
        timeout_seconds: float | None = None,
        shard_key: str | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Follow a stream with `async for`; see `DBOS.read_stream`."""
        refuse_shard_key(shard_key)
        engine = self._connection.open()
        reader = StreamReader(engine, workflow_id, key, offset, polling_interval_sec, timeout_seconds)

        async def values() -> AsyncGenerator[Any, None]:
            while (value := await self._connection.perform_async(lambda _: reader.next())) is not END:
                yield value

        return values()

    # ------------------------------------------------------------ finding workflows, and waiting for them

    def retrieve_workflow(self, workflow_id: str, *, shard_key: str | None = None) -> WorkflowHandle[Any]:
        """The handle of a workflow. Raises DBOSNonExistentWorkflowError."""
        refuse_shard_key(shard_key)
        refuse_on_loop("DBOSClient.retrieve_workflow", waits=False)
        self._connection.perform(lambda engine: inspection.require_status(engine, workflow_id))
        return self._handle(workflow_id)

    async def retrieve_workflow_async(
        self, workflow_id: str, *, shard_key: str | None = None
    ) -> WorkflowHandleAsync[Any]:
        """The handle of a workflow. Raises DBOSNonExistentWorkflowError."""
        refuse_shard_key(shard_key)
        await self._connection.perform_async(lambda engine: inspection.require_status(engine, workflow_id))
        return self._handle_async(workflow_id)

    def get_result(
        self, workflow_id: str, *, polling_interval_sec: float = POLLING_SECONDS, shard_key: str | None = None
    ) -> Any:
        """Wait for a workflow and return its result, or raise its error; see `WorkflowHandle.get_result`."""
        refuse_shard_key(shard_key)
        return self._handle(workflow_id).get_result(polling_interval_sec=polling_interval_sec)

    async def get_result_async(
        self, workflow_id: str, *, polling_interval_sec: float = POLLING_SECONDS, shard_key: str | None = None
    ) -> Any:
        """Wait for a workflow and return its result, or raise its error; see `WorkflowHandle.get_result`."""
        refuse_shard_key(shard_key)
        return await self._handle_async(workflow_id).get_result(polling_interval_sec=polling_interval_sec)

    wait_first = blocking_method(handles.wait_first, waits=True)
    wait_first_async = awaitable_method(handles.wait_first)

    # ------------------------------------------------------------ looking at workflows and steering them

    get_workflow_status = blocking_method(inspection.get_workflow_status)
    get_workflow_status_async = awaitable_method(inspection.get_workflow_status)
    list_workflows = blocking_method(listing.list_workflows)
    list_workflows_async = awaitable_method(listing.list_workflows)
    list_queued_workflows = blocking_method(listing.list_queued_workflows)
    list_queued_workflows_async = awaitable_method(listing.list_queued_workflows)
    list_workflow_steps = blocking_method(inspection.list_workflow_steps)
    list_workflow_steps_async = awaitable_method(inspection.list_workflow_steps)
    explain_workflow = blocking_method(explaining.explain_workflow)
    explain_workflow_async = awaitable_method(explaining.explain_workflow)
    cancel_workflow = blocking_method(management.cancel_workflow)
    cancel_workflow_async = awaitable_method(management.cancel_workflow)
    cancel_workflows = blocking_method(management.cancel_workflows)
    cancel_workflows_async = awaitable_method(management.cancel_workflows)
    delete_workflow = blocking_method(management.delete_workflow)
    delete_workflow_async = awaitable_method(management.delete_workflow)
    delete_workflows = blocking_method(management.delete_workflows)
    delete_workflows_async = awaitable_method(management.delete_workflows)
    export_workflow = blocking_method(transfer.export_workflow)
    export_workflow_async = awaitable_method(transfer.export_workflow)
    import_workflow = blocking_method(transfer.import_workflow)
    import_workflow_async = awaitable_method(transfer.import_workflow)
    garbage_collect = blocking_method(retention.garbage_collect)
    garbage_collect_async = awaitable_method(retention.garbage_collect)
    global_timeout = blocking_method(retention.global_timeout)
    global_timeout_async = awaitable_method(retention.global_timeout)
    list_application_versions = blocking_method(versions.list_application_versions)
    list_application_versions_async = awaitable_method(versions.list_application_versions)
    get_latest_application_version = blocking_method(versions.get_latest_application_version)
    get_latest_application_version_async = awaitable_method(versions.get_latest_application_version)
    set_latest_application_version = blocking_method(versions.set_latest_application_version)
    set_latest_application_version_async = awaitable_method(versions.set_latest_application_version)
    rename_application = blocking_method(client_calls.rename_application)
    rename_application_async = awaitable_method(client_calls.rename_application)
    set_workflow_delay = blocking_method(delays.set_workflow_delay)
    set_workflow_delay_async = awaitable_method(delays.set_workflow_delay)
    update_workflow_attributes = blocking_method(management.update_workflow_attributes)
    update_workflow_attributes_async = awaitable_method(management.update_workflow_attributes)
    resume_workflow = blocking_method(management.resume_workflow, WorkflowHandle[Any].to)
    resume_workflow_async = awaitable_method(management.resume_workflow, WorkflowHandleAsync[Any].to)
    resume_workflows = blocking_method(management.resume_workflows, WorkflowHandle[Any].to_all)
    resume_workflows_async = awaitable_method(management.resume_workflows, WorkflowHandleAsync[Any].to_all)
    fork_workflow = blocking_method(forking.fork_workflow, WorkflowHandle[Any].to)
    fork_workflow_async = awaitable_method(forking.fork_workflow, WorkflowHandleAsync[Any].to)
    fork_from_failure = blocking_method(forking.fork_from_failure, WorkflowHandle[Any].to_all)
    fork_from_failure_async = awaitable_method(forking.fork_from_failure, WorkflowHandleAsync[Any].to_all)
    rewind_workflow = blocking_method(rewinding.rewind_workflow, WorkflowHandle[Any].to)
    rewind_workflow_async = awaitable_method(rewinding.rewind_workflow, WorkflowHandleAsync[Any].to)

    # ------------------------------------------------------------ handles

    def _handle(self, workflow_id: str) -> WorkflowHandle[Any]:
        return WorkflowHandle(validate_workflow_id(workflow_id), performer=self._connection)

    def _handle_async(self, workflow_id: str) -> WorkflowHandleAsync[Any]:
        return WorkflowHandleAsync(validate_workflow_id(workflow_id), performer=self._connection)
