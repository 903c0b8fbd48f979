"""Who and where am I: the workflow, step, user and telemetry of the code that asks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from dbos.api import launched
from dbos.api.properties import class_property
from dbos.api.scopes import make_identity
from dbos.error import DBOSNoTransactionError
from dbos.runtime.context import (
    StepStatus,
    current_attempt,
    current_step,
    current_transaction,
)
from dbos.runtime.identity import Identity, current_identity, enter_identity

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class ContextVariables:
    """What is true where this code runs; readable on the class and on the instance."""

    logger = logging.getLogger("dbos")
    debug_mode = False

    @classmethod
    def set_authentication(cls, authenticated_user: str | None, authenticated_roles: Sequence[str] | None) -> None:
        """From here on this context runs on behalf of that user."""
        enter_identity(make_identity(authenticated_user, authenticated_roles))

    @class_property
    def workflow_id() -> str | None:
        """The id of the workflow this code runs in; None outside one."""
        attempt = current_attempt()
        return None if attempt is None else attempt.workflow_id

    @class_property
    def step_id() -> int | None:
        """The number of the step this code runs in; None outside one."""
        step = current_step()
        return None if step is None else step.step_id

    @class_property
    def step_status() -> StepStatus | None:
        """The step this code runs in and its attempt; None outside one."""
        return current_step()

    @class_property
    def sql_session() -> Session:
        """The SQLAlchemy session of the `@DBOS.transaction` this code runs in; DBOSNoTransactionError outside one."""
        transaction = current_transaction()
        if transaction is None or transaction.owner is not None:
            raise DBOSNoTransactionError("DBOS.sql_session")
        return cast("Session", transaction.session)

    @class_property
    def authenticated_user() -> str | None:
        """The user on whose behalf this code runs."""
        return current_identity().user

    @class_property
    def authenticated_roles() -> list[str] | None:
        """The roles of that user."""
        identity: Identity = current_identity()
        return None if identity.roles is None else list(identity.roles)

    @class_property
    def assumed_role() -> str | None:
        """The role that let the user in."""
        return current_identity().assumed_role

    @class_property
    def application_version() -> str:
        """The version of this application; "" before launch."""
        engine = launched.launched_engine()
        return "" if engine is None else engine.owner.application_version

    @class_property
    def span() -> Any:
        """The current OpenTelemetry span; None if there is none, or OpenTelemetry is not in use."""
        trace = sys.modules.get("opentelemetry.trace")
        span = None if trace is None else trace.get_current_span()
        return span if span is not None and span.get_span_context().is_valid else None

    @class_property
    def tracer() -> Any:
        """A tracer of the application's OpenTelemetry provider; None if OpenTelemetry is not in use."""
        trace = sys.modules.get("opentelemetry.trace")
        return None if trace is None else trace.get_tracer("dbos")

    @class_property
    def shard_key() -> str | None:
        """Always None: the system database is not sharded."""
        return None
