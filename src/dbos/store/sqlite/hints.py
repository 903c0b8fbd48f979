"""Wake-ups on SQLite: `data_version` of a connection changes with every commit of another one, and reading it is cheap.

It is the writer's connection that is asked, in between its transactions: it makes every commit of this process, so that
only those of other processes show.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable

from dbos.store.database import StoreClosed
from dbos.store.hints import ANYTHING, Hint
from dbos.store.lending import Writer
from dbos.store.statements import Statement

_DATA_VERSION = Statement("data_version", "pragma data_version", ())


class SqliteHints:
    """Polls for commits of other processes; our own commits are hint enough for them."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._version: int | None = None
        self._interrupted = threading.Event()

    def publish(self, kind: str, ids: Iterable[str]) -> None:
        pass

    def receive(self, timeout_seconds: float, poll_seconds: float) -> list[Hint]:
        deadline = time.monotonic() + timeout_seconds
        while True:
            if self._changed():
                return [ANYTHING]
            rest = deadline - time.monotonic()
            if rest <= 0:
                return []
            if self._interrupted.wait(min(poll_seconds, rest)):
                self._interrupted.clear()
                return []

    def _changed(self) -> bool:
        """Has another process committed since the last look? A busy writer is asked the next time."""
        if not self._writer.lock.try_acquire():
            return False
        try:
            version: int = self._writer.borrow().run(_DATA_VERSION, {})[0][0]
        except (sqlite3.Error, StoreClosed):
            return False  # whoever uses the writer next deals with it
        finally:
            self._writer.lock.release()
        before, self._version = self._version, version
        return before is not None and version != before

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.interrupt()

    def disown(self) -> None:
        self._interrupted = threading.Event()
