"""Context managers that say how the workflows started inside their block shall be: id, timeout, attributes, identity.

They are plain `with` blocks, usable in async code too; they nest, and restore what was before. Nothing of it is passed
on to what the started workflows start themselves, except the identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from math import isfinite
from typing import Any, Self

from dbos.error import DBOSException
from dbos.model.ids import validate_workflow_id
from dbos.runtime.context import Identity, current_identity, enter_identity
from dbos.runtime.operations.management import encode_attributes, require_storable
from dbos.runtime.requests import RequestedId, Requests, ReusePolicy, current_requests, enter_requests


class _RequestScope(AbstractContextManager["_RequestScope"]):
    """Changes the requests of its block."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes
        self._before: Requests | None = None

    def __enter__(self) -> Self:
        self._before = current_requests()
        enter_requests(replace(self._before, **self._changes))
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
        validate_workflow_id(wfid)
        if workflow_id_reuse_policy not in (None, "return-existing", "reject"):
            raise DBOSException(
                f"Unknown workflow_id_reuse_policy {workflow_id_reuse_policy!r}: use 'return-existing' or 'reject'"
            )
        self._id = wfid, workflow_id_reuse_policy
        super().__init__()

    def __enter__(self) -> Self:
        self._changes = {"identity": RequestedId(*self._id)}
        return super().__enter__()


class SetWorkflowTimeout(_RequestScope):
    """Bound the workflows of the block in time.

    Args:
        workflow_timeout_sec: Seconds from start (or from dequeue, for enqueued ones); a workflow that takes longer is
            cancelled. None frees children from the deadline they would inherit.

    Raises an Exception for a negative or infinite timeout.
    """

    def __init__(self, workflow_timeout_sec: float | None) -> None:
        if workflow_timeout_sec is not None:
            number = isinstance(workflow_timeout_sec, (int, float)) and not isinstance(workflow_timeout_sec, bool)
            if not number or not isfinite(workflow_timeout_sec) or workflow_timeout_sec < 0:
                raise DBOSException(f"Invalid workflow timeout {workflow_timeout_sec}. Timeouts must be positive.")
            if workflow_timeout_sec > MAX_TIMEOUT_SECONDS:
                raise DBOSException(f"Invalid workflow timeout {workflow_timeout_sec}. The longest is 100 years.")
        super().__init__(timeout_seconds=workflow_timeout_sec)


MAX_TIMEOUT_SECONDS = 100 * 366 * 86_400


class SetWorkflowAttributes(_RequestScope):
    """Attach attributes, a dict of JSON values, to every workflow started in the block; children do not inherit them.

    Raises DBOSException for anything else.
    """

    def __init__(self, attributes: dict[str, Any] | None) -> None:
        super().__init__(attributes=None if attributes is None else encode_attributes(attributes))


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
    if roles is not None and (isinstance(roles, str) or not all(isinstance(role, str) for role in roles)):
        raise DBOSException(f"The authenticated roles must be a list of strings or None, not {roles!r}")
    require_storable([user or "", *(roles or ())])
    return Identity(user, None if roles is None else tuple(roles))
