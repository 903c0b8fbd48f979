"""What is launched in this process: the registry that decorators write to, and the engine that calls run on."""

from __future__ import annotations

import os

from dbos.error import DBOSException
from dbos.model.ids import RANDOM_BITS, uuid7
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import current_attempt
from dbos.runtime.executor import Executor
from dbos.runtime.registry import Registry

_registry = Registry()
_engine: Executor | None = None


def current_registry() -> Registry:
    """Where decorators register now."""
    return _registry


def forget_registry() -> None:
    """Start over: functions decorated so far do not run any more."""
    global _registry
    _registry = Registry()


def set_engine(engine: Executor | None) -> None:
    """Launched (or, with None, destroyed)."""
    global _engine
    _engine = engine


def launched_engine() -> Executor | None:
    """The running engine, if DBOS is launched."""
    return _engine


def current_engine() -> Executor:
    """The engine to run a call on: that of the workflow we are in, else the launched one.

    Raises DBOSException before launch and after destroy.
    """
    attempt = current_attempt()
    engine = _engine if attempt is None else attempt.engine
    if engine is None:
        raise DBOSException(
            "System database accessed before DBOS was launched: construct DBOS(config=...) and call DBOS.launch() first"
        )
    return engine


def engine_of(registry: Registry) -> Executor:
    """The engine to run a decorated function on. Raises DBOSException if its registry is not the launched one."""
    engine = current_engine()
    if engine.registry is not registry:
        raise DBOSException(
            "System database accessed before DBOS was launched: this function was decorated before "
            "DBOS.destroy(destroy_registry=True); decorate it again"
        )
    return engine


def new_instance_id() -> str:
    """Names one launch of one process; the configured executor id may be shared, this never is."""
    return uuid7(wall_ms(), int.from_bytes(os.urandom(10)) >> 80 - RANDOM_BITS)


def _forget_in_forked_child() -> None:
    """A forked child has none of our threads, and must not touch the connections it shares with its parent."""
    global _engine
    _engine = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_forked_child)
