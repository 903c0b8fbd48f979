"""Durable execution for Python that needs nothing but a database.

Decorate functions as workflows and steps; every step is checkpointed; after a crash a workflow carries on from the
last completed step. See `DBOS`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from dbos import error
from dbos.api.application import DBOS
from dbos.api.configuration import DBOSConfig
from dbos.api.decorators import DBOSConfiguredInstance
from dbos.api.handles import WorkflowHandle, WorkflowHandleAsync
from dbos.api.listing import GetWorkflowsInput
from dbos.api.migration import run_dbos_database_migrations
from dbos.api.queue import Queue
from dbos.api.queue_settings import QueueRateLimit
from dbos.api.scheduling import ClientScheduleInput, ScheduleInput
from dbos.api.scopes import (
    DBOSContextEnsure,
    DBOSContextSetAuth,
    PropagateOtelContext,
    SetEnqueueOptions,
    SetShardKey,
    SetWorkflowAttributes,
    SetWorkflowID,
    SetWorkflowTimeout,
)
from dbos.api.validation import make_pydantic_args_validator, pydantic_args_validator
from dbos.error import PortableWorkflowError
from dbos.model.kafka import KafkaMessage
from dbos.model.placement import DuplicationPolicy
from dbos.model.schedule import WorkflowSchedule
from dbos.model.serialization import DBOSPortableJSONSerializer, Serializer, WorkflowSerializationFormat
from dbos.model.status import StepInfo, WorkflowStatus, WorkflowStatusString
from dbos.model.version import VersionInfo
from dbos.runtime.operations.messages import SendMessage
from dbos.runtime.operations.steps import StepOptions, StepReservation
from dbos.runtime.requests import ReusePolicy as WorkflowIDReusePolicy

if TYPE_CHECKING:
    from dbos.api.client import DBOSClient
    from dbos.api.datasources import AsyncSQLAlchemyDatasource, DatasourceOptions, SQLAlchemyDatasource
    from dbos.api.debouncer import Debouncer, DebouncerClient
    from dbos.api.enqueue_options import EnqueueOptions

__all__ = [
    "DBOS",
    "AsyncSQLAlchemyDatasource",
    "ClientScheduleInput",
    "DBOSClient",
    "DBOSConfig",
    "DBOSConfiguredInstance",
    "DBOSContextEnsure",
    "DBOSContextSetAuth",
    "DBOSPortableJSONSerializer",
    "DatasourceOptions",
    "Debouncer",
    "DebouncerClient",
    "DuplicationPolicy",
    "EnqueueOptions",
    "GetWorkflowsInput",
    "KafkaMessage",
    "PortableWorkflowError",
    "PropagateOtelContext",
    "Queue",
    "QueueRateLimit",
    "SQLAlchemyDatasource",
    "ScheduleInput",
    "SendMessage",
    "Serializer",
    "SetEnqueueOptions",
    "SetShardKey",
    "SetWorkflowAttributes",
    "SetWorkflowID",
    "SetWorkflowTimeout",
    "StepInfo",
    "StepOptions",
    "StepReservation",
    "VersionInfo",
    "WorkflowHandle",
    "WorkflowHandleAsync",
    "WorkflowIDReusePolicy",
    "WorkflowSchedule",
    "WorkflowSerializationFormat",
    "WorkflowStatus",
    "WorkflowStatusString",
    "error",
    "make_pydantic_args_validator",
    "pydantic_args_validator",
    "run_dbos_database_migrations",
]

_LATE = {
    "AsyncSQLAlchemyDatasource": "dbos.api.datasources",
    "DBOSClient": "dbos.api.client",
    "DatasourceOptions": "dbos.api.datasources",
    "Debouncer": "dbos.api.debouncer",
    "DebouncerClient": "dbos.api.debouncer",
    "EnqueueOptions": "dbos.api.enqueue_options",
    "SQLAlchemyDatasource": "dbos.api.datasources",
}
"""What few programs use is imported when it is first looked for; where it is."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(_LATE[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
