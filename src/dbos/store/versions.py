"""The versions of applications, in the order in which they became the latest.

What was enqueued without a version runs on the latest one; what has a version waits for an executor of it.
"""

from __future__ import annotations

import os

from dbos.fields import NamedTuple
from dbos.model.ids import uuid4
from dbos.store.pool import Pool, Run
from dbos.store.search import NO_LIMIT


class VersionRow(NamedTuple):
    """One row of `application_versions`; field names are the column names."""

    version_id: str
    version_name: str
    version_timestamp: int
    created_at: int
    application_name: str | None


class Versions:
    """The table `application_versions`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def register(self, version: str, application_name: str) -> VersionRow:
        """Announce a version, as the latest one if it is new; which one is the latest now."""

        def work(run: Run) -> VersionRow:
            run(
                "register_version",
                version_id=uuid4(os.urandom(16)),
                version_name=version,
                application_name=application_name,
            )
            return VersionRow(*run("list_versions", all=0, application_name=application_name, limit=1)[0])

        return self._pool.transact(work)

    def latest(self, application_name: str) -> VersionRow | None:
        """The latest version of an application, or None if none was ever launched."""
        rows = self._pool.read("list_versions", all=0, application_name=application_name, limit=1)
        return VersionRow(*rows[0]) if rows else None

    def set_latest(self, version: str, application_name: str) -> bool:
        """Make a version of an application the latest one. False: the application has no such version."""
        return bool(self._pool.write("promote_version", version_name=version, application_name=application_name))

    def owners(self, version: str) -> tuple[str | None, ...]:
        """The applications that have a version of this name."""
        rows = self._pool.read("owners_of_version", version_name=version)
        return tuple(row[0] for row in rows)

    def list(self, application_name: str | None = None) -> list[VersionRow]:
        """The versions of an application, or of all of them, the latest first."""
        values = {"all": int(application_name is None), "application_name": application_name, "limit": NO_LIMIT}
        return [VersionRow(*row) for row in self._pool.read("list_versions", **values)]


def is_latest(run: Run, version: str, application_name: str | None) -> bool:
    """Inside a transaction: is it the latest version of the application? So is any, as long as none is registered."""
    rows = run("list_versions", all=0, application_name=application_name, limit=1)
    return not rows or VersionRow(*rows[0]).version_name == version
