"""Definitions of queues in the database: register, read, change, delete. None of it is a step of a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dbos.error import DBOSException
from dbos.model.queue import QueueSpec
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation
from dbos.store.queues import ON_CONFLICT, OnConflict


def register_queue(engine: Engine, spec: QueueSpec, on_conflict: OnConflict) -> Operation[QueueSpec]:
    """Define a queue, or find it defined; the definition that holds now.

    Raises ValueError for an unknown `on_conflict`, and DBOSException if the queue belongs to another application.
    """
    if on_conflict not in ON_CONFLICT:
        raise ValueError(f"on_conflict must be one of {ON_CONFLICT}, not {on_conflict!r}")
    version = engine.application_version or ""
    holds: QueueSpec = yield Ask(engine.store.queues.register, spec, on_conflict, version)
    _changed(engine, spec.name, holds)
    return holds


def load_queue(engine: Engine, name: str) -> Operation[QueueSpec | None]:
    """The definition of a queue, or None."""
    spec: QueueSpec | None = yield Ask(engine.store.queues.load, name)
    _remember(engine, name, spec)
    return spec


def require_queue(engine: Engine, name: str) -> Operation[QueueSpec]:
    """The definition of a queue. Raises DBOSException if there is none any more."""
    return _existing(name, (yield from load_queue(engine, name)))


def list_queues(engine: Engine, application_names: Sequence[str | None] | None) -> Operation[list[QueueSpec]]:
    """The definitions that these applications own, None among them: nobody; in order of creation."""
    specs: list[QueueSpec] = yield Ask(engine.store.queues.list, application_names)
    for spec in specs:
        _remember(engine, spec.name, spec)
    return specs


def change_queue(engine: Engine, name: str, field: str, value: Any) -> Operation[QueueSpec]:
    """Change one field of a definition. Raises ValueError for what cannot work, and DBOSException if it is gone."""
    spec: QueueSpec | None = yield Ask(_update, engine, name, field, value)
    _changed(engine, name, spec)
    return _existing(name, spec)


def _update(engine: Engine, name: str, field: str, value: Any) -> QueueSpec | None:
    return engine.store.queues.update(name, **{field: value})


def delete_queue(engine: Engine, name: str) -> Operation[None]:
    """Remove the definition of a queue, if there is one. What waits there stays, until one of that name comes again."""
    yield Ask(engine.store.queues.delete, name)
    _changed(engine, name, None)


def _existing(name: str, spec: QueueSpec | None) -> QueueSpec:
    if spec is None:
        raise DBOSException(f"Queue {name} not found in the database")
    return spec


def _changed(engine: Engine, name: str, spec: QueueSpec | None) -> None:
    """Whoever dispatches, here and elsewhere, goes by the new definition at once."""
    _remember(engine, name, spec)
    engine.announce_enqueued(name)


def _remember(engine: Engine, name: str, spec: QueueSpec | None) -> None:
    engine.queue_changes += 1
    if spec is None:
        engine.known_queues.pop(name, None)
    else:
        engine.known_queues[name] = spec
