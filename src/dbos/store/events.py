"""The events that workflows publish. Only the journal writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dbos.store.pool import Pool


class Events:
    """The table `workflow_events`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def values(self, events: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """Of these events, JSON pairs of workflow id and key, those that are set: their values and codecs."""
        rows = self._pool.read("event_values", events=json.dumps(events)) if events else []
        return {row[0]: (row[1], row[2]) for row in rows}

    def are_set(self, events: Sequence[str]) -> list[str]:
        """The same without the values."""
        return [row[0] for row in self._pool.read("events_set", events=json.dumps(events))] if events else []

    def all(self, workflow_id: str) -> list[tuple[str, str, str | None]]:
        """(key, value, codec) of every event of a workflow, by key."""
        return [(row[0], row[1], row[2]) for row in self._pool.read("events", workflow_id=workflow_id)]
