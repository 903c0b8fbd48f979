"""`asyncio.wait` that replays: which of several awaitables were done is recorded, so a replay takes the same branch."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from dbos.error import DBOSException
from dbos.lazy import asyncio
from dbos.model.resuming import ASYNCIO_WAIT
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import workflow_body
from dbos.runtime.interpreters import run_async
from dbos.runtime.operation import Outcome
from dbos.runtime.step import encode, record, replay

_numbers = itertools.count()  # of futures, in the order in which they are first listed

Waited: TypeAlias = "tuple[set[asyncio.Future[Any]], set[asyncio.Future[Any]]]"


async def asyncio_wait(
    fs: Iterable[Awaitable[Any]], *, timeout: float | None = None, return_when: str = "ALL_COMPLETED"
) -> Waited:
    """Like `asyncio.wait`, but durable: inside a workflow the step `DBOS.asyncio_wait` records which were done.

    Args:
        fs: A list of awaitables, of which coroutines become tasks; or a set that such a wait has returned.
        timeout: Seconds to wait at most; None waits without bound.
        return_when: `FIRST_COMPLETED`, `FIRST_EXCEPTION` or `ALL_COMPLETED`, as in asyncio.

    Returns the futures that are done and those that are pending. A replay waits for, and reports, exactly those that
    were done the first time. Outside a workflow it is plain `asyncio.wait`. Raises DBOSException for a set of
    anything but futures it has seen before: its order would differ from run to run.
    """
    futures: list[asyncio.Future[Any]] = [asyncio.ensure_future(each) for each in fs]
    attempt = workflow_body()
    if attempt is None:
        return await asyncio.wait(futures, timeout=timeout, return_when=return_when)
    futures = _in_order(attempt.futures, futures, ordered=isinstance(fs, Sequence))
    step_id = attempt.next_step_id()
    row = attempt.recorded(step_id, ASYNCIO_WAIT)
    if row is not None:
        finished = {futures[index] for index in replay(attempt, row).unwrap()}
        if finished:
            await asyncio.wait(finished)
        return finished, set(futures) - finished
    started_at_ms = wall_ms()
    done, pending = await asyncio.wait(futures, timeout=timeout, return_when=return_when)
    indices = [index for index, future in enumerate(futures) if future in done]
    checkpoint = encode(attempt, step_id, ASYNCIO_WAIT, Outcome(indices), started_at_ms)
    await run_async(attempt.engine, record(attempt, checkpoint))
    return done, pending


def _in_order(
    known: WeakKeyDictionary[asyncio.Future[Any], int], futures: list[asyncio.Future[Any]], ordered: bool
) -> list[asyncio.Future[Any]]:
    """The futures in an order that a replay repeats: as listed, or as they were first listed if they come in a set."""
    if ordered:
        for future in futures:
            known.setdefault(future, next(_numbers))
        return futures
    if any(future not in known for future in futures):
        raise DBOSException("DBOS.asyncio_wait() takes a list in a workflow: the order of a set differs in every run")
    return sorted(futures, key=lambda future: known[future])
