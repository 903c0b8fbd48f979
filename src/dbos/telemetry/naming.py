"""What the attributes of spans and logs are called: as they always were, or by the conventions of OpenTelemetry."""

from __future__ import annotations

from typing import Literal

from dbos.fields import NamedTuple

Format = Literal["legacy", "semconv"]


class Names(NamedTuple):
    """One name for each thing that is told."""

    kind: str  # "workflow", "step" or "transaction"
    workflow_id: str
    queue_name: str
    user: str
    roles: str  # a JSON list
    assumed_role: str
    application_version: str
    application_id: str
    executor_id: str


LEGACY = Names(
    "operationType",
    "operationUUID",
    "queueName",
    "authenticatedUser",
    "authenticatedUserRoles",
    "authenticatedUserAssumedRole",
    "applicationVersion",
    "applicationID",
    "executorID",
)
SEMCONV = Names(
    "dbos.operation.type",
    "dbos.operation.workflow_id",
    "dbos.queue.name",
    "dbos.user.name",
    "dbos.user.roles",
    "dbos.user.assumed_role",
    "dbos.application.version",
    "dbos.application.id",
    "dbos.executor.id",
)

NAMES: dict[Format, Names] = {"legacy": LEGACY, "semconv": SEMCONV}
