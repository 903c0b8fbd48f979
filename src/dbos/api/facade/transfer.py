"""Workflows as documents."""

from __future__ import annotations

from dbos.api.twins import awaitable, blocking
from dbos.runtime.operations import transfer


class TransferCalls:
    """Export and import."""

    export_workflow = staticmethod(blocking(transfer.export_workflow))
    export_workflow_async = staticmethod(awaitable(transfer.export_workflow))
    import_workflow = staticmethod(blocking(transfer.import_workflow))
    import_workflow_async = staticmethod(awaitable(transfer.import_workflow))
