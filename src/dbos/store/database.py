"""The contract that a dialect fulfils, and the words in which the store speaks about failures.

A `Database` knows how to open sessions of one dialect and what the errors of its driver mean; a `Session` is one
connection used by one thread at a time. `pool.py` owns the sessions and tries again where trying again is right;
nothing above it ever sees an error of a driver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from dbos.error import DBOSException
from dbos.fields import NamedTuple, dataclass
from dbos.store.hints import Hints
from dbos.store.records import Record
from dbos.store.statements import Statement, Statements

if TYPE_CHECKING:
    from dbos.store.pool import Pool

Row = tuple[Any, ...]
Results = list[Row | None]


class Verdict(Enum):
    """What an error of the driver means for the one who tried."""

    BUSY = "another process is writing: try again at once, its turn is short"
    HELD = "a lock was not given in time: nothing was written, try again in a moment, and let others go on meanwhile"
    RETRY = "nothing was written, the connection is sound: try again in a moment"
    RECONNECT = "the connection is lost or useless, and whether a commit landed is unknown"
    REFUSED = "this statement with these values will never be accepted"


class StoreClosed(DBOSException):
    """The store was closed, or belongs to the process that this one was forked from."""


class JournalClosed(StoreClosed):
    """The journal closed before it acknowledged the record. Only one that was in flight just then may be written."""


class StoreDamaged(StoreClosed):
    """The database was pulled away under the running process. What was acknowledged stays true; nothing more is."""


class ValueRefused(DBOSException):
    """The database cannot hold a value: an id or a payload with NUL characters or lone surrogates, or out of range."""


class RowsHeld(DBOSException):
    """Somebody else's transaction holds a row or a key that a batch of the journal waits for."""


class KeyTaken(DBOSException):
    """Somebody else has just inserted a row of this key: what was asked before is out of date."""


class StoreSettings(NamedTuple):
    """Where the system database is and how to treat it."""

    url: str  # sqlite:///..., postgresql://..., postgres://..., postgresql+psycopg://...
    schema: str = "dbos"  # Postgres only
    pool_size: int = 20  # bound of all our connections together
    engine: Any = None  # a SQLAlchemy Engine to take raw driver connections from; never disposed by us
    connect_args: Mapping[str, Any] = MappingProxyType({})  # for the driver; win over our defaults
    idle_transaction_timeout_seconds: float = 60.0  # of the server for our connections; <= 0 leaves its own
    query_timeout_seconds: float = 30.0  # for the queries of people
    run_migrations: bool = True  # False: verify only
    use_listen_notify: bool = True
    coalesce_seconds: float = 0.01  # at least so far apart are two transactions that notify other processes
    listens: bool = True  # False: tells the others of changes, but is not told
    patient: bool = True  # waits for a database that is away; False: the loss of a connection is an error
    application_name: str = ""  # for messages


class Role(Enum):
    """What a session is for."""

    WRITER = "the journal's commits, in SQLite every other write as well"
    READER = "reads, on Postgres management too"
    LISTENER = "wake-ups"


class Session(Protocol):
    """One connection, used by one thread at a time."""

    def run(self, statement: Statement, values: Mapping[str, object]) -> list[Row]:
        """Run one statement: as a transaction of its own unless inside `transaction`."""

    def run_within(self, timeout_seconds: float, statement: Statement, values: Mapping[str, object]) -> list[Row]:
        """Run one query that gives up after a while; raises `DBOSQueryTimeoutError`."""

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside commits together, or not at all."""

    def write_batch(self, records: Sequence[Record]) -> tuple[Results, int]:
        """Write records in one transaction; the result of each, and how many statements it took."""

    def abort(self) -> None:
        """From any thread: make whatever blocks in the connection fail soon."""

    def close(self) -> None:
        """Let go of the connection, whatever state it is in."""


class Database(Protocol):
    """One dialect at one address."""

    dialect: str
    statements: Statements
    one_writer: bool  # may only one session write at a time?
    unites_indexes: bool  # does its planner find the rows of an `or` in one index for each alternative?
    opening_seconds: float  # what a session takes to open: worth waiting for one that is there

    def connect(self, role: Role) -> Session:
        """Open a session."""

    def give_up_opening(self) -> None:
        """From any thread: whoever waits for a session to open fails soon, and none opens any more."""

    def borrow(self, connection: Any) -> Session:
        """A session on a connection of the user's; raises `DBOSException` for one of another driver."""

    def hints(self, pool: Pool) -> Hints:
        """Wake-ups between the processes that share this database."""

    def hints_within(self, session: Session) -> Hints:
        """The same, given by the commit of the user's transaction that a borrowed session is in."""

    def classify(self, error: BaseException) -> Verdict | None:
        """What an error means; None if it does not come from the driver."""

    def translate(self, error: BaseException) -> Exception:
        """An error of our own that says the same without naming secrets."""


@dataclass(slots=True)
class Counters:
    """What the store did so far. Tests hold by it what a workflow costs."""

    commits: int = 0  # batches of the journal that were committed
    records: int = 0  # records in them
    statements: int = 0  # statements in them
    largest_batch: int = 0  # records in the largest of them
    queries: int = 0  # reads and management transactions; under many threads only about right
    losses: int = 0  # connections lost in the middle of something: whether it was committed is not known
