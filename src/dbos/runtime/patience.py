"""Patience with the user's database: which trouble another try overcomes, and how long is waited before that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from dbos.lazy import asyncio, random
from dbos.runtime.context import Attempt, current_transaction
from dbos.runtime.operation import Invoke, Operation
from dbos.runtime.step import pause
from dbos.userdata.troubles import is_clash

FIRST_PAUSE_SECONDS = 0.001, 0.005  # between two tries; growing, because whoever clashed would clash again
LONGEST_PAUSE_SECONDS = 2.0
LONGEST_BUSY_PAUSE_SECONDS = 0.02  # for a file: its one lock goes to whoever looks at the right moment
NESTED_SECONDS = 5.0  # inside another transaction, which may itself hold what is waited for


class Patience:
    """That of one transaction: its tries, and the looks for its witness."""

    def __init__(self, attempt: Attempt | None, dialect: str, awaited: bool) -> None:
        """`attempt` of the workflow whose step it is, if it is one; `awaited`: the pauses are, too."""
        self._attempt = attempt
        self._awaited = awaited
        self._pauses = _pauses(LONGEST_BUSY_PAUSE_SECONDS if dialect == "sqlite" else LONGEST_PAUSE_SECONDS)
        nested = attempt is None and current_transaction() is not None
        self._ends_at = time.monotonic() + NESTED_SECONDS if nested else None

    def covers(self, error: BaseException, lost: bool) -> bool:
        """Is it worth another try? `lost`: the error cost us the connection, or was about getting one.

        Without a witness nobody can tell whether a lost commit arrived: then the loss is the caller's to judge.
        """
        if not isinstance(error, Exception) or not (is_clash(error) or (lost and self._attempt is not None)):
            return False
        return self._ends_at is None or time.monotonic() < self._ends_at

    def pause(self) -> Operation[None]:
        """Wait a moment. Raises what ends the attempt, if it is over."""
        seconds = next(self._pauses)
        attempt = self._attempt
        if attempt is None:
            sleep: Any = asyncio.sleep if self._awaited else time.sleep
            yield Invoke(lambda: sleep(seconds), self._awaited)
            return
        yield from pause(attempt, seconds)
        if attempt.must_verify():
            yield from attempt.verify()


def _pauses(longest_seconds: float) -> Iterator[float]:
    """Growing pauses, jittered so that those who clashed do not meet again."""
    shortest, ceiling = FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(shortest, ceiling)
        ceiling = min(ceiling * 2, longest_seconds)
