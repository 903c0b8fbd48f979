"""Changing the code of workflows that run."""

from __future__ import annotations

from dbos.api.twins import awaitable, blocking
from dbos.runtime.operations import patching


class PatchCalls:
    """Patches, and patches that have had their time."""

    patch = staticmethod(blocking(patching.patch))
    patch_async = staticmethod(awaitable(patching.patch))
    deprecate_patch = staticmethod(blocking(patching.deprecate_patch))
    deprecate_patch_async = staticmethod(awaitable(patching.deprecate_patch))
