"""Postgres: connections as we want them, the way a system database comes to be, and what errors mean.

Nothing here relies on the state of a session beyond speed: names are qualified with the schema, which is quoted in one
place, and nothing depends on `search_path`. Through a connection pooler no state is left there at all (pooler.py).
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import psycopg
from psycopg import conninfo

from dbos.error import DBOSException, DBOSInitializationError
from dbos.store.database import KeyTaken, Role, Session, StoreSettings, ValueRefused, Verdict
from dbos.store.engine import take_connection
from dbos.store.hints import Hints, NoHints
from dbos.store.pool import Pool
from dbos.store.postgres.hints import HintsOfTransaction, PostgresHints, polls
from dbos.store.postgres.notifier import channel_of
from dbos.store.postgres.opening import Opened, Openings
from dbos.store.postgres.pooler import session_settings, settle
from dbos.store.postgres.rights import LACKS_RIGHT, to_use_schema
from dbos.store.postgres.session import PostgresSession
from dbos.store.quoting import quote
from dbos.store.statements import Statements

APPLICATION_NAME = "dbos_transact"  # what pg_stat_activity shows

# Found dead within about 15 s, wherever the other side went.
_CONNECTION_DEFAULTS: Mapping[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

_OURS = {"conninfo", "autocommit", "row_factory", "cursor_factory"}  # arguments of the driver: not to choose
_ENCODING = {"client_encoding": "UTF8"}  # nor is this, wherever it is said: batches are written in it

_RETRY_STATES = {
    "40001", "40P01",  # serialization failure, deadlock
    "57014",  # statement timeout or cancel
    "53000", "53100", "53200", "53400",  # out of resources, disk full, out of memory, configuration limit
    "25P02",  # in failed transaction: only after another failure
}  # fmt: skip
_RECONNECT_STATES = {
    "25006",  # the primary was demoted: find the new one
    "25P03", "57P01", "57P02", "57P03", "57P05",  # terminated, crashed, starting up or shutting down, idle too long
    "53300",  # too many connections: when connecting
}  # fmt: skip
_STATEMENT_LOST_STATES = {"26000", "42P05"}  # a prepared statement is unknown or known: a pooler swaps connections


def classify(error: BaseException) -> Verdict | None:
    """What an error means; a pure function of the error."""
    if isinstance(error, UnicodeError):
        return Verdict.REFUSED
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate
    if state is None:  # made by the client: a broken connection, or values it could not send
        lost = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError))
        return Verdict.RECONNECT if lost else Verdict.REFUSED
    if state == "55P03":  # lock timeout
        return Verdict.HELD
    if state in _RETRY_STATES:
        return Verdict.RETRY
    if state in _RECONNECT_STATES or state in _STATEMENT_LOST_STATES or state.startswith(("08", "58")):
        return Verdict.RECONNECT
    return Verdict.REFUSED


class _Vocabulary:
    """How Postgres says what the dialects say differently."""

    def __init__(self, schema: str) -> None:
        self.words: Mapping[str, str] = {
            "schema": quote(schema),
            "schema_text": "'" + schema.replace("'", "''") + "'",
            "json": "jsonb",
            "lock": "for no key update",
            "lock_existence": "for key share",
            "lock_rows": "for no key update of w",
            "lock_to_delete": "for update of w",
            "lock_free_to_delete": "for update of w skip locked",
            "lock_free_rows": "for no key update of w skip locked",
            "lock_definition": "for no key update",
            "hold_definition": "for share",
            "each_pair": "jsonb_each_text",
            "least": "least",
            "unit_separator": "chr(31)",
            "now_ms": "{lease_now_ms}",  # what is due goes by it; two words, so that a test can move one of them
            # Stable within a statement, so that an index can be searched by it. `extract` computes with numeric: slow.
            "lease_now_ms": "cast(date_part('epoch', statement_timestamp()) * 1000 as bigint)",
            "attributes_contain": "attributes @> cast(:attributes as jsonb)",
            "merged_attributes": "coalesce(workflow_status.attributes, '{}') || cast(i.attributes as jsonb)",
        }

    phrases: Mapping[str, Callable[[str], str]] = {
        "each": "select value from json_array_elements_text(cast(:{} as json))".format,
        "item": lambda argument: "(cast({} as json) ->> {})".format(*argument.split(", ")),  # of a JSON list in a text
        "not_consumed": "not {}.consumed".format,
        "elements": "json_array_elements_text(cast({} as json))".format,
    }

    def placeholder(self, name: str, position: int) -> str:
        return f"${position}"

    def inputs(self) -> Mapping[str, Callable[[Mapping[str, type]], str]]:
        # One record as plain parameters is a third faster than arrays of one.
        return {"": _one_row, "_many": _many_rows}


_TYPES = {str: "text", int: "bigint", bool: "boolean"}


def _one_row(columns: Mapping[str, type]) -> str:
    fields = ", ".join(f"cast(:{name} as {_TYPES[kind]}) as {name}" for name, kind in columns.items())
    return f"(select {fields})"


def _many_rows(columns: Mapping[str, type]) -> str:
    arrays = ", ".join(f"cast(:{name} as {_TYPES[kind]}[])" for name, kind in columns.items())
    names = ", ".join(columns)
    return f"(select {names} from unnest({arrays}) as arrays ({names}))"


@lru_cache(maxsize=16)
def _statements(schema: str) -> Statements:
    """One reading serves every database: it takes longer than connecting to one."""
    return Statements(PostgresDatabase.dialect, _Vocabulary(schema))


class PostgresDatabase:
    """The dialect in one schema of one database."""

    dialect = "postgres"
    one_writer = False
    unites_indexes = True
    opening_seconds = 0.01  # of both sides' time

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._prepares = True
        self._openings = Openings()
        self.statements = _statements(settings.schema)

    def connect(self, role: Role) -> PostgresSession:
        connection, own = self.open(role)
        try:
            return self.session(connection, own)
        except BaseException:
            connection.close()
            raise

    def session(self, connection: psycopg.Connection[Any], own: bool) -> PostgresSession:
        """A session over a connection as `open` gives it."""
        return PostgresSession(connection, self.statements, own and self._prepares)

    def borrow(self, connection: Any) -> PostgresSession:
        if not isinstance(connection, psycopg.Connection):
            raise DBOSException(f"The system database is on Postgres and served by psycopg 3, not by {connection!r}")
        return PostgresSession(connection, self.statements, prepares=False)

    def open(self, role: Role) -> Opened:
        """A connection, and whether the session behind it is its own: False through a pooler."""
        return self._openings.open(partial(self._open, role))

    def give_up_opening(self) -> None:
        self._openings.give_up()

    def _open(self, role: Role) -> Opened:
        if self._settings.engine is not None:
            connection = take_connection(self._settings.engine, psycopg.Connection, psycopg.OperationalError)
            connection.rollback()
            connection.autocommit = True
        else:
            connection = psycopg.connect(autocommit=True, **connection_parameters(self._settings))
        try:
            # Whatever the database's default: who counts what runs must see what was committed before he had the lock.
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            return connection, settle(connection, self._session_settings(role))
        except BaseException:
            connection.close()
            raise

    def _session_settings(self, role: Role) -> dict[str, str]:
        """Ours, but for what the URL or the arguments of the driver set."""
        idle_seconds = self._settings.idle_transaction_timeout_seconds if self._settings.engine is None else 0
        given = str(connection_parameters(self._settings).get("options", ""))
        return {name: value for name, value in session_settings(role, idle_seconds).items() if name not in given}

    def hints(self, pool: Pool) -> Hints:
        settings = self._settings
        if not settings.use_listen_notify:
            if settings.listens:
                polls("use_listen_notify is off")
            return NoHints()
        connect = None
        if settings.listens and pool.may_listen:
            connect = partial(self.open, Role.LISTENER)
        elif settings.listens:
            polls("a pool of one connection has none to listen on")
        return PostgresHints(pool, channel_of(settings.schema), connect, settings.coalesce_seconds)

    def hints_within(self, session: Session) -> Hints:
        if not self._settings.use_listen_notify:
            return NoHints()
        return HintsOfTransaction(session, self.statements["notify_by_commit"], channel_of(self._settings.schema))

    def classify(self, error: BaseException) -> Verdict | None:
        if isinstance(error, psycopg.Error) and error.sqlstate in _STATEMENT_LOST_STATES:
            self._prepares = False
        return classify(error)

    def translate(self, error: BaseException) -> Exception:
        if isinstance(error, UnicodeError):
            return ValueRefused(f"A text cannot be stored as UTF-8: {error}")
        if isinstance(error, psycopg.DataError):
            return ValueRefused(f"Postgres cannot store a value: {error}")
        if isinstance(error, psycopg.errors.UniqueViolation):
            return KeyTaken(f"Postgres holds such a row already: {redacted(error, self._settings)}")
        if isinstance(error, LACKS_RIGHT):
            return DBOSException(to_use_schema(error, self._settings.schema, role_of(self._settings)))
        what = "fails" if isinstance(error, psycopg.OperationalError) else "refused a statement"
        return DBOSException(f"Postgres {what}: {redacted(error, self._settings)}")


def connection_parameters(settings: StoreSettings) -> dict[str, Any]:
    """Our defaults, then what the URL says, then the explicit arguments; and what nobody may choose."""
    scheme, rest = settings.url.split("://", 1)
    dialect = scheme.partition("+")[0]
    try:
        given = conninfo.conninfo_to_dict(f"{dialect}://{rest}")
    except psycopg.ProgrammingError:  # its text may hold the password, so it goes no further
        raise DBOSInitializationError(
            "The URL of the system database is malformed: postgresql://user:password@host:5432/database, with special "
            "characters written as %XX"
        ) from None
    defaults = {**_CONNECTION_DEFAULTS, "application_name": APPLICATION_NAME}
    if "," in str(given.get("host", "")):
        defaults["target_session_attrs"] = "read-write"  # of several servers, the primary
    arguments = {key: value for key, value in settings.connect_args.items() if key not in _OURS}
    return {**defaults, **given, **arguments, **_ENCODING}


def role_of(settings: StoreSettings) -> str:
    """The role we log in as, as far as it can be known without a connection."""
    return str(connection_parameters(settings).get("user") or os.environ.get("PGUSER") or getpass.getuser())


def database_address(settings: StoreSettings) -> str:
    """Where the database is, for messages: never with a password."""
    parameters = connection_parameters(settings)
    user = f"{parameters['user']}@" if parameters.get("user") else ""
    host = parameters.get("host") or parameters.get("hostaddr") or "localhost"
    return f"{user}{host}:{parameters.get('port', 5432)}/{parameters.get('dbname', '')}"


def redacted(error: BaseException, settings: StoreSettings) -> str:
    """The text of an error without our password, should the driver have repeated it."""
    password = connection_parameters(settings).get("password")
    return str(error).replace(str(password), "***") if password else str(error)
