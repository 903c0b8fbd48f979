"""The versions of applications: which there are, and which is the latest. None of it is a step of a workflow."""

from __future__ import annotations

from dbos.error import DBOSException
from dbos.model.placement import Placement
from dbos.model.version import VersionInfo
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation
from dbos.store.versions import VersionRow


def list_application_versions(engine: Engine) -> Operation[list[VersionInfo]]:
    """The versions of this application that were ever launched, the latest first; a nameless client sees all."""
    rows: list[VersionRow] = yield Ask(engine.store.versions.list, engine.application_name)
    return [_present(row) for row in rows]


def get_latest_application_version(engine: Engine) -> Operation[VersionInfo]:
    """The version that runs what was enqueued without one. Raises DBOSException if none was ever launched."""
    versions = yield from list_application_versions(engine)
    if not versions:
        raise DBOSException("No version of this application was launched so far")
    return versions[0]


def set_latest_application_version(
    engine: Engine, version_name: str, *, application_name: str | None = None
) -> Operation[None]:
    """Make a version the latest one.

    Args:
        version_name: One that was never launched changes nothing.
        application_name: Whose version; by default this application's, or for a nameless client whoever has it.

    Raises DBOSException if only another application has a version of this name.
    """
    if version_name is None:
        raise DBOSException("set_latest_application_version takes the name of a version, not None")
    Placement(app_version=version_name)  # what no version can be named is said here
    owners: tuple[str | None, ...] = yield Ask(engine.store.versions.owners, version_name)
    wanted = application_name or engine.application_name or (owners[0] if len(owners) == 1 else None)
    if owners and wanted not in owners:
        names = ", ".join(str(owner) for owner in owners)
        raise DBOSException(f"Version {version_name!r} is of application {names}: name it with application_name=...")
    if wanted is not None:
        yield Ask(engine.store.versions.set_latest, version_name, wanted)


def _present(row: VersionRow) -> VersionInfo:
    return VersionInfo(
        version_id=row.version_id,
        version_name=row.version_name,
        version_timestamp=row.version_timestamp,
        created_at=row.created_at,
        application_name=row.application_name,
    )
