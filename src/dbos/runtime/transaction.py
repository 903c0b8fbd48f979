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
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from dbos.error import DBOSException, DBOSUnexpectedStepError
from dbos.fields import dataclass, field
from dbos.model.serialization import Serialization
from dbos.runtime import spans
from dbos.runtime.context import Attempt, StepStatus, inside_step, inside_transaction
from dbos.runtime.operation import Ask, Invoke, Operation, Outcome
from dbos.runtime.patience import Patience
from dbos.runtime.registry import TransactionSpec
from dbos.runtime.step import recorded
from dbos.userdata.testimony import Key, Testimony
from dbos.userdata.troubles import is_away

if TYPE_CHECKING:
    from dbos.runtime.engine import Engine
    from dbos.userdata.database import UserDatabase

logger = logging.getLogger("dbos")
T = TypeVar("T")

ISOLATION_LEVELS = ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED")

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


@dataclass(slots=True)
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
    older_life: str | None = None  # of a workflow that had this id before; its witness gives way to ours

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
        return Key(attempt.workflow_id, self.step_id, attempt.life, *epochs, executor_id, self.older_life)

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
    patience = Patience(work.spec.name, work.attempt, work.database.dialect, work.awaited)
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


def _try(work: Work, patience: Patience) -> Operation[Outcome[Any] | None]:
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


def _run_and_commit(work: Work, session: Any, patience: Patience) -> Operation[Outcome[Any] | None]:
    database, begun_at = work.database, time.monotonic()
    begun: Outcome[Any] = yield work.phase(session, database.begin, work.spec.isolation_level, patience.nested)
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


def _find(work: Work, patience: Patience) -> Operation[Outcome[Any] | None]:
    """What the step has come to already, if it has.

    A witness of another life is either older than ours, and gives way, or is that of a workflow that has our id by now.
    """
    while True:
        answer = yield from _in_session(work, lambda session: _look(work, session))
        if answer.error is None:
            return None if answer.value is None else (yield from _heard(work, answer.value))
        if not patience.covers(answer.error, is_away(answer.error)):
            raise answer.error
        yield from patience.pause()


def _heard(work: Work, found: tuple[str, Testimony]) -> Operation[Outcome[Any] | None]:
    life, testimony = found
    assert work.attempt is not None
    if life == work.attempt.life:
        return _decoded(work, testimony)
    yield from work.attempt.verify_life()
    work.older_life = life
    return None


def _look(work: Work, session: Any) -> Operation[Outcome[tuple[str, Testimony] | None]]:
    answer: Outcome[tuple[str, Testimony] | None] = yield work.phase(session, work.database.find, work.key)
    return answer


def _testify_failure(work: Work, outcome: Outcome[Any], patience: Patience) -> Operation[Outcome[Any]]:
    """Write the witness of a function that failed, whose transaction was taken back, in a transaction of its own.

    If somebody else was there first, theirs is the outcome. The failure is what the step came to even if the database
    refuses to hear of it: then it is recorded with the step alone.
    """
    testimony = _encoded(work, outcome)
    while True:
        answer = yield from _in_session(work, lambda session: _testify_alone(work, session, testimony))
        if answer.error is None:
            known = outcome if answer.value else (yield from _find(work, patience))
            if known is not None:
                return known
        elif not patience.covers(answer.error, is_away(answer.error)):
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
