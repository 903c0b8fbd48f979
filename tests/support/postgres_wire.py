"""Just enough of the Postgres protocol (version 3) to see what a client asks for.

`ClientStream` cuts a client's bytes into flights, each with the SQL it executes: clients prepare a statement once and
later only name it, so the names are remembered per connection. `ServerStream` cuts the server's bytes into messages.
Neither ever changes a byte.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# Sent instead of a startup message; the answer is one bare byte, not a message.
ENCRYPTION_REQUESTS: Final = {80877103, 80877104}  # SSLRequest, GSSENCRequest

READY_FOR_QUERY: Final = b"Z"
NOTIFICATION_RESPONSE: Final = b"A"

# Locking reads say `for update` and `for no key update`; they write nothing.
WRITE: Final = re.compile(
    r"\b(insert\s+into|delete\s+from|merge\s+into|truncate|commit|create|alter|drop)\b"
    r"|(?<!for )(?<!for no key )\bupdate\b"
    r"|\bappend_to_stream\(",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Flight:
    """Client messages that travel together, up to the one that makes the server answer."""

    payload: bytes
    statements: tuple[str, ...] = ()  # the SQL text of everything executed, in order
    awaits_ready: bool = False  # the server will answer with ReadyForQuery
    asks_encryption: bool = False

    @property
    def is_write(self) -> bool:
        """Whether it changes the database, or commits what earlier flights changed."""
        return any(WRITE.search(statement) for statement in self.statements)

    @property
    def commits(self) -> bool:
        """Whether one of its statements is the end of a transaction, and not merely speaks of what is committed."""
        return any(statement.strip(" ;\n").lower() == "commit" for statement in self.statements)

    def mentions(self, fragment: str) -> bool:
        """Whether one of its statements contains the fragment, in whatever case."""
        return any(fragment.lower() in statement.lower() for statement in self.statements)


class ClientStream:
    """One connection's bytes from client to server."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._started = False
        self._flight = bytearray()
        self._executed: list[str] = []
        self._copy_ended = False
        self._prepared: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}

    def feed(self, data: bytes) -> Iterator[Flight]:
        """The flights that `data` completes."""
        self._unread += data
        while not self._started:
            if len(self._unread) < 8:
                return
            length, code = struct.unpack_from("!II", self._unread)
            if len(self._unread) < length:
                return
            asks_encryption = code in ENCRYPTION_REQUESTS
            self._started = not asks_encryption
            yield Flight(self._take(length), asks_encryption=asks_encryption)
        while (message := _next_message(self._unread)) is not None:
            kind, length = message
            frame = self._take(length)
            self._flight += frame
            self._note(kind, frame[5:])
            # Sync and Query end a round trip. Flush makes the server answer too, but what it executed is committed by
            # the Sync that follows, so its statements count there. The rest (passwords, COPY data, the end) goes as it
            # comes; Parse, Bind, Describe, Execute and Close wait for one of the others.
            if kind in b"SQ":
                # The end of a COPY brings a second Sync; the server ignored the first one.
                awaits_ready = not (kind == b"S" and self._copy_ended)
                yield Flight(self._take_flight(), tuple(self._executed), awaits_ready)
                self._executed.clear()
            elif kind not in b"PBDEC":
                yield Flight(self._take_flight())
            self._copy_ended = kind in b"cf"

    def _note(self, kind: bytes, body: bytes) -> None:
        if kind == b"P":
            name, sql, _ = body.split(b"\0", 2)
            self._prepared[name] = sql.decode(errors="replace")
        elif kind == b"B":
            portal, name, _ = body.split(b"\0", 2)
            self._portals[portal] = self._prepared.get(name, "")
        elif kind == b"E":
            self._executed.append(self._portals.get(body.split(b"\0", 1)[0], ""))
        elif kind == b"Q":
            self._executed.append(body.rstrip(b"\0").decode(errors="replace"))

    def _take(self, length: int) -> bytes:
        frame = bytes(self._unread[:length])
        del self._unread[:length]
        return frame

    def _take_flight(self) -> bytes:
        payload = bytes(self._flight)
        self._flight.clear()
        return payload


class ServerStream:
    """One connection's bytes from server to client."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The messages that `data` completes: kind, and the whole frame."""
        self._unread += data
        while (message := _next_message(self._unread)) is not None:
            kind, length = message
            frame = bytes(self._unread[:length])
            del self._unread[:length]
            yield kind, frame


def _next_message(unread: bytearray) -> tuple[bytes, int] | None:
    """Kind and whole length of the first message, if it is there to its end."""
    if len(unread) < 5:
        return None
    length: int = 1 + struct.unpack_from("!I", unread, 1)[0]
    return (bytes(unread[:1]), length) if len(unread) >= length else None
