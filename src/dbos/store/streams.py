"""The values of streams, as readers ask for them. Only the journal writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dbos.model.stream import StreamPage, StreamValue
from dbos.store.pool import Pool


class Streams:
    """The table `streams`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(self, workflow_id: str, key: str, offset: int, limit: int) -> StreamPage | None:
        """The values from an offset on, at most so many, as of one moment. None: there is no such workflow.

        Offsets have no gaps, so a page that is not full reaches to the last value.
        """
        rows = self._pool.read("stream_page", workflow_id=workflow_id, key=key, offset=offset, behind=offset + limit)
        if not rows:
            return None
        values = [StreamValue(*row[1:]) for row in rows if row[1] is not None]
        return StreamPage(values, over=bool(rows[0][0]))

    def reached(self, positions: Sequence[str]) -> list[str]:
        """Of these places (see `position_id`), those where a reader has something to read, or to learn of the end."""
        return [row[0] for row in self._pool.read("reached", positions=json.dumps(positions))] if positions else []

    def is_closed(self, workflow_id: str, key: str) -> bool:
        """Has the stream come to its end?"""
        return bool(self._pool.read("stream_end", workflow_id=workflow_id, key=key))

    def holds(self, token: str) -> bool:
        """Did the write of this token, by a step, arrive?"""
        return bool(self._pool.read("written", token=token))
