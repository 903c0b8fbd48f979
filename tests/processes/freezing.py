"""Stopping a process by SIGSTOP, as a machine does that is put to sleep. SIGCONT wakes it."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.waiting import eventually
from tests.support.workers import Worker


def freeze(worker: Worker, url: str) -> None:
    """Freeze a process, all its threads, at a moment at which it does not hold the one write lock of a SQLite file.

    Frozen with that lock, it would keep everybody from writing, as any SQLite program does. No lease can help there.
    """
    tasks = Path(f"/proc/{worker.pid}/task")

    def frozen() -> bool:
        try:
            states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
        except OSError:  # a thread came to its end meanwhile
            return False
        return set(states) == {"T"}

    def frozen_without_lock() -> bool:
        worker.kill(signal.SIGSTOP)
        eventually(frozen)
        if not url.startswith("sqlite") or can_write(url):
            return True
        worker.kill(signal.SIGCONT)
        return False

    eventually(frozen_without_lock)


def can_write(url: str) -> bool:
    """Whether a SQLite file can be locked for writing soon."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=1, isolation_level=None)) as connection:
        try:
            connection.execute("begin immediate")
        except sqlite3.OperationalError:
            return False
        connection.execute("rollback")
        return True
