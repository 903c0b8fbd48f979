"""A proxy between a client and Postgres that breaks the connection where a test says.

It knows where messages end and which SQL runs, so it can cut exactly before the n-th write reaches the server, or after
the server executed it but before the client hears: the two failures a client cannot tell apart. It also delays,
swallows and refuses, drops notifications, and counts round trips. Each connection has two threads, both ended by
`close()`.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urlsplit

from tests.support.postgres_wire import NOTIFICATION_RESPONSE, READY_FOR_QUERY, ClientStream, Flight, ServerStream

CutPhase = Literal["before", "after"]

RECEIVE_BYTES = 65_536
CONNECT_TIMEOUT_SECONDS = 10.0


@dataclass(slots=True)
class Cut:
    """A cut that was asked for. `done` is set when the connection is cut, `flight` then tells what was cut off."""

    remaining: int  # matching flights still to come, the victim included
    phase: CutPhase
    matches: Callable[[Flight], bool]
    done: threading.Event = field(default_factory=threading.Event)
    flight: Flight | None = None


class PostgresProxy:
    """Listens on a loopback port and forwards to the server of `url`; `proxy.url` is the same database through it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._upstream = _address(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        credentials, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}").geturl()

        self.round_trips = 0  # times a client sent something and had to wait for the answer
        self.writes = 0  # flights that changed the database or committed
        self.notifications_dropped = 0
        self._changed = threading.Condition()  # guards the counters above and everything below
        self._cuts: list[Cut] = []
        self._delay_seconds = 0.0
        self._blackholed = False
        self._refusing = False
        self._dropping_notifications = False
        self._closed = False
        self._connections: set[_Connection] = set()
        self._acceptor = threading.Thread(target=self._accept, name="proxy-acceptor", daemon=True)
        self._acceptor.start()

    # ------------------------------------------------------------ what a test can ask for

    def cut_at(self, n: int = 1, phase: CutPhase = "before", containing: str = "") -> Cut:
        """Cut the connection of the n-th write from now (1 is the next), on whichever connection it comes: `before` it
        reaches the server, or `after` the server executed it and before the client gets the answer. With `containing`,
        count the flights that execute SQL containing that text instead."""
        return self._cut(n, phase, lambda flight: flight.mentions(containing) if containing else flight.is_write)

    def cut_at_commit(self, n: int = 1, phase: CutPhase = "before") -> Cut:
        """The same for the n-th COMMIT; `containing="commit"` would find READ COMMITTED, and settings, as well."""
        return self._cut(n, phase, lambda flight: flight.commits)

    def _cut(self, n: int, phase: CutPhase, matches: Callable[[Flight], bool]) -> Cut:
        cut = Cut(n, phase, matches)
        with self._changed:
            self._cuts.append(cut)
        return cut

    def cut_now(self) -> None:
        """Cut every open connection."""
        with self._changed:
            connections = list(self._connections)
        for connection in connections:
            connection.cut()

    def delay(self, seconds: float) -> None:
        """Let every flight from a client take so much longer; 0 ends it."""
        with self._changed:
            self._delay_seconds = seconds

    def blackhole(self) -> None:
        """Let nothing through in either direction, and tell nobody. What was sent arrives after `heal`, as it does
        when a network comes back before TCP gives up."""
        with self._changed:
            self._blackholed = True

    def refuse(self) -> None:
        """Hang up on new connections; open ones stay."""
        with self._changed:
            self._refusing = True

    def lead_to(self, url: str) -> None:
        """Connect from now on to another server; open connections stay."""
        self._upstream = _address(url)

    def drop_notifications(self) -> None:
        """Swallow every notification on its way to a client."""
        with self._changed:
            self._dropping_notifications = True

    def heal(self) -> None:
        """Forget everything that was asked for, and forward faithfully from now on."""
        with self._changed:
            self._cuts.clear()
            self._delay_seconds = 0.0
            self._blackholed = self._refusing = self._dropping_notifications = False
            self._changed.notify_all()

    def close(self) -> None:
        """Stop listening, cut every connection, and wait for every thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with suppress(OSError):  # wake the acceptor; closing a listening socket alone wakes nobody
            socket.create_connection(("127.0.0.1", self.port), CONNECT_TIMEOUT_SECONDS).close()
        self._acceptor.join()
        self._listener.close()
        with self._changed:
            connections = list(self._connections)
        for connection in connections:
            connection.cut()
            connection.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ what the connections ask

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with self._changed:
                closed, refusing = self._closed, self._refusing
            if closed or refusing:
                client.close()
            else:
                self._connect(client)
            if closed:
                return

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream, CONNECT_TIMEOUT_SECONDS)
        except OSError:
            client.close()  # the server is down, and so are we
            return
        connection = _Connection(self, client, server)
        with self._changed:
            self._connections.add(connection)
        connection.start()

    def _admit(self, connection: "_Connection", flight: Flight) -> CutPhase | None:
        """Count a flight that is about to be forwarded, and say whether to cut there."""
        with self._changed:
            if flight.awaits_ready:
                # Sent while an answer is still due, it is pipelined: it makes nobody wait once more.
                self.round_trips += connection.answers_due == 0
                connection.answers_due += 1
            self.writes += flight.is_write
            for cut in self._cuts:
                cut.remaining -= cut.matches(flight)
            if victim := next((cut for cut in self._cuts if cut.remaining == 0), None):
                self._cuts.remove(victim)
                victim.flight = flight
                connection.doom = victim
                return victim.phase
        return None

    def _wait_for_passage(self, connection: "_Connection", *, delayed: bool = False) -> None:
        """Return when the network lets something through, or the connection is over."""

        def over() -> bool:
            return self._closed or connection.is_cut

        with self._changed:
            if delayed and self._delay_seconds:
                self._changed.wait_for(over, self._delay_seconds)
            self._changed.wait_for(lambda: over() or not self._blackholed)

    def _passes(self, connection: "_Connection", kind: bytes) -> bool:
        """Whether a message from the server may reach the client. Cuts the connection when its time has come."""
        with self._changed:
            if kind == READY_FOR_QUERY and connection.answers_due:
                connection.answers_due -= 1
            if kind == NOTIFICATION_RESPONSE and self._dropping_notifications:
                self.notifications_dropped += 1
                return False
            doom = connection.doom
            answered = connection.answers_due == 0
        if doom is None:
            return True
        if answered:
            connection.cut()
        return False

    def _forget(self, connection: "_Connection") -> None:
        with self._changed:
            self._connections.discard(connection)


class _Connection:
    """A client's connection and ours to the server, with a thread for each direction."""

    def __init__(self, proxy: PostgresProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers_due = 0  # guarded, as `doom` and `is_cut`, by the proxy's lock
        self.doom: Cut | None = None  # set: the client hears nothing more
        self.is_cut = False
        self._upward = threading.Thread(target=self._run, name="proxy-to-server", daemon=True)
        self._downward = threading.Thread(target=self._forward_answers, name="proxy-to-client", daemon=True)

    def start(self) -> None:
        self._upward.start()

    def join(self) -> None:
        self._upward.join()

    def cut(self) -> None:
        """End both ends at once; the threads notice and finish. The test is told before the client can notice."""
        with self._proxy._changed:
            self.is_cut = True
            if self.doom is not None:
                self.doom.done.set()
            self._proxy._changed.notify_all()
        _shut(self._client)
        _shut(self._server)

    def _run(self) -> None:
        self._downward.start()
        try:
            with suppress(OSError):  # an end is gone, and with it the connection
                self._forward_flights()
        finally:
            self.cut()
            self._downward.join()
            self._client.close()
            self._server.close()
            self._proxy._forget(self)

    def _forward_flights(self) -> None:
        stream = ClientStream()
        while data := self._client.recv(RECEIVE_BYTES):
            for flight in stream.feed(data):
                if flight.asks_encryption:
                    self._client.sendall(b"N")  # not here: we want to read along
                    continue
                self._proxy._wait_for_passage(self, delayed=True)
                if self._proxy._admit(self, flight) == "before":
                    return
                self._server.sendall(flight.payload)

    def _forward_answers(self) -> None:
        stream = ServerStream()
        try:
            with suppress(OSError):
                while data := self._server.recv(RECEIVE_BYTES):
                    passing = [frame for kind, frame in stream.feed(data) if self._proxy._passes(self, kind)]
                    self._proxy._wait_for_passage(self)
                    self._client.sendall(b"".join(passing))
        finally:
            self.cut()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return parts.hostname, parts.port or 5432


def _shut(end: socket.socket) -> None:
    """Wake whoever is blocked on a socket; closing alone would leave it waiting."""
    with suppress(OSError):  # it was over already
        end.shutdown(socket.SHUT_RDWR)
