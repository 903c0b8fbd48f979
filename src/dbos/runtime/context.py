"""Where am I: the workflow attempt that runs here, the step it is in, and the transaction that is open.

Everything hangs on context variables, so it follows the user's code through `asyncio` tasks and `to_thread`. An
`Attempt` is one execution of one workflow by this process; its epoch is the right to write.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dbos.error import (
    DBOSException,
    DBOSUnexpectedStepError,
    DBOSWorkflowCancelledError,
    DBOSWorkflowConflictIDError,
)
from dbos.fields import dataclass
from dbos.lazy import asyncio
from dbos.model.serialization import WorkflowSerializationFormat, require_format
from dbos.model.workflow import Status, StepRow
from dbos.runtime.identity import Identity, acting_as
from dbos.runtime.operation import Ask, Operation, Outcome
from dbos.runtime.variables import holding, put_back
from dbos.telemetry.metrics import CANCELLED, TAKEN_OVER

if TYPE_CHECKING:
    from dbos.runtime.consequences import Failures
    from dbos.runtime.executor import Executor
    from dbos.store.records import Record
    from dbos.telemetry.carrier import Carrier

FRESH_SECONDS = 0.08
"""How old the knowledge "this attempt still owns its workflow" may be when a step starts. A cancellation by another
process must keep a step from starting within 100 ms; hot loops learn it anew with every checkpoint and pay nothing."""


@dataclass(slots=True)
class StepStatus:
    """The step that is running. Attempts count from 0 and, like their maximum, are None unless retries are allowed."""

    step_id: int
    current_attempt: int | None = None
    max_attempts: int | None = None


class Attempt:
    """One execution of one workflow by this process."""

    __slots__ = (
        "_futures",
        "_numbers",
        "carrier",
        "deadline_ms",
        "ended",
        "engine",
        "epoch",
        "failures",
        "format",
        "history",
        "identity",
        "last_step_id",
        "life",
        "loop",
        "luggage",
        "name",
        "outcome",
        "queue_name",
        "reads_stream",
        "receiving",
        "resumed_epoch",
        "revoked",
        "slot",
        "verified_at",
        "workflow_id",
    )

    def __init__(
        self,
        engine: Executor,
        workflow_id: str,
        name: str,
        epoch: int,
        deadline_ms: int | None,
        identity: Identity,
        history: dict[int, StepRow] | None = None,
        life: str = "",
        resumed_epoch: int = 0,
    ) -> None:
        self.engine = engine
        self.workflow_id = workflow_id
        self.name = name
        self.epoch = epoch
        self.deadline_ms = deadline_ms
        self.identity = identity
        self.history = history or None  # recorded steps of earlier attempts; None for a fresh workflow
        self.life = life  # names the call that started the workflow, lest one of the same id before it is meant
        self.format = WorkflowSerializationFormat.DEFAULT  # of its outcome and of what it publishes
        self.resumed_epoch = resumed_epoch  # what executions up to this one failed with elsewhere counts no more
        self.verified_at = time.monotonic()  # when we last knew that the epoch is still ours
        self.revoked: Status | None = None  # CANCELLED, or PENDING: taken over by another attempt
        self.outcome: Outcome[Any] | None = None  # set once it is durable
        self.loop: asyncio.AbstractEventLoop | None = None  # that carries it, if its body is a coroutine
        self.slot: tuple[str, str | None] | None = None  # of a limited queue, and its partition: free when this ends
        self.ended = False  # nothing runs here any more, whatever came of it
        self.reads_stream = False  # its body waits for a value of a stream: another must not, at the same time
        self._futures: WeakKeyDictionary[asyncio.Future[Any], int] | None = None
        self.receiving: set[str] = set()  # topics that a call waits for a message on
        self.queue_name: str | None = None  # that it was taken from
        self.carrier: Carrier | None = None  # of the trace that it belongs to, if that is known before it runs
        self.luggage: tuple[Record, ...] = ()  # becomes durable with the next checkpoint
        self.failures: Failures | None = None  # of its steps
        self.last_step_id = 0  # that was drawn
        self._numbers = itertools.count(1)

    @property
    def futures(self) -> WeakKeyDictionary[asyncio.Future[Any], int]:
        """Those that its body waits for together, numbered as first waited for."""
        if self._futures is None:
            self._futures = WeakKeyDictionary()
        return self._futures

    def next_step_id(self) -> int:
        """Draw a step number; from 1, in order of call, before any I/O."""
        self.last_step_id = step_id = next(self._numbers)
        return step_id

    def recorded_next(self) -> StepRow | None:
        """What an earlier attempt recorded at the next number, without drawing it.

        Exact unless another thread of the workflow draws a number just now, as no deterministic workflow does.
        """
        number = next(self._numbers)
        self._numbers = itertools.count(number)
        return None if self.history is None else self.history.get(number)

    def format_of(self, asked: WorkflowSerializationFormat) -> WorkflowSerializationFormat:
        """How something it publishes is stored: as asked, or else as its outcome will be. Raises DBOSException."""
        asked = require_format(asked)
        return self.format if asked is WorkflowSerializationFormat.DEFAULT else asked

    def token_of(self, step_id: int) -> str:
        """Names a step of this life of the workflow, the same in every execution, for what it writes elsewhere."""
        return f"{self.life or self.workflow_id}:{step_id}"

    def recorded(self, step_id: int, name: str) -> StepRow | None:
        """What an earlier attempt recorded at this number.

        Raises DBOSUnexpectedStepError if that was another step: the workflow's code is not deterministic, or changed.
        """
        if self.history is None:
            return None
        row = self.history.get(step_id)
        if row is not None and row.function_name != name:
            raise DBOSUnexpectedStepError(self.workflow_id, step_id, name, row.function_name)
        return row

    def revoke(self, status: Status) -> None:
        """The right to write is gone: the next step does not start, and whoever waits inside, or for it, wakes up."""
        self.revoked = status
        self.engine.waiters.wake("attempt", self.workflow_id)
        self.engine.waiters.wake("workflow", self.workflow_id)

    def revocation(self) -> DBOSWorkflowCancelledError | DBOSWorkflowConflictIDError:
        """The exception that ends this attempt; neither is an `Exception`, so user code does not swallow it."""
        if self.revoked is Status.CANCELLED:
            return DBOSWorkflowCancelledError(f"Workflow {self.workflow_id} was cancelled")
        return DBOSWorkflowConflictIDError(self.workflow_id)

    def must_verify(self) -> bool:
        """Is it too long ago that we knew the epoch to be ours?"""
        return self.revoked is not None or time.monotonic() - self.verified_at > FRESH_SECONDS

    def verify(self) -> Operation[None]:
        """Ask the store whether the epoch is still ours; raise what ends this attempt if not."""
        if self.revoked is None:
            asked_at = time.monotonic()
            standing = yield Ask(self.engine.standing, self.workflow_id)
            if standing is not None and standing[1] == self.epoch and standing[0] == Status.PENDING:
                self.verified_at = asked_at
                return
            self.lose(standing)
        raise self.revocation()

    def verify_life(self) -> Operation[None]:
        """Ask the store whether the workflow of our id is the one we run, and not one begun after that was deleted."""
        if self.revoked is None:
            row = yield Ask(self.engine.load, self.workflow_id)
            standing = None if row is None or (row.owner_xid or "") != self.life else (row.status, row.epoch)
            if standing == (Status.PENDING, self.epoch):
                return
            self.lose(standing)
        raise self.revocation()

    def verify_refused(self) -> Operation[None]:
        """The same after a write of ours was refused: if the epoch is not ours, the write was fenced."""
        try:
            yield from self.verify()
        except (DBOSWorkflowCancelledError, DBOSWorkflowConflictIDError):
            self.count_fenced()
            raise

    def lose(self, standing: tuple[str, int] | None) -> None:
        """The workflow is not ours any more: status and epoch that it has instead; None if it is gone."""
        cancelled = standing is not None and standing[0] == Status.CANCELLED
        self.revoke(Status.CANCELLED if cancelled else Status.PENDING)

    def count_fenced(self) -> None:
        """A write was refused because this attempt has lost its workflow."""
        self.engine.metrics.writes_fenced.add(CANCELLED if self.revoked is Status.CANCELLED else TAKEN_OVER)

    def ensure_going(self) -> None:
        """Raises what ends this attempt, if it is over or the engine stops. Never an `Exception`: it is no failure."""
        if self.revoked is not None or self.engine.closed:
            raise self.revocation()

    def confirm(self) -> None:
        """A guarded write of ours was committed just now: the epoch is ours."""
        self.verified_at = time.monotonic()


class OpenTransaction:
    """A transaction of the user's that is running: its session, and whose it is."""

    __slots__ = ("name", "outer", "over", "owner", "session")

    def __init__(self, name: str, owner: object, session: Any, outer: OpenTransaction | None) -> None:
        self.name = name
        self.owner = owner
        self.session = session
        self.outer = outer
        self.over = False  # for tasks that were started inside and live on


_attempt: ContextVar[Attempt | None] = ContextVar("dbos_attempt", default=None)
_step: ContextVar[StepStatus | None] = ContextVar("dbos_step", default=None)
_transaction: ContextVar[OpenTransaction | None] = ContextVar("dbos_transaction", default=None)


def current_attempt() -> Attempt | None:
    """The workflow attempt this code runs in."""
    return _attempt.get()


def current_step() -> StepStatus | None:
    """The step this code runs in."""
    return _step.get()


@contextmanager
def outside() -> Generator[None]:
    """Run code as if it stood in no workflow: what it asks for is no step, and what it starts is nobody's child."""
    tokens = _attempt.set(None), _step.set(None)
    try:
        yield
    finally:
        put_back(_attempt, tokens[0])
        put_back(_step, tokens[1])


def inside_step(step: StepStatus) -> AbstractContextManager[None]:
    """Run a step body: until the end of the block this context is inside that step."""
    return holding(_step, step)


def current_transaction() -> OpenTransaction | None:
    """The innermost transaction this code runs in."""
    transaction = _transaction.get()
    while transaction is not None and transaction.over:
        transaction = transaction.outer
    return transaction


def refuse_in_transaction(call: str) -> None:
    """Raises DBOSException inside a transaction: the call would not be part of it, and might wait for its locks."""
    transaction = current_transaction()
    if transaction is not None:
        raise DBOSException(
            f"Invalid call to `{call}` inside a transaction: it would not be part of {transaction.name}. "
            "Call it from the body of the workflow instead."
        )


@contextmanager
def inside_transaction(name: str, owner: object, session: Any) -> Generator[None]:
    """Run the function of a transaction: until the end of the block this context is inside it."""
    transaction = OpenTransaction(name, owner, session, current_transaction())
    token = _transaction.set(transaction)
    try:
        yield
    finally:
        transaction.over = True
        put_back(_transaction, token)


def workflow_body() -> Attempt | None:
    """The attempt whose workflow body runs here, or None outside a workflow and inside a step."""
    return _attempt.get() if _step.get() is None else None


def require_workflow_body(call: str) -> Attempt:
    """The attempt whose body runs here. Raises DBOSException if `call` is made anywhere else."""
    attempt = _attempt.get()
    if attempt is None:
        raise DBOSException(f"{call}() must be called from within a workflow")
    if _step.get() is not None:
        raise DBOSException(
            f"{call}() must be called from within a workflow, not from within a step: "
            f"call it from the body of {attempt.name} instead"
        )
    return attempt


@contextmanager
def inside(attempt: Attempt) -> Generator[None]:
    """Run a workflow body: a fresh scope, restored at the end."""
    tokens = _attempt.set(attempt), _step.set(None)
    try:
        with acting_as(attempt.identity):
            yield
    finally:
        put_back(_attempt, tokens[0])
        put_back(_step, tokens[1])
