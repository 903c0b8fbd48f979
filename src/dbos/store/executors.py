"""The executors: one row per launch, with a lease on the clock of the database.

Whoever lets its lease run out, or is declared dead because its process is gone, loses its workflows to any living
executor of the same application and version (`Workflows.adopt`). A lost lease never comes back: one registers again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from dbos.fields import NamedTuple
from dbos.store.pool import Pool

KEEP_ENDED_SECONDS = 24 * 3600.0  # for those who want to see who ran what


class Owner(NamedTuple):
    """Who executes: a launch of an application. `executor_id` is configured and may be shared, `instance` is not."""

    instance: str
    executor_id: str
    application_name: str
    application_version: str


class Lease(NamedTuple):
    """The lease of this process as it knows it."""

    seconds: float  # that it lasts
    renewed_at: float  # monotonic

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.renewed_at


class Executors:
    """The table `executors`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def register(self, owner: Owner, host: str, pid: int, process_started: str, lease_seconds: float) -> None:
        """Begin, or begin again, a lease."""
        self._pool.write(
            "register_executor",
            instance=owner.instance,
            executor_id=owner.executor_id,
            application_name=owner.application_name,
            application_version=owner.application_version,
            host=host,
            pid=pid,
            process_started=process_started,
            lease_ms=_milliseconds(lease_seconds),
        )

    def renew(self, instance: str, lease_seconds: float) -> bool:
        """Extend a lease from now. False: it is over or forgotten, and the workflows may be someone else's by now."""
        return bool(self._pool.write_promptly("renew_lease", instance=instance, lease_ms=_milliseconds(lease_seconds)))

    def serve(self, instance: str, queue_names: Sequence[str]) -> None:
        """Tell the others which queues an executor serves."""
        self._pool.write("serve_queues", instance=instance, queues=json.dumps(sorted(queue_names)))

    def retire(self, instance: str) -> None:
        """End one's own lease now; whatever is still pending is up for adoption."""
        self.declare_dead([instance])

    def declare_dead(self, instances: Sequence[str]) -> None:
        """End leases of executors that are known to be gone."""
        if instances:
            self._pool.write("end_leases", instances=json.dumps(instances))

    def look_around(self, host: str) -> tuple[list[tuple[str, int, str]], bool]:
        """(instance, pid, start of the process) of executors of a host whose lease lasts; did any dead leave work?"""
        rows = self._pool.read("living_on_host", host=host)
        return [(row[0], row[1], row[2]) for row in rows if row[0] is not None], bool(rows[0][3])

    def prune(self) -> None:
        """Forget executors that ended a day ago and that no pending workflow refers to."""
        self._pool.write("prune_executors", keep_ms=_milliseconds(KEEP_ENDED_SECONDS))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
