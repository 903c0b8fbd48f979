"""Sending on Postgres: NOTIFY from a connection of the pool, gathered while busy.

A commit that notifies takes a lock of the whole server, so the journal never does. The first hint after a quiet time
goes out at once, in a transaction that does nothing else; what comes soon after it is gathered and goes out together.
Where sending takes long, because the machine is busy, more is gathered: it may take a small part of the time only.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from dbos.error import DBOSException
from dbos.store.hints import ANYTHING, Hint
from dbos.store.pool import Pool

SENDING_SHARE = 0.1  # of the time, at most: after a sending that took long, the next one gathers for longer
LONGEST_GATHERING_SECONDS = 0.05  # though no longer than this
MAX_PAYLOAD_BYTES = 7_900  # the server refuses 8,000
MAX_GATHERED_HINTS = 2_000  # beyond this, "anything may have changed" says it shorter
LAST_WORDS_SECONDS = 0.5  # for hints that are due when the store closes

_logger = logging.getLogger("dbos")


class Notifier:
    """Gathers hints and sends them from a thread of its own, started by the first one."""

    def __init__(self, pool: Pool, channel: str, sender: str, coalesce_seconds: float) -> None:
        self._coalesce_seconds = coalesce_seconds
        self._pool = pool
        self._channel = channel
        self._sender = sender
        self._mutex = threading.Lock()  # guards everything below
        self._due = threading.Event()
        self._gathered: dict[Hint, None] = {}  # in order, each once
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def publish(self, kind: str, ids: Iterable[str]) -> None:
        with self._mutex:
            if self._closing.is_set():
                return
            if len(self._gathered) < MAX_GATHERED_HINTS:
                for identifier in ids:
                    self._gathered[kind, identifier] = None
            else:
                self._gathered = {ANYTHING: None}
            if self._thread is None:
                thread = threading.Thread(target=self._send_until_closed, name="dbos-notifier", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # what is gathered goes with the next hint
                    _logger.debug("Hints for other processes are late: %s", error)
                    return
                self._thread = thread
            if not self._due.is_set():  # else the one who takes what is gathered is on the way
                self._due.set()

    def _send_until_closed(self) -> None:
        closing = False
        due_at = float("-inf")  # when the next sending may begin
        while not closing:
            self._due.wait()
            rest = due_at - time.monotonic()
            if rest > 0:
                self._closing.wait(rest)
            begun_at = time.monotonic()
            with self._mutex:
                closing = self._closing.is_set()  # under the mutex, or the bell that close rings could get cleared
                self._due.clear()
                gathered, self._gathered = self._gathered, {}
            try:
                for payload in payloads(self._sender, list(gathered)):
                    self._pool.read("notify", channel=self._channel, payload=payload)
            except DBOSException as error:
                _logger.debug("Hints for other processes were lost; they will look for themselves: %s", error)
            took = time.monotonic() - begun_at
            due_at = begun_at + max(self._coalesce_seconds, min(took / SENDING_SHARE, LONGEST_GATHERING_SECONDS))

    def close(self) -> None:
        with self._mutex:
            self._closing.set()
            thread = self._thread
        self._due.set()
        if thread is not None:
            thread.join(LAST_WORDS_SECONDS)
            if thread.is_alive():
                self._pool.stop_waiting()  # the database is away, and the store is closing
                thread.join()

    def disown(self) -> None:
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._closing.set()


def payloads(sender: str, hints: Sequence[Hint]) -> Iterator[str]:
    """Pack hints into as few payloads as their size allows: `[sender, kind, [id, ...]]`."""
    by_kind: dict[str, list[str]] = {}
    for kind, identifier in hints:
        by_kind.setdefault(kind, []).append(identifier)
    for kind, ids in by_kind.items():
        packed: list[str] = []
        size = 0
        for identifier in ids:
            added = len(json.dumps(identifier)) + 2
            if packed and size + added > MAX_PAYLOAD_BYTES - 200:
                yield json.dumps([sender, kind, packed])
                packed, size = [], 0
            packed.append(identifier)
            size += added
        yield json.dumps([sender, kind, packed])


def channel_of(schema: str) -> str:
    """One channel per schema; two that share the first 50 characters merely wake each other for nothing."""
    return "dbos " + schema.replace('"', "")[:50]
