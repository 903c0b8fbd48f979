"""Wake-ups between processes: best effort, beside the journal, never inside its transactions.

A hint says that something may have changed; who receives one asks the store. Lost, late or doubled hints harm nothing:
everybody who waits also looks for himself now and then.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Protocol

Hint = tuple[str, str]
"""Kind and id."""

ANYTHING: Hint = ("*", "")
"""Anything may have changed: hints were missed, or carry no details."""


class Hints(Protocol):
    """What the listener of a process needs."""

    def publish(self, kind: str, ids: Iterable[str]) -> None:
        """Tell the other processes, soon. Never blocks."""

    def receive(self, timeout_seconds: float, poll_seconds: float) -> list[Hint]:
        """Hints of other processes as soon as there are any; [] after the timeout or an interrupt.

        Called by one thread. `poll_seconds` is how often to look where looking is the only way.
        """

    def interrupt(self) -> None:
        """Make a `receive` that blocks return at once; without one, the next."""

    def close(self) -> None:
        """Send what is due, and let go of threads and connections."""

    def disown(self) -> None:
        """In a forked child: forget threads and connections without touching them."""


class NoHints:
    """Where there is no way to tell or be told: everyone is left to his own polling."""

    def __init__(self) -> None:
        self._interrupted = threading.Event()

    def publish(self, kind: str, ids: Iterable[str]) -> None:
        pass

    def receive(self, timeout_seconds: float, poll_seconds: float) -> list[Hint]:
        self._interrupted.wait(timeout_seconds)
        self._interrupted.clear()
        return []

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.interrupt()

    def disown(self) -> None:
        self._interrupted = threading.Event()
