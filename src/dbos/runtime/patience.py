"""Patience with the user's database: which trouble another try overcomes, and how long is waited before that."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from dbos.error import DBOSException
from dbos.lazy import asyncio, random
from dbos.runtime.context import Attempt, current_transaction
from dbos.runtime.operation import Invoke, Operation
from dbos.runtime.step import pause
from dbos.userdata.troubles import is_clash

FIRST_PAUSE_SECONDS = 0.001, 0.005  # between two tries; growing, because whoever clashed would clash again
LONGEST_PAUSE_SECONDS = 2.0
LONGEST_BUSY_PAUSE_SECONDS = 0.02  # for a file: its one lock goes to whoever looks at the right moment
NESTED_SECONDS = 5.0  # inside another transaction, which may itself hold what is waited for
REPORTED_SECONDS = 10.0, 60.0  # of trouble: until it is told, and until it is told again

logger = logging.getLogger("dbos")


class Patience:
    """That of one transaction: its tries, and the looks for its witness."""

    def __init__(self, name: str, attempt: Attempt | None, dialect: str, awaited: bool) -> None:
        """`attempt` of the workflow whose step it is, if it is one; `awaited`: the pauses are, too."""
        self._name = name
        self._attempt = attempt
        self._awaited = awaited
        self._pauses = _pauses(LONGEST_BUSY_PAUSE_SECONDS if dialect == "sqlite" else LONGEST_PAUSE_SECONDS)
        self.nested = attempt is None and current_transaction() is not None
        self._ends_at = time.monotonic() + NESTED_SECONDS if self.nested else None
        self._troubled_since: float | None = None
        self._reported_after, self._reported_every = REPORTED_SECONDS

    def covers(self, error: BaseException, lost: bool) -> bool:
        """Is it worth another try? `lost`: the error cost us the connection, or was about getting one.

        Without a witness nobody can tell whether a lost commit arrived: then the loss is the caller's to judge. Raises
        DBOSException for one inside another transaction that was tried for long enough.
        """
        if not isinstance(error, Exception) or not (is_clash(error) or (lost and self._attempt is not None)):
            return False
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            # Of our own kind: for what the one around it took for a clash, it would run both again, for ever.
            raise DBOSException(
                f"Transaction {self._name} waited {NESTED_SECONDS:g} s inside another one, which may itself hold what "
                "it waits for. Call it outside of that, or let it use the same session."
            )  # without the error as its cause, which is looked for in what user code raises
        self._report(error)
        return True

    def _report(self, error: Exception) -> None:
        """No number of tries is too many, but whoever waits for the end of them shall know why there is none."""
        self._troubled_since = self._troubled_since or time.monotonic()
        passed_seconds = time.monotonic() - self._troubled_since
        if passed_seconds < self._reported_after:
            return
        self._reported_after = passed_seconds + self._reported_every
        where = "" if self._attempt is None else f" of workflow {self._attempt.workflow_id}"
        logger.warning("Transaction %s%s is tried again, for %.0f s now: %s", self._name, where, passed_seconds, error)

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
