"""Context managers that say how the workflows started inside their block shall be: id, timeout, attributes, identity.

They are plain `with` blocks, usable in async code too; they nest, and restore what was before. Nothing of it is passed
on to what the started workflows start themselves, except the identity.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self, cast

from dbos.error import DBOSException
from dbos.fields import replace
from dbos.model.ids import validate_workflow_id
from dbos.model.placement import DuplicationPolicy, Placement
from dbos.model.seconds import is_seconds
from dbos.runtime.arguments import encode_attributes, require_storable
from dbos.runtime.identity import Identity, current_identity, enter_identity
from dbos.runtime.requests import RequestedId, Requests, ReusePolicy, current_requests, enter_requests

if TYPE_CHECKING:
    from opentelemetry.context import Context


class _RequestScope(AbstractContextManager["_RequestScope"]):
    """Changes the requests of its block."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes
        self._before: Requests | None = None

    def __enter__(self) -> Self:
        self._before = current_requests()
        enter_requests(self._before._replace(**self._changes))
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            enter_requests(self._before)


class SetWorkflowID(_RequestScope):
    """Give an id to the first workflow that is started, called or enqueued in the block.

    Args:
        wfid: The id; starting it again attaches to the workflow that exists.
        workflow_id_reuse_policy: "return-existing" (default), or "reject" to raise DBOSWorkflowIDInUseError instead.

    Raises DBOSException for an id that is empty, over 512 bytes, or carries NUL or lone surrogates.
    """

    def __init__(self, wfid: str, *, workflow_id_reuse_policy: ReusePolicy | None = None) -> None:
        self._id = request_id(wfid, workflow_id_reuse_policy)
        super().__init__()

    def __enter__(self) -> Self:
        self._changes = {"identity": replace(self._id)}  # each block has an id to give away
        return super().__enter__()


def request_id(workflow_id: str, policy: ReusePolicy | None) -> RequestedId:
    """An id for one workflow. Raises DBOSException for one that cannot be stored, and for an unknown policy."""
    validate_workflow_id(workflow_id)
    if policy not in (None, "return-existing", "reject"):
        raise DBOSException(f"Unknown workflow_id_reuse_policy {policy!r}: use 'return-existing' or 'reject'")
    return RequestedId(workflow_id, policy)


class SetWorkflowTimeout(_RequestScope):
    """Bound the workflows of the block in time.

    Args:
        workflow_timeout_sec: Seconds from start (or from dequeue, for enqueued ones); a workflow that takes longer is
            cancelled. None frees children from the deadline they would inherit.

    Raises an Exception for a negative or infinite timeout.
    """

    def __init__(self, workflow_timeout_sec: float | None) -> None:
        super().__init__(timeout_seconds=require_timeout(workflow_timeout_sec))


def require_timeout(seconds: float | None) -> float | None:
    """A timeout as it can be kept. Raises DBOSException."""
    if seconds is not None and not is_seconds(seconds):
        raise DBOSException(
            f"Invalid workflow timeout {seconds!r}. Timeouts must be positive. The longest is 100 years."
        )
    return seconds


class SetWorkflowAttributes(_RequestScope):
    """Attach attributes, a dict of JSON values, to every workflow started in the block; children do not inherit them.

    Raises DBOSException for anything else.
    """

    def __init__(self, attributes: dict[str, Any] | None) -> None:
        super().__init__(attributes=None if attributes is None else encode_attributes(attributes))


class PropagateOtelContext(_RequestScope):
    """Let the workflows started in the block, wherever and whenever they run, belong to an OpenTelemetry trace.

    Args:
        context: The OpenTelemetry context of the span that they shall be children of; by default the span that is
            active where they are started. Without an active span they begin traces of their own.

    What is kept with the workflow is `traceparent` and `tracestate`. What they start themselves is not affected.
    Raises DBOSException for what is no context.
    """

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(trace="active" if context is None else require_trace(context))


def require_trace(context: Any) -> Context:
    """An OpenTelemetry context. Raises DBOSException for anything else."""
    api = sys.modules.get("opentelemetry.context")
    if api is None or not isinstance(context, api.Context):
        raise DBOSException(f"A trace to go on with is an OpenTelemetry Context, not {context!r}")
    return cast("Context", context)


class SetEnqueueOptions(AbstractContextManager["SetEnqueueOptions"]):
    """Say how the workflows enqueued in the block take their place in the queue; inner blocks override single options.

    Args:
        deduplication_id: Only one unfinished workflow of a queue may have it; the next raises
            DBOSQueueDeduplicatedError. Not on partitioned queues.
        priority: From 1, the first, to 2147483647; workflows without one come before all.
        app_version: The application version that shall run them; by default the current one.
        queue_partition_key: The partition of a partitioned queue.
        delay_seconds: They wait at least so long before they may run.
        duplication_policy: What becomes of a second one under a deduplication id: "reject" (the default), or
            "return-existing" to get the handle of the first.

    Direct calls ignore all of it; `DBOS.start_workflow` takes the version, and refuses what only a queue can do.
    Raises DBOSException for values that no queue can take.
    """

    def __init__(
        self,
        *,
        deduplication_id: str | None = None,
        priority: int | None = None,
        app_version: str | None = None,
        queue_partition_key: str | None = None,
        delay_seconds: float | None = None,
        duplication_policy: DuplicationPolicy | None = None,
    ) -> None:
        given = {
            "deduplication_id": deduplication_id,
            "duplication_policy": duplication_policy,
            "priority": priority,
            "app_version": app_version,
            "queue_partition_key": queue_partition_key,
            "delay_seconds": delay_seconds,
        }
        self._changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        Placement(**self._changes)  # what is wrong is said here
        self._before: Requests | None = None

    def __enter__(self) -> Self:
        self._before = before = current_requests()
        enter_requests(before._replace(placement=replace(before.placement, **self._changes)))
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            enter_requests(self._before)


class SetShardKey:
    """Sharded system databases are not supported; the name exists so that the error is clear.

    Raises DBOSException for any key.
    """

    def __init__(self, shard_key: str) -> None:
        refuse_shard_key(shard_key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def refuse_shard_key(shard_key: Any) -> None:
    """Raises DBOSException if a shard key is given: the system database is not sharded."""
    if shard_key is not None:
        raise DBOSException(f"The system database is not sharded: leave out the shard key {shard_key!r}")


class DBOSContextEnsure(AbstractContextManager[Identity]):
    """A block in which an identity can be set; what is set inside ends with the block."""

    def __init__(self) -> None:
        self._before: Identity | None = None

    def __enter__(self) -> Identity:
        self._before = current_identity()
        return self._before

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            enter_identity(self._before)


class DBOSContextSetAuth(DBOSContextEnsure):
    """Run the block on behalf of a user with roles; workflows started in it record both and pass them to children."""

    def __init__(self, user: str | None, roles: Sequence[str] | None) -> None:
        super().__init__()
        self._identity = make_identity(user, roles)

    def __enter__(self) -> Identity:
        super().__enter__()
        enter_identity(self._identity)
        return self._identity


def make_identity(user: str | None, roles: Sequence[str] | None) -> Identity:
    """Check an identity. Raises DBOSException."""
    if user is not None and not isinstance(user, str):
        raise DBOSException(f"The authenticated user must be a string or None, not {user!r}")
    listed = isinstance(roles, Collection) and not isinstance(roles, (str, bytes))
    if roles is not None and not (listed and all(isinstance(role, str) for role in roles)):
        raise DBOSException(f"The authenticated roles must be a list of strings or None, not {roles!r}")
    require_storable([user or "", *(roles or ())])
    return Identity(user, None if roles is None else tuple(roles))
