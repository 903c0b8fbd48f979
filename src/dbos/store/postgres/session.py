"""One Postgres connection: named statements through the driver, batches through libpq itself.

A batch goes out as one flight: every statement of it prepared, bound and executed, then one `Sync`. Without an explicit
`begin`, everything up to the `Sync` is one transaction, so a batch of any mix costs exactly one round trip.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors, pq

from dbos.error import DBOSException, DBOSQueryTimeoutError
from dbos.store.batch import by_kind, without_repeats
from dbos.store.database import Results, Row
from dbos.store.postgres.arrays import number_array, scalars, text_array
from dbos.store.records import FACTS, Debounce, ReceiveMessage, Record, StartWorkflow
from dbos.store.statements import Statement, Statements, columns_of

REPLY_TIMEOUT_SECONDS = 60.0  # a reply that takes longer counts as a lost connection; keepalives find dead peers sooner

_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE, pq.ExecStatus.NONFATAL_ERROR)

_arrays: dict[type[Record], list[Callable[[Sequence[Any]], bytes | None]]] = {}


def _arrays_of(kind: type[Record]) -> list[Callable[[Sequence[Any]], bytes | None]]:
    """How the columns of many records are written."""
    if kind not in _arrays:
        _arrays[kind] = [text_array if column is str else number_array for column in columns_of(kind).values()]
    return _arrays[kind]


class _Part:
    """The records of one kind in a batch, or a run of them, written by one statement."""

    __slots__ = ("kind", "name", "parameters", "places", "records")

    def __init__(self, kind: type[Record], places: Sequence[int], records: Sequence[Record]) -> None:
        self.kind = kind
        self.places = places
        self.records = records
        if len(records) == 1:
            self.name = kind.__name__
            self.parameters: list[bytes | None] = scalars(records[0])
        else:
            self.name = kind.__name__ + "_many"
            columns = zip(*records, strict=True)
            self.parameters = [array(column) for array, column in zip(_arrays_of(kind), columns, strict=True)]

    def read(self, reply: pq.abc.PGresult, results: Results) -> None:
        """Put what the reply says about each record into its place."""
        answers = _ANSWERS.get(self.kind, ())
        count = reply.command_tuples
        if not answers and count in (0, len(self.records)):  # none, or all: a single record is always one of them
            for place in self.places:
                results[place] = () if count else None
            return
        fields = FACTS[self.kind].key  # what a statement says of a row that was written
        value, columns, answered = reply.get_value, range(len(fields)), tuple(enumerate(answers, len(fields)))
        written = {
            tuple([value(row, column) for column in columns]): tuple(
                [read(value(row, place)) for place, read in answered]
            )
            for row in range(reply.ntuples)
        }
        for place, record in zip(self.places, self.records, strict=True):
            identity = tuple([str(record[field]).encode() for field in fields])
            results[place] = written.pop(identity, None)  # once: a second record for the same row came too late


class PostgresSession:
    """One connection."""

    def __init__(self, connection: psycopg.Connection[Any], statements: Statements, prepares: bool) -> None:
        """`prepares` False: behind a pooler that does not keep prepared statements with their connection.

        Raises DBOSException if the connection speaks another encoding than that of our batches.
        """
        if connection.info.encoding != "utf-8":
            raise DBOSException(
                f"A connection to the system database speaks {connection.info.encoding}, and batches are written in "
                "UTF-8. Let it connect with client_encoding=UTF8."
            )
        self._connection = connection
        self._cursor = psycopg.RawCursor(connection)
        self._statements = statements
        self._prepares = prepares
        self._prepared: set[str] = set()  # of the batches' statements
        self._readiness = select.poll()
        self._awaited: int = select.POLLIN
        self._readiness.register(connection.pgconn.socket, self._awaited)

    def run(self, statement: Statement, values: Mapping[str, object]) -> list[Row]:
        cursor = self._cursor.execute(statement.sql, statement.values(values), prepare=self._prepares)
        return cursor.fetchall() if cursor.description is not None else []

    def run_within(self, timeout_seconds: float, statement: Statement, values: Mapping[str, object]) -> list[Row]:
        try:
            with self._connection.transaction():
                self._cursor.execute(
                    f"set local statement_timeout = {round(timeout_seconds * 1000)};"
                    "set local enable_seqscan = on; set local enable_hashjoin = on; set local enable_mergejoin = on"
                )
                # Not prepared: a statement of many shapes is planned for its values.
                return self._cursor.execute(statement.sql, statement.values(values), prepare=False).fetchall()
        except errors.QueryCanceled as error:
            raise DBOSQueryTimeoutError(timeout_seconds) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            yield

    def write_batch(self, records: Sequence[Record]) -> tuple[Results, int]:
        if len(records) == 1 and type(records[0]).__name__ in self._prepared:
            return self._write_alone(_Part(type(records[0]), (0,), records)), 1
        parts = [part for kind, places, members in by_kind(records) for part in _parts(kind, places, members)]
        results: Results = [None] * len(records)
        for part, reply in zip(parts, self._fly(parts), strict=True):
            part.read(reply, results)
        return results, len(parts)

    def abort(self) -> None:
        try:
            with socket.socket(fileno=os.dup(self._connection.pgconn.socket)) as twin:
                twin.shutdown(socket.SHUT_RDWR)
        except (OSError, psycopg.Error):
            pass  # it is closed already

    def close(self) -> None:
        self._connection.close()

    def _write_alone(self, part: _Part) -> Results:
        """One statement that is prepared needs no pipeline around it: that is a sixth of our own time."""
        libpq = self._connection.pgconn
        libpq.send_query_prepared(part.name.encode(), part.parameters)
        self._flush()
        replies = [*iter(self._get_result, None)]
        if libpq.status != pq.ConnStatus.OK:
            raise psycopg.OperationalError("the connection is lost")
        if replies[0].status in _FAILED:
            raise _error(replies[0])
        results: Results = [None]
        part.read(replies[0], results)
        return results

    # ------------------------------------------------------------ one flight

    def _fly(self, parts: Sequence[_Part]) -> list[pq.abc.PGresult]:
        """Send every statement and one Sync, and collect the reply to each."""
        libpq = self._connection.pgconn
        libpq.enter_pipeline_mode()
        sent: list[str | None] = []  # per expected reply: the statement it prepares, None if it executes one
        for part in parts:
            sql = self._statements[part.name].sql.encode()
            if not self._prepares:
                libpq.send_query_params(sql, part.parameters)
            else:
                if part.name not in self._prepared and part.name not in sent:
                    libpq.send_prepare(part.name.encode(), sql)
                    sent.append(part.name)
                libpq.send_query_prepared(part.name.encode(), part.parameters)
            sent.append(None)
        libpq.pipeline_sync()
        self._flush()
        replies: list[pq.abc.PGresult] = []
        failure: psycopg.Error | None = None
        expected = iter(sent)
        while (reply := self._next_reply()).status != pq.ExecStatus.PIPELINE_SYNC:
            prepares = next(expected, None)
            if reply.status in _FAILED and failure is None:
                failure = _error(reply)
            elif reply.status == pq.ExecStatus.COMMAND_OK and prepares is not None:
                self._prepared.add(prepares)
            else:
                replies.append(reply)
        libpq.exit_pipeline_mode()
        if failure is not None:
            raise failure
        return replies

    def _flush(self) -> None:
        """Get everything onto the wire, reading meanwhile: a server that cannot answer stops listening."""
        libpq = self._connection.pgconn
        while libpq.flush():
            if self._wait(select.POLLIN | select.POLLOUT) & select.POLLIN:
                libpq.consume_input()

    def _next_reply(self) -> pq.abc.PGresult:
        while (reply := self._get_result()) is None:  # None only separates the replies to two statements
            if self._connection.pgconn.status != pq.ConnStatus.OK:
                raise psycopg.OperationalError("the connection is lost")
        return reply

    def _get_result(self) -> pq.abc.PGresult | None:
        libpq = self._connection.pgconn
        while libpq.is_busy():
            self._wait(select.POLLIN)
            libpq.consume_input()
        return libpq.get_result()

    def _wait(self, events: int) -> int:
        if events != self._awaited:
            self._readiness.modify(self._connection.pgconn.socket, events)
            self._awaited = events
        ready = self._readiness.poll(REPLY_TIMEOUT_SECONDS * 1000)
        if not ready:
            raise psycopg.OperationalError("the server did not reply in time")
        return ready[0][1]


def _parts(kind: type[Record], places: Sequence[int], records: Sequence[Record]) -> list[_Part]:
    if len(records) == 1 or FACTS[kind].shares_statement:
        return [_Part(kind, places, records)]
    runs = without_repeats([record[0] for record in records])
    return [_Part(kind, [places[i] for i in run], [records[i] for i in run]) for run in runs]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def _error(reply: pq.abc.PGresult) -> psycopg.Error:
    """The driver's own exception for a failed reply."""
    state = reply.error_field(pq.DiagnosticField.SQLSTATE)
    message = reply.error_message.decode("utf-8", "replace").strip()
    if state is None:
        return psycopg.OperationalError(message)
    try:
        return errors.lookup(state.decode())(message)
    except KeyError:
        return psycopg.DatabaseError(message)


# What it says beyond that, and how it reads.
_ANSWERS: dict[type[Record], tuple[Callable[[bytes | None], Any], ...]] = {
    StartWorkflow: (_number, _number),  # deadline_ms, epoch
    Debounce: (_text, _text),  # workflow_id, owner's token
    ReceiveMessage: (_text, _text),  # message, serialization
}
