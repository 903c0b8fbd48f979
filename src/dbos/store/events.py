"""The events that workflows publish. Only the journal writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dbos.store.pool import Pool


class Events:
    """The table `workflow_events`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def get(self, workflow_id: str, key: str) -> tuple[str, str | None] | None:
        """The value of an event and its codec, or None if it is not set."""
        rows = self._pool.read("event", workflow_id=workflow_id, key=key)
        return (rows[0][0], rows[0][1]) if rows else None

    def all(self, workflow_id: str) -> list[tuple[str, str, str | None]]:
        """(key, value, codec) of every event of a workflow, by key."""
        return [(row[0], row[1], row[2]) for row in self._pool.read("events", workflow_id=workflow_id)]

    def are_set(self, events: Sequence[str]) -> list[str]:
        """Of these events, JSON pairs of workflow id and key, those that are set."""
        return [row[0] for row in self._pool.read("events_set", events=json.dumps(events))] if events else []
