"""A version of an application, as users see it."""

# Annotations are evaluated here: a TypedDict compiles each that is a text, which takes longer.

from typing import TypedDict


class VersionInfo(TypedDict):
    """One version. The one with the latest timestamp runs what was enqueued without a version."""

    version_id: str
    version_name: str
    version_timestamp: int
    created_at: int
    application_name: str | None
