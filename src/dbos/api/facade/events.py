"""Values that workflows publish."""

from __future__ import annotations

from dbos.api.twins import awaitable, blocking
from dbos.runtime.operations import events


class EventCalls:
    """Set and get."""

    set_event = staticmethod(blocking(events.set_event))
    set_event_async = staticmethod(awaitable(events.set_event))
    get_event = staticmethod(blocking(events.get_event, waits=True))
    get_event_async = staticmethod(awaitable(events.get_event))
    get_all_events = staticmethod(blocking(events.get_all_events))
    get_all_events_async = staticmethod(awaitable(events.get_all_events))
