"""The versions of the application."""

from __future__ import annotations

from dbos.api.twins import awaitable, blocking
from dbos.runtime.operations import versions


class VersionCalls:
    """List them, and choose the latest."""

    list_application_versions = staticmethod(blocking(versions.list_application_versions))
    list_application_versions_async = staticmethod(awaitable(versions.list_application_versions))
    get_latest_application_version = staticmethod(blocking(versions.get_latest_application_version))
    get_latest_application_version_async = staticmethod(awaitable(versions.get_latest_application_version))
    set_latest_application_version = staticmethod(blocking(versions.set_latest_application_version))
    set_latest_application_version_async = staticmethod(awaitable(versions.set_latest_application_version))
