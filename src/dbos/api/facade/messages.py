"""Messages between workflows."""

from __future__ import annotations

from dbos.api.twins import awaitable, blocking
from dbos.runtime.operations import messages, receiving


class MessageCalls:
    """Send and receive."""

    send = staticmethod(blocking(messages.send))
    send_async = staticmethod(awaitable(messages.send))
    send_bulk = staticmethod(blocking(messages.send_bulk))
    send_bulk_async = staticmethod(awaitable(messages.send_bulk))
    recv = staticmethod(blocking(receiving.recv, waits=True))
    recv_async = staticmethod(awaitable(receiving.recv))
