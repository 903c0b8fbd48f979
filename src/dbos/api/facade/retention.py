"""Clearing away old workflows."""

from __future__ import annotations

from dbos.api.twins import awaitable, blocking
from dbos.runtime.operations import retention


class RetentionCalls:
    """Delete what has ended long ago, cancel what has been on its way for too long."""

    garbage_collect = staticmethod(blocking(retention.garbage_collect))
    garbage_collect_async = staticmethod(awaitable(retention.garbage_collect))
    global_timeout = staticmethod(blocking(retention.global_timeout))
    global_timeout_async = staticmethod(awaitable(retention.global_timeout))
