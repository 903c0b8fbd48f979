"""What a stream is: its values by offset, its end, and how a place in it is written as one text."""

from __future__ import annotations

import json

from dbos.fields import NamedTuple

CLOSED = "__DBOS_STREAM_CLOSED__"
"""The value that closes a stream. In the table it stands as portable JSON, so that readers of any kind know it."""

CLOSED_TEXT = f'"{CLOSED}"'
CLOSED_SERIALIZATION = "portable_json"

MAX_OFFSET = 2**62  # beyond what any stream reaches, and room to count on in 64 bits


class StreamValue(NamedTuple):
    """One row of `streams` as readers need it, its payload still encoded."""

    offset: int
    value: str
    serialization: str | None

    @property
    def closes(self) -> bool:
        """Is it the end of its stream?"""
        return closes(self.value, self.serialization)


class StreamPage(NamedTuple):
    """Values in order, and whether it was all over when they were read: then there is nothing behind them.

    Over: the workflow has ended, or the stream was closed somewhere before this page.
    """

    values: list[StreamValue]
    over: bool


def closes(value: str | None, serialization: str | None) -> bool:
    """Does a stored value mark the end of its stream?"""
    return value == CLOSED_TEXT and serialization == CLOSED_SERIALIZATION


def position_id(workflow_id: str, key: str, offset: int) -> str:
    """A place in a stream of a workflow as one text: a JSON list."""
    return json.dumps((workflow_id, key, offset), ensure_ascii=False)
