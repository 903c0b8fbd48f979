"""A transaction: a step that commits together with the user's own data.

The user's writes and a row that says what the step came to, its witness, become durable in one commit. So the step
happens once, whatever happens around it: an execution that finds the witness replays it instead of running the
function, and one that comes second when both commit takes its own writes back. After that the step is recorded like
any other; a crash in between is repaired by the witness.

Serialization failures, deadlocks and busy files are overcome by running the function again, without limit, because
nothing of the failed try stays. So is the loss of the connection: the witness tells whether the commit arrived.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from dbos.error import DBOSException, DBOSUnexpectedStepError
from dbos.lazy import asyncio
from dbos.model.serialization import Serialization
from dbos.runtime import spans
from dbos.runtime.context import Attempt, StepStatus, current_transaction, inside_step, inside_transaction
from dbos.runtime.operation import Ask, Invoke, Operation, Outcome
from dbos.runtime.registry import TransactionSpec
from dbos.runtime.step import pause, recorded
from dbos.userdata.testimony import Key, Testimony
from dbos.userdata.troubles import is_away, is_clash

if TYPE_CHECKING:
    from dbos.runtime.engine import Engine
    from dbos.userdata.database import UserDatabase

logger = logging.getLogger("dbos")
T = TypeVar("T")

ISOLATION_LEVELS = ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED")

FIRST_PAUSE_SECONDS = 0.001, 0.005  # between two tries; growing, because whoever clashed would clash again
LONGEST_PAUSE_SECONDS = 2.0
LONGEST_BUSY_PAUSE_SECONDS = 0.02  # for a file: its one lock goes to whoever looks at the right moment
NESTED_PATIENCE_SECONDS = 5.0  # inside another transaction, which may itself hold what is waited for
LONG_SECONDS = 60.0  # a transaction that took longer asks, before it commits, whether the workflow is still its own:
# so that a witness which is much older than that can be forgotten (services/forgetting.py)


def check_isolation_level(level: object) -> str:
    """The level. Raises DBOSException for one that does not exist."""
    if not isinstance(level, str) or level not in ISOLATION_LEVELS:
        raise DBOSException(
            f"The isolation level of a transaction is one of {', '.join(ISOLATION_LEVELS)}; not {level!r}"
        )
    return level


def require_sqlalchemy(what: str) -> None:
    """Raises DBOSException if SQLAlchemy, which sessions are made of, is not installed."""
    if find_spec("sqlalchemy") is None:
        raise DBOSException(f"{what} needs SQLAlchemy: install it, or dbos with its extra `transactions`")


def perform(attempt: Attempt, spec: TransactionSpec, call: Callable[[], Any]) -> Operation[Outcome[Any]]:
    """Run a `@DBOS.transaction` of a workflow under the next number, in the application's database."""
    step_id = attempt.next_step_id()
    running = _in_application_database(attempt, step_id, spec, call)
    running = spans.of_step(attempt, spec.name, running, "transaction")
    return recorded(attempt, step_id, spec.name, running, counted=True)


def _in_application_database(
    attempt: Attempt, step_id: int, spec: TransactionSpec, call: Callable[[], Any]
) -> Operation[Outcome[Any]]:
    database: UserDatabase = yield Ask(attempt.engine.user_database)
    return (yield from transact(Work(database, spec, call, False, attempt, step_id, owner=None)))


def perform_within(work: Work) -> Operation[Outcome[Any]]:
    """Run a transaction of a datasource: recorded under the next number of a workflow, or on its own."""
    if work.attempt is None:
        return transact(work)
    running = spans.of_step(work.attempt, work.spec.name, transact(work), "transaction")
    return recorded(work.attempt, work.step_id, work.spec.name, running, counted=True)


@dataclass(frozen=True, slots=True)
class Work:
    """A function to run in a transaction, and everything known about it."""

    database: UserDatabase
    spec: TransactionSpec
    call: Callable[[], Any]
    awaited: bool
    attempt: Attempt | None  # of the workflow whose step it is, if it is one
    step_id: int
    owner: object  # the datasource; None: the application's database
    sessions: list[Any] = field(default_factory=list)  # that are open; what is left is cleared away at the end

    @property
    def engine(self) -> Engine | None:
        """That of the workflow; on its own, a transaction needs none."""
        return None if self.attempt is None else self.attempt.engine

    @property
    def key(self) -> Key:
        attempt = self.attempt
        assert attempt is not None
        executor_id = attempt.engine.owner.executor_id
        epochs = attempt.epoch, attempt.resumed_epoch
        return Key(attempt.workflow_id, self.step_id, attempt.life, *epochs, executor_id)

    @property
    def codec(self) -> Serialization:
        assert self.attempt is not None
        return self.database.codec or self.attempt.engine.codec

    def phase(self, session: Any, work: Callable[..., Any], *arguments: Any) -> Invoke:
        """The effect of a phase of the transaction. No driver likes to be cut short in the middle of a call."""
        owed = work == self.database.commit
        return Invoke(self.database.phase(session, work, *arguments), self.awaited, lasts=True, owed=owed)


def transact(work: Work) -> Operation[Outcome[Any]]:
    """Run the function until it has an outcome that stays, its witness included if it is a step.

    An awaited one leaves sessions open if it is cut short: whoever awaits it closes them (`Work.sessions`).
    """
    try:
        return (yield from _transact(work))
    finally:
        if not work.awaited:
            for session in work.sessions:
                work.database.close(session)


def _transact(work: Work) -> Operation[Outcome[Any]]:
    looks = work.attempt is not None and work.attempt.epoch > 1  # an execution before this one may have been here
    patience = _Patience(work)
    while True:
        if looks:
            known = yield from _find(work, patience)
            if known is not None:
                return known
        outcome = yield from _try(work, patience)
        if outcome is not None:
            break
        looks = work.attempt is not None
        yield from patience.pause()
    if outcome.error is not None and work.attempt is not None:
        outcome = yield from _testify_failure(work, outcome, patience)
    return outcome


# ------------------------------------------------------------ one try


def _try(work: Work, patience: _Patience) -> Operation[Outcome[Any] | None]:
    """Run the function once in a transaction. None: nothing stays of it that is known, so look and try again."""
    return (yield from _in_session(work, lambda session: _run_and_commit(work, session, patience)))


def _in_session(work: Work, conversation: Callable[[Any], Operation[T]]) -> Operation[T]:
    """Whatever is not committed when the conversation ends is taken back."""
    session = work.database.new_session()
    work.sessions.append(session)
    answer = yield from conversation(session)
    yield work.phase(session, work.database.close)
    work.sessions.remove(session)
    return answer


def _run_and_commit(work: Work, session: Any, patience: _Patience) -> Operation[Outcome[Any] | None]:
    database, begun_at = work.database, time.monotonic()
    begun: Outcome[Any] = yield work.phase(session, database.begin, work.spec.isolation_level)
    if begun.error is not None:
        if patience.covers(begun.error, is_away(begun.error)):
            return None
        raise begun.error
    connection: Any = begun.value
    outcome = yield from _call(work, session)
    if outcome.error is None and work.attempt is not None:
        testimony = _encoded(work, outcome)
        if time.monotonic() - begun_at > LONG_SECONDS:
            yield from work.attempt.verify()
        written: Outcome[bool] = yield work.phase(session, database.testify, work.key, testimony)
        if written.error is not None:
            outcome = Outcome(error=written.error)
        elif not written.value:
            return None  # it is somebody else's: to be found the next time round
    if outcome.error is None:
        committed: Outcome[None] = yield work.phase(session, database.commit)
        if committed.error is None:
            return outcome
        outcome = Outcome(error=committed.error)
    assert outcome.error is not None
    return None if patience.covers(outcome.error, connection.invalidated) else outcome


def _call(work: Work, session: Any) -> Operation[Outcome[Any]]:
    """The function itself."""
    with inside_transaction(work.spec.name, work.owner, session):
        if work.attempt is None:
            outcome: Outcome[Any] = yield Invoke(work.call, work.awaited)
            return outcome
        with inside_step(StepStatus(work.step_id)):
            outcome = yield Invoke(work.call, work.awaited)
            return outcome


# ------------------------------------------------------------ the witness


def _find(work: Work, patience: _Patience) -> Operation[Outcome[Any] | None]:
    """What the step has come to already, if it has."""
    while True:
        answer = yield from _in_session(work, lambda session: _look(work, session))
        if answer.error is None:
            return None if answer.value is None else _decoded(work, answer.value)
        if not patience.covers(answer.error, is_away(answer.error)):
            raise answer.error
        yield from patience.pause()


def _look(work: Work, session: Any) -> Operation[Outcome[Testimony | None]]:
    answer: Outcome[Testimony | None] = yield work.phase(session, work.database.find, work.key)
    return answer


def _testify_failure(work: Work, outcome: Outcome[Any], patience: _Patience) -> Operation[Outcome[Any]]:
    """Write the witness of a function that failed, whose transaction was taken back, in a transaction of its own.

    If somebody else was there first, theirs is the outcome. The failure is what the step came to even if the database
    refuses to hear of it: then it is recorded with the step alone.
    """
    testimony = _encoded(work, outcome)
    while True:
        answer = yield from _in_session(work, lambda session: _testify_alone(work, session, testimony))
        if answer.error is None:
            known = None if answer.value else (yield from _find(work, patience))
            return known or outcome
        if not patience.covers(answer.error, is_away(answer.error)):
            logger.warning("The failure of transaction %s has no witness: %s", work.spec.name, answer.error)
            return outcome
        yield from patience.pause()


def _testify_alone(work: Work, session: Any, testimony: Testimony) -> Operation[Outcome[bool]]:
    database = work.database
    begun: Outcome[Any] = yield work.phase(session, database.begin, "READ COMMITTED")
    if begun.error is not None:
        return Outcome(error=begun.error)
    written: Outcome[bool] = yield work.phase(session, database.testify, work.key, testimony)
    if written.error is None:
        committed: Outcome[None] = yield work.phase(session, database.commit)
        if committed.error is not None:
            return Outcome(error=committed.error)
    return written


def _encoded(work: Work, outcome: Outcome[Any]) -> Testimony:
    """Raises DBOSSerializationError for a value that cannot be stored."""
    if outcome.error is not None:
        error, serialization = work.codec.encode_error(outcome.error)
        return Testimony(work.spec.name, None, error, serialization)
    output, serialization = work.codec.encode(outcome.value, "result")
    return Testimony(work.spec.name, output, None, serialization)


def _decoded(work: Work, testimony: Testimony) -> Outcome[Any]:
    """Raises DBOSUnexpectedStepError for the witness of another function, as for its record."""
    if testimony.name != work.spec.name:
        assert work.attempt is not None
        raise DBOSUnexpectedStepError(work.attempt.workflow_id, work.step_id, work.spec.name, testimony.name)
    if testimony.error is not None:
        return Outcome(error=work.codec.decode_error(testimony.error, testimony.serialization))
    return Outcome(work.codec.decode(testimony.output or "", testimony.serialization))


# ------------------------------------------------------------ patience


class _Patience:
    """Which trouble is overcome by trying again, and how long is waited before that."""

    def __init__(self, work: Work) -> None:
        self._work = work
        busy = work.database.dialect == "sqlite"
        self._pauses = _pauses(LONGEST_BUSY_PAUSE_SECONDS if busy else LONGEST_PAUSE_SECONDS)
        nested = work.attempt is None and current_transaction() is not None
        self._ends_at = time.monotonic() + NESTED_PATIENCE_SECONDS if nested else None

    def covers(self, error: BaseException, lost: bool) -> bool:
        """Is it worth another try? `lost`: the error cost us the connection, or was about getting one.

        Without a witness nobody can tell whether a lost commit arrived: then the loss is the caller's to judge.
        """
        if not isinstance(error, Exception) or not (is_clash(error) or (lost and self._work.attempt is not None)):
            return False
        return self._ends_at is None or time.monotonic() < self._ends_at

    def pause(self) -> Operation[None]:
        """Wait a moment. Raises what ends the attempt, if it is over."""
        seconds = next(self._pauses)
        attempt = self._work.attempt
        if attempt is None:
            sleep: Any = asyncio.sleep if self._work.awaited else time.sleep
            yield Invoke(lambda: sleep(seconds), self._work.awaited)
            return
        yield from pause(attempt, seconds)
        if attempt.must_verify():
            yield from attempt.verify()


def _pauses(longest_seconds: float) -> Iterator[float]:
    """Growing pauses, jittered so that those who clashed do not meet again."""
    shortest, ceiling = FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(shortest, ceiling)
        ceiling = min(ceiling * 2, longest_seconds)
