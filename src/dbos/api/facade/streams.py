"""Streams: a workflow leaves values behind in order, and whoever likes follows them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any

from dbos.api.launched import current_engine
from dbos.api.scopes import refuse_shard_key
from dbos.api.twins import awaitable, blocking, refuse_on_loop
from dbos.runtime.interpreters import run_async, run_blocking
from dbos.runtime.operations import stream_reading, streams
from dbos.runtime.operations.stream_reading import END, StreamReader


class StreamCalls:
    """Write, close, read."""

    write_stream = staticmethod(blocking(streams.write_stream))
    write_stream_async = staticmethod(awaitable(streams.write_stream))
    close_stream = staticmethod(blocking(streams.close_stream))
    close_stream_async = staticmethod(awaitable(streams.close_stream))
    read_stream_offset = staticmethod(blocking(stream_reading.read_stream_offset, waits=True))
    read_stream_offset_async = staticmethod(awaitable(stream_reading.read_stream_offset))

    @classmethod
    def read_stream(
        cls,
        workflow_id: str,
        key: str,
        *,
        offset: int = 0,
        polling_interval_sec: float | None = None,
        timeout_seconds: float | None = None,
        shard_key: str | None = None,
    ) -> Generator[Any, None, None]:
        """Follow a stream: its values in the order in which they were written, each once, as soon as they are there.

        Args:
            workflow_id: The workflow that writes it; it need not have begun.
            key: Names the stream.
            offset: The place of the first value wanted, counted from 0.
            polling_interval_sec: How often to look if no wake-up arrives; at least 0.001.
            timeout_seconds: How long to wait for each value; None waits as long as the stream goes on.

        Ends when the stream is closed, or when its workflow has ended and every value was delivered. In the body of a
        workflow each value read is the step `DBOS.readStream`, and only one stream is read at a time. Raises ValueError
        for numbers that make no sense; while iterating, DBOSNonExistentWorkflowError for an unknown workflow,
        DBOSStreamTimeoutError, and DBOSStreamNondeterminismError for a second read at the same time in one workflow.
        """
        refuse_on_loop("DBOS.read_stream", waits=True, instead="async for value in DBOS.read_stream_async(...)")
        refuse_shard_key(shard_key)
        return values(StreamReader(current_engine(), workflow_id, key, offset, polling_interval_sec, timeout_seconds))

    @classmethod
    def read_stream_async(
        cls,
        workflow_id: str,
        key: str,
        *,
        offset: int = 0,
        polling_interval_sec: float | None = None,
        timeout_seconds: float | None = None,
        shard_key: str | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Follow a stream with `async for`; see `read_stream`."""
        refuse_shard_key(shard_key)
        reader = StreamReader(current_engine(), workflow_id, key, offset, polling_interval_sec, timeout_seconds)
        return values_async(reader)


def values(reader: StreamReader) -> Generator[Any, None, None]:
    """Iterate over what a reader reads."""
    while (value := run_blocking(reader.engine, reader.next())) is not END:
        yield value


async def values_async(reader: StreamReader) -> AsyncGenerator[Any, None]:
    """Iterate over what a reader reads, on an event loop."""
    while (value := await run_async(reader.engine, reader.next())) is not END:
        yield value
