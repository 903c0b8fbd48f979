"""Wake-ups on Postgres: LISTEN on a connection of its own, once it is known that it hears.

A connection that listens through a pooler in transaction mode is told nothing, and the server does not mind. So whoever
listens notifies himself once, from another connection, and goes on looking for news at intervals until he has heard it:
"push" if he has, "poll" if not. Nothing waits for the answer.
"""

from __future__ import annotations

import json
import logging
import os
import random
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psycopg
from psycopg import pq

from dbos.error import DBOSException
from dbos.fields import dataclass
from dbos.model.ids import uuid4
from dbos.store.database import Session
from dbos.store.hints import ANYTHING, Hint, NoHints
from dbos.store.pool import Pool
from dbos.store.postgres.notifier import Notifier, payloads
from dbos.store.postgres.opening import Opened
from dbos.store.quoting import quote
from dbos.store.statements import Statement

RECONNECT_SECONDS = 1.0
HEARING_SECONDS = 2.0  # after which a notification counts as lost

_logger = logging.getLogger("dbos")


@dataclass(slots=True)
class _Ear:
    """A connection that listens."""

    connection: psycopg.Connection[Any]
    own: bool  # is the session behind it its own, and no pooler's?
    give_up_at: float  # if it has not heard by then
    hears: bool = False


class _ListenRefused(Exception):
    """The server does not let us listen; the connection is sound."""


class PostgresHints:
    """Both directions. `connect` opens a connection to listen on; without it there is only sending."""

    def __init__(
        self,
        pool: Pool,
        channel: str,
        connect: Callable[[], Opened] | None,
        coalesce_seconds: float,
    ) -> None:
        """`connect` tells as well whether the session is the connection's own, and no pooler's.

        `coalesce_seconds`: at least so far apart are two transactions that notify.
        """
        self._pool = pool
        self._channel = channel
        sender = uuid4(os.urandom(16))
        self._test_channel = f"dbos test {sender}"
        self._test = json.dumps([sender])
        self._echo = self._test[:-1].encode()  # how all that we send begins: it is dropped when it comes back
        self._notifier = Notifier(pool, channel, sender, coalesce_seconds)
        self._connect = connect
        self._ear: _Ear | None = None
        self._deaf_since: int | None = None  # listening is in vain until the pool has lost more connections than that
        self._was_connected = False
        self._pushed: bool | None = None  # what was said last
        self._in_use = threading.Lock()  # guards the five above and the pipe against close
        self._pipe = os.pipe()  # a byte in it interrupts
        os.set_blocking(self._pipe[1], False)
        os.set_blocking(self._pipe[0], False)
        self._closed = False

    def publish(self, kind: str, ids: Iterable[str]) -> None:
        self._notifier.publish(kind, ids)

    def receive(self, timeout_seconds: float, poll_seconds: float) -> list[Hint]:
        with self._in_use:
            if self._closed:
                return []
            deadline = time.monotonic() + timeout_seconds
            try:
                if (
                    self._ear is None
                    and self._connect is not None
                    and self._deaf_since != self._pool.counters.losses  # else it would end in the same place
                ):
                    self._begin_to_listen(self._connect)
                    was_connected, self._was_connected = self._was_connected, True
                    if was_connected:
                        return [ANYTHING]
                return self._wait(deadline)
            except _ListenRefused as refusal:
                self._give_up_listening(str(refusal))
                return []
            except (psycopg.Error, DBOSException):
                self._let_go()
                self._sleep(min(deadline - time.monotonic(), random.uniform(0.5, 1.0) * RECONNECT_SECONDS))
                return []

    # ------------------------------------------------------------ does it hear?

    def _begin_to_listen(self, connect: Callable[[], Opened]) -> None:
        """Listen, and notify ourselves.

        In a session of a pooler's, which others use as well, on a channel that is used this once only.
        """
        connection, own = connect()
        self._ear = _Ear(connection, own, time.monotonic() + HEARING_SECONDS)
        channel = self._channel if own else self._test_channel
        self._tell_server(f"listen {quote(channel)}")
        self._pool.try_once("notify", channel=channel, payload=self._test)

    def _tell_server(self, statement: str) -> None:
        # Through libpq itself: the driver would take a notification that arrives right now for its own.
        assert self._ear is not None
        libpq = self._ear.connection.pgconn
        reply = libpq.exec_(statement.encode())
        if reply.status != pq.ExecStatus.COMMAND_OK:
            words = reply.error_message.decode("utf-8", "replace").strip()
            raise _ListenRefused(words) if libpq.status == pq.ConnStatus.OK else psycopg.OperationalError(words)

    def _heard(self) -> Iterator[Hint]:
        """Our own notification has come: now it is known that those of others do."""
        ear = self._ear
        assert ear is not None
        ear.hears = True
        self._say(True, "notifications of the database arrive")
        if not ear.own:
            self._tell_server(f"listen {quote(self._channel)}")
            yield ANYTHING  # there was nobody to hear before

    def _not_heard(self) -> None:
        """Look for news from now on. On a session of its own it may come yet, just late; not so through a pooler."""
        ear = self._ear
        assert ear is not None
        ear.give_up_at = float("inf")
        if ear.own:
            self._say(False, f"a notification to itself has not arrived within {HEARING_SECONDS:g} s")
        else:
            self._give_up_listening("notifications of the database do not arrive through the connection pooler")

    def _give_up_listening(self, because: str) -> None:
        self._say(False, because)
        self._deaf_since = self._pool.counters.losses
        self._let_go()

    def _say(self, pushed: bool, because: str) -> None:
        if pushed != self._pushed:
            self._pushed = pushed
            (pushes if pushed else polls)(because)

    # ------------------------------------------------------------ waiting

    def _wait(self, deadline: float) -> list[Hint]:
        while True:
            hints = list(self._arrived())
            ear = self._ear
            if ear is not None and not ear.hears and time.monotonic() >= ear.give_up_at:
                self._not_heard()
                continue
            rest = deadline - time.monotonic()
            if hints or rest <= 0:
                return hints
            patience = rest if ear is None or ear.hears else min(rest, max(0.0, ear.give_up_at - time.monotonic()))
            arrived = self._sleep(patience)
            if arrived is None:
                return []
            if arrived and ear is not None:
                ear.connection.pgconn.consume_input()

    def _arrived(self) -> Iterator[Hint]:
        ear = self._ear
        if ear is None:
            return
        while (notification := ear.connection.pgconn.notifies()) is not None:
            if notification.extra.startswith(self._echo):
                if not ear.hears:
                    yield from self._heard()
                continue
            match _parsed(notification.extra):
                case [str(), str(kind), list(ids)]:
                    yield from ((kind, identifier) for identifier in ids if isinstance(identifier, str))

    def _sleep(self, seconds: float) -> bool | None:
        """Until something arrives (True), time runs out (False), or somebody interrupts (None)."""
        ready = select.poll()
        ready.register(self._pipe[0], select.POLLIN)
        if self._ear is not None:
            ready.register(self._ear.connection.pgconn.socket, select.POLLIN)
        events = [descriptor for descriptor, _ in ready.poll(max(0.0, seconds) * 1000)]
        if self._pipe[0] in events:
            os.read(self._pipe[0], 4096)
            return None
        return bool(events)

    def interrupt(self) -> None:
        try:
            os.write(self._pipe[1], b"!")
        except OSError:
            pass  # full: an interrupt is under way; or closed: there is nothing to interrupt

    # ------------------------------------------------------------ the end

    def _let_go(self) -> None:
        if self._ear is not None:
            self._ear.connection.close()
            self._ear = None

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


def pushes(because: str) -> None:
    """Say once how this process hears of others: at once."""
    _logger.info("Other processes wake this one at once (push): %s", because)


def polls(because: str) -> None:
    """Say once how this process hears of others: by looking."""
    _logger.info("This process looks for news of others at intervals (poll): %s", because)


class HintsOfTransaction(NoHints):
    """Sending only, in a transaction of the user's: its commit delivers, to everybody, what a rollback takes back."""

    def __init__(self, session: Session, notify: Statement, channel: str) -> None:
        super().__init__()
        self._session = session
        self._notify = notify
        self._channel = channel
        self._sender = uuid4(os.urandom(16))  # nobody's: this process shall hear it, too

    def publish(self, kind: str, ids: Iterable[str]) -> None:
        for payload in payloads(self._sender, [(kind, identifier) for identifier in ids]):
            self._session.run(self._notify, {"channel": self._channel, "payload": payload})


def _parsed(payload: bytes) -> object:
    """Anyone may notify on any channel, so this can be anything."""
    try:
        return json.loads(payload)
    except ValueError:
        return None
