"""The queues that are defined in the database: registered, read, changed and deleted by name.

A definition changes while no claim that counts goes on, so that what a limit says holds from the commit that says it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from dbos.error import DBOSException
from dbos.fields import NamedTuple, replace
from dbos.model.queue import QueueSpec, RateLimit
from dbos.store.database import Row
from dbos.store.pool import Pool, Run
from dbos.store.versions import is_latest

OnConflict = Literal["update_if_latest_version", "always_update", "never_update"]
ON_CONFLICT: tuple[str, ...] = get_args(OnConflict)


class Queues:
    """The table `queues`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def register(self, spec: QueueSpec, on_conflict: OnConflict, version: str) -> QueueSpec:
        """Define a queue; the definition that holds from now on.

        If there is one of that name, `on_conflict` says whether this one replaces it: always, never, or if `version` is
        the latest of the application. Raises `DBOSException` if another application owns it.
        """

        def work(run: Run) -> QueueSpec:
            run("lock_claims", queue_name=spec.name)
            if run("insert_queue", **_columns(spec)):
                return spec
            there = run("lock_queue", queue_name=spec.name)
            if not there:
                raise DBOSException(f"Queue {spec.name!r} was deleted while it was being registered; try again")
            application_name = there[0][-1]
            if application_name not in (None, spec.application_name):
                raise DBOSException(
                    f"Queue {spec.name!r} belongs to application {application_name!r}: names of queues are "
                    "unique in a system database, choose another one"
                )
            if on_conflict == "never_update":
                return queue_spec(there[0])
            if on_conflict == "update_if_latest_version" and not is_latest(run, version, spec.application_name):
                return queue_spec(there[0])
            wanted = replace(spec, application_name=application_name)
            run("update_queue", **_columns(wanted))
            return wanted

        return self._pool.transact(work)

    def load(self, name: str) -> QueueSpec | None:
        """One definition, or None. Raises `DBOSException` for one that is impossible."""
        rows = self._pool.read("load_queue", queue_name=name)
        return queue_spec(rows[0]) if rows else None

    def list(self, application_names: Sequence[str | None] | None = None) -> list[QueueSpec]:
        """All definitions in order of creation, or those that these applications own; None among them: nobody.

        Those that are impossible are left out.
        """
        names = application_names or ()
        rows = self._pool.read(
            "list_queues",
            all=int(application_names is None),
            application_names=json.dumps([name for name in names if name is not None]),
            unowned=int(None in names),
        )
        return [definition for row in rows if isinstance(definition := understood(row), QueueSpec)]

    def update(self, name: str, **changes: Any) -> QueueSpec | None:
        """Change fields of a definition, named as in `QueueSpec`; the new one, or None if there is none of that name.

        Raises ValueError, and changes nothing, for one that cannot work; DBOSException for one that could not before.
        """

        def work(run: Run) -> QueueSpec | None:
            run("lock_claims", queue_name=name)
            rows = run("lock_queue", queue_name=name)
            if not rows:
                return None
            changed = replace(queue_spec(rows[0]), **changes)
            run("update_queue", **_columns(changed))
            return changed

        return self._pool.transact(work)

    def delete(self, name: str) -> bool:
        """Remove a definition; what waits on the queue stays. Was there one?"""
        return bool(self._pool.write("delete_queue", queue_name=name))


def _columns(spec: QueueSpec) -> Mapping[str, object]:
    rate, partition_rate = spec.limiter, spec.partition_limiter
    return {
        "queue_name": spec.name,
        "concurrency": spec.concurrency,
        "worker_concurrency": spec.worker_concurrency,
        "rate_limit_max": rate and rate.limit,
        "rate_limit_period_sec": rate and float(rate.period_seconds),
        "partition_concurrency": spec.partition_concurrency,
        "partition_worker_concurrency": spec.partition_worker_concurrency,
        "partition_rate_limit_max": partition_rate and partition_rate.limit,
        "partition_rate_limit_period_sec": partition_rate and float(partition_rate.period_seconds),
        "priority_enabled": spec.priority_enabled,
        "partition_queue": spec.partition_queue,
        "polling_interval_sec": float(spec.polling_interval_seconds),
        "application_name": spec.application_name,
    }


class Impossible(NamedTuple):
    """A definition that somebody wrote by hand and no queue can have."""

    name: str
    problem: str


def queue_spec(row: Row) -> QueueSpec:
    """From `{queue_columns}`. Raises `DBOSException` for what no queue can be."""
    definition = understood(row)
    if isinstance(definition, Impossible):
        raise DBOSException(
            f"Queue {definition.name!r} is defined in the database as no queue can be: {definition.problem}"
        )
    return definition


def understood(row: Row) -> QueueSpec | Impossible:
    """The same for whoever goes on with others."""
    try:
        return _spec(row)
    except ValueError as error:
        return Impossible(row[0], str(error))


def _spec(row: Row) -> QueueSpec:
    name, concurrency, worker, limit, period, per_concurrency, per_worker, per_limit, per_period, *rest = row
    priority_enabled, partition_queue, polling_seconds, application_name = rest
    return QueueSpec(
        name,
        concurrency,
        worker,
        _rate(limit, period),
        per_concurrency,
        per_worker,
        _rate(per_limit, per_period),
        bool(priority_enabled),
        bool(partition_queue),
        polling_seconds,
        application_name,
    )


def _rate(limit: int | None, period_seconds: float | None) -> RateLimit | None:
    return None if limit is None or period_seconds is None else RateLimit(limit, period_seconds)
