"""Wake-ups on Postgres: NOTIFY from a side connection, gathered while busy; LISTEN on a connection of its own.

A commit that notifies takes a lock of the whole server, so the journal never does. The first hint after a quiet time
goes out at once, in a transaction that does nothing else; what comes soon after it is gathered and goes out together.
Where sending takes long, because the machine is busy, more is gathered: it may take a small part of the time only.
"""

from __future__ import annotations

import json
import logging
import os
import random
import select
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import pq

from dbos.error import DBOSException
from dbos.store.database import Session
from dbos.store.hints import ANYTHING, Hint, NoHints
from dbos.store.pool import Pool
from dbos.store.statements import Statement

SENDING_SHARE = 0.1  # of the time, at most: after a sending that took long, the next one gathers for longer
LONGEST_GATHERING_SECONDS = 0.05  # though no longer than this
MAX_PAYLOAD_BYTES = 7_900  # the server refuses 8,000
MAX_GATHERED_HINTS = 2_000  # beyond this, "anything may have changed" says it shorter
RECONNECT_SECONDS = 1.0
LAST_WORDS_SECONDS = 0.5  # for hints that are due when the store closes

_logger = logging.getLogger("dbos")


class PostgresHints:
    """Both directions. `connect` opens the listening connection; without it there is only sending."""

    def __init__(
        self, pool: Pool, channel: str, connect: Callable[[], psycopg.Connection[Any]] | None, coalesce_seconds: float
    ) -> None:
        """`coalesce_seconds`: at least so far apart are two transactions that notify."""
        self._channel = channel
        sender = uuid.uuid4().hex
        self._echo = json.dumps([sender])[:-1].encode()  # how all that we send begins: it is dropped when it comes back
        self._notifier = _Notifier(pool, channel, sender, coalesce_seconds)
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None
        self._was_connected = False
        self._in_use = threading.Lock()  # guards the three above and the pipe against close
        self._pipe = os.pipe()  # a byte in it interrupts
        os.set_blocking(self._pipe[1], False)
        os.set_blocking(self._pipe[0], False)
        self._closed = False

    def publish(self, kind: str, ids: Iterable[str]) -> None:
        self._notifier.publish((kind, workflow_id) for workflow_id in ids)

    def receive(self, timeout_seconds: float, poll_seconds: float) -> list[Hint]:
        with self._in_use:
            if self._closed:
                return []
            deadline = time.monotonic() + timeout_seconds
            try:
                if self._connection is None and self._connect is not None:
                    self._connection = self._listen(self._connect)
                    was_connected, self._was_connected = self._was_connected, True
                    if was_connected:
                        return [ANYTHING]
                return self._wait(deadline)
            except psycopg.Error:
                self._let_go()
                self._sleep(min(deadline - time.monotonic(), random.uniform(0.5, 1.0) * RECONNECT_SECONDS))
                return []

    def _listen(self, connect: Callable[[], psycopg.Connection[Any]]) -> psycopg.Connection[Any]:
        connection = connect()
        # Through libpq itself: the driver would take a notification that arrives right now for its own.
        reply = connection.pgconn.exec_(f'listen "{self._channel}"'.encode())
        if reply.status != pq.ExecStatus.COMMAND_OK:
            connection.close()
            raise psycopg.OperationalError("LISTEN failed")
        return connection

    def _wait(self, deadline: float) -> list[Hint]:
        while True:
            hints = list(self._arrived())
            rest = deadline - time.monotonic()
            if hints or rest <= 0 or not self._sleep(rest):
                return hints
            if self._connection is not None:
                self._connection.pgconn.consume_input()

    def _arrived(self) -> Iterator[Hint]:
        if self._connection is None:
            return
        while (notification := self._connection.pgconn.notifies()) is not None:
            if notification.extra.startswith(self._echo):
                continue
            match _parsed(notification.extra):
                case [str(), str(kind), list(ids)]:
                    yield from ((kind, identifier) for identifier in ids if isinstance(identifier, str))

    def _sleep(self, seconds: float) -> bool:
        """Until something arrives (True), or time runs out or somebody interrupts (False)."""
        ready = select.poll()
        ready.register(self._pipe[0], select.POLLIN)
        if self._connection is not None:
            ready.register(self._connection.pgconn.socket, select.POLLIN)
        events = [descriptor for descriptor, _ in ready.poll(max(0.0, seconds) * 1000)]
        if self._pipe[0] in events:
            os.read(self._pipe[0], 4096)
            return False
        return bool(events)

    def interrupt(self) -> None:
        try:
            os.write(self._pipe[1], b"!")
        except OSError:
            pass  # full: an interrupt is under way; or closed: there is nothing to interrupt

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        self._notifier.close()
        self.interrupt()
        with self._in_use:
            if self._closed:
                return
            self._closed = True
            self._let_go()
            for descriptor in self._pipe:
                os.close(descriptor)

    def disown(self) -> None:
        self._notifier.disown()
        self._in_use = threading.Lock()
        self._closed = True  # the connection stays referenced: the parent's socket must not be closed by collection


class HintsOfTransaction(NoHints):
    """Sending only, in a transaction of the user's: its commit delivers, to everybody, what a rollback takes back."""

    def __init__(self, session: Session, notify: Statement, channel: str) -> None:
        super().__init__()
        self._session = session
        self._notify = notify
        self._channel = channel
        self._sender = uuid.uuid4().hex  # nobody's: this process shall hear it, too

    def publish(self, kind: str, ids: Iterable[str]) -> None:
        for payload in payloads(self._sender, [(kind, identifier) for identifier in ids]):
            self._session.run(self._notify, {"channel": self._channel, "payload": payload})


class _Notifier:
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

    def publish(self, hints: Iterable[Hint]) -> None:
        with self._mutex:
            if self._closing.is_set():
                return
            if len(self._gathered) < MAX_GATHERED_HINTS:
                self._gathered.update(dict.fromkeys(hints))
            else:
                self._gathered = {ANYTHING: None}
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_until_closed, name="dbos-notifier", daemon=True)
                self._thread.start()
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


def _parsed(payload: bytes) -> object:
    """Anyone may notify on any channel, so this can be anything."""
    try:
        return json.loads(payload)
    except ValueError:
        return None


def channel_of(schema: str) -> str:
    """One channel per schema; two that share the first 50 characters merely wake each other for nothing."""
    return "dbos " + schema.replace('"', "")[:50]
