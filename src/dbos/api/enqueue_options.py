"""`EnqueueOptions`: everything about a workflow to be enqueued in one dictionary, its function named and not passed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Required, TypedDict

from dbos.api.scopes import make_identity, refuse_shard_key, request_id, require_timeout, require_trace
from dbos.error import DBOSException, DBOSMissingOptionError
from dbos.model.placement import NO_PLACEMENT, DuplicationPolicy, Placement
from dbos.model.serialization import WorkflowSerializationFormat, require_format
from dbos.runtime.arguments import encode_attributes, require_storable
from dbos.runtime.queues import require_queue_name
from dbos.runtime.registry import Names
from dbos.runtime.requests import NOTHING, Requests, ReusePolicy, current_requests


class EnqueueOptions(TypedDict, total=False):
    """What to enqueue, where and how. Only the names of the workflow and of the queue are required.

    A workflow without `app_version` is run by the latest version of the application. `max_recovery_attempts` is
    accepted for older programs and has no effect: it belongs to the function.
    """

    workflow_name: Required[str]
    queue_name: Required[str]
    workflow_id: str
    workflow_id_reuse_policy: ReusePolicy
    class_name: str
    instance_name: str
    application_name: str | None
    app_version: str
    workflow_timeout: float
    delay_seconds: float
    deduplication_id: str
    duplication_policy: DuplicationPolicy
    priority: int
    queue_partition_key: str
    authenticated_user: str
    authenticated_roles: list[str]
    serialization_type: WorkflowSerializationFormat
    attributes: dict[str, Any]
    max_recovery_attempts: int
    otel_context: Any  # an OpenTelemetry Context
    shard_key: str


KNOWN = frozenset(EnqueueOptions.__annotations__)
REQUIRED = "workflow_name", "queue_name"
NAMED = frozenset(REQUIRED)
NAMES = "workflow_name", "class_name", "instance_name", "application_name"
PLACEMENT = "deduplication_id", "duplication_policy", "priority", "app_version", "queue_partition_key", "delay_seconds"


def read_options(options: EnqueueOptions) -> tuple[str, Names, Requests]:
    """Queue, function and requests of some options.

    The place in the queue is as they say, and nothing else; what they leave open besides is as the context asks.

    Raises DBOSMissingOptionError, a KeyError too, and DBOSException for unknown options and impossible values.
    """
    _require_known(options, REQUIRED)
    return require_queue_name(options["queue_name"]), _names(options), _requests(options)


def read_queueless(options: EnqueueOptions) -> tuple[Names, Requests]:
    """The same where the queue is said elsewhere."""
    _require_known(options, REQUIRED[:1])
    return _names(options), _requests(options)


def _require_known(options: EnqueueOptions, required: Sequence[str]) -> None:
    if not isinstance(options, dict):
        raise DBOSException(f"Enqueue options must be a dict, not {options!r}")
    for name in required:
        if options.get(name) is None:
            raise DBOSMissingOptionError(name)
    if not options.keys() <= KNOWN:
        unknown = sorted(map(str, options.keys() - KNOWN))
        raise DBOSException(f"Unknown enqueue options {unknown}; there are {sorted(KNOWN)}")
    refuse_shard_key(options.get("shard_key"))


def _names(options: EnqueueOptions) -> Names:
    names = [options.get(key) for key in NAMES]
    for key, name in zip(NAMES, names, strict=True):
        if name is not None and (not isinstance(name, str) or not name):
            raise DBOSException(f"The option {key!r} must be a non-empty string, not {name!r}")
    return _checked_names(*names, require_format(options.get("serialization_type")))


@lru_cache(maxsize=256)
def _checked_names(
    workflow: str,
    class_name: str | None,
    instance_name: str | None,
    application_name: str | None,
    serialization_type: WorkflowSerializationFormat,
) -> Names:
    """Looked at once, however often a function is enqueued."""
    require_storable([name for name in (workflow, class_name, instance_name, application_name) if name is not None])
    return Names(workflow, class_name, instance_name, application_name, serialization_type)


def _requests(options: EnqueueOptions) -> Requests:
    asked = current_requests()
    if asked is NOTHING and options.keys() <= NAMED:
        return NOTHING  # as usual
    user, roles = options.get("authenticated_user"), options.get("authenticated_roles")
    workflow_id, policy = options.get("workflow_id"), options.get("workflow_id_reuse_policy")
    attributes = options.get("attributes")
    placement = {key: options[key] for key in PLACEMENT if key in options}  # type: ignore[literal-required]
    timeout, trace = asked.timeout_seconds, options.get("otel_context")
    if "workflow_timeout" in options:
        timeout = require_timeout(options["workflow_timeout"])
    return Requests(
        identity=asked.identity if workflow_id is None else request_id(workflow_id, policy),
        timeout_seconds=timeout,
        attributes=asked.attributes if attributes is None else encode_attributes(attributes),
        trace=asked.trace if trace is None else require_trace(trace),
        placement=Placement(**placement) if placement else NO_PLACEMENT,
        on_behalf_of=None if user is None and roles is None else make_identity(user, roles),
    )
