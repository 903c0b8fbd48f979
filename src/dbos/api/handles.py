"""Handles: a workflow by its id, and ways to learn what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Self, TypeVar

from dbos.api.performers import APPLICATION, Performer
from dbos.api.twins import refuse_on_loop
from dbos.error import DBOSException
from dbos.model.status import WorkflowStatus
from dbos.runtime.admission import Started
from dbos.runtime.context import Attempt
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation, Outcome
from dbos.runtime.operations.inspection import require_status
from dbos.runtime.outcomes import POLLING_SECONDS, get_result, require_polling
from dbos.runtime.outcomes import wait_first as first_of

R = TypeVar("R")


class _Handle(Generic[R]):
    """What both handles share. A handle can be pickled: it then knows the id alone, and belongs to the application."""

    shard_key: str | None = None

    def __init__(
        self,
        workflow_id: str,
        attempt: Attempt | None = None,
        must_exist: bool = True,
        performer: Performer = APPLICATION,
    ) -> None:
        self.workflow_id = workflow_id
        self._attempt = attempt
        self._must_exist = must_exist
        self._performer = performer

    @classmethod
    def of(cls, started: Started, performer: Performer = APPLICATION) -> Any:
        """The handle of a workflow that was just started."""
        return cls(started.workflow_id, started.attempt, performer=performer)

    @classmethod
    def to(cls, workflow_id: str, performer: Performer) -> Self:
        """The handle of a workflow that there is."""
        return cls(workflow_id, performer=performer)

    @classmethod
    def to_all(cls, workflow_ids: Sequence[str], performer: Performer) -> list[Self]:
        """The handles of workflows that there are."""
        return [cls.to(each, performer) for each in workflow_ids]

    def get_workflow_id(self) -> str:
        """The id of the workflow."""
        return self.workflow_id

    def _result(self, engine: Engine, polling_interval_sec: float) -> Operation[Outcome[R]]:
        require_polling(polling_interval_sec)
        return get_result(engine, self.workflow_id, self._attempt, polling_interval_sec, self._must_exist)

    def _status(self, engine: Engine) -> Operation[WorkflowStatus]:
        return require_status(engine, self.workflow_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.workflow_id, None, self._must_exist)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.workflow_id!r})"


class WorkflowHandle(_Handle[R]):
    """A workflow, for synchronous code."""

    def get_result(self, *, polling_interval_sec: float = POLLING_SECONDS) -> R:
        """Wait for the workflow and return its result, or raise its error.

        Args:
            polling_interval_sec: How often to look, in seconds, should no notification come.

        Raises DBOSAwaitedWorkflowCancelledError if it was cancelled, DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded if
        it was put aside, DBOSNonExistentWorkflowError if it does not exist, and RuntimeError on a running event loop.
        """
        refuse_on_loop(
            "WorkflowHandle.get_result", waits=True, instead="await get_result_async(workflow_id) of DBOS or the client"
        )
        return self._performer.perform(lambda engine: self._result(engine, polling_interval_sec)).unwrap()

    def get_status(self) -> WorkflowStatus:
        """How the workflow stands. Raises DBOSNonExistentWorkflowError."""
        return self._performer.perform(self._status)


class WorkflowHandleAsync(_Handle[R]):
    """A workflow, for coroutines."""

    async def get_result(self, *, polling_interval_sec: float = POLLING_SECONDS) -> R:
        """Wait for the workflow and return its result, or raise its error; see `WorkflowHandle.get_result`."""
        return (await self._performer.perform_async(lambda engine: self._result(engine, polling_interval_sec))).unwrap()

    async def get_status(self) -> WorkflowStatus:
        """How the workflow stands. Raises DBOSNonExistentWorkflowError."""
        return await self._performer.perform_async(self._status)


AnyHandle = TypeVar("AnyHandle", bound=_Handle[Any])


def wait_first(
    engine: Engine, handles: Sequence[AnyHandle], *, polling_interval_sec: float = POLLING_SECONDS
) -> Operation[AnyHandle]:
    """Wait until one of the workflows has ended and return its handle, the earliest in the list if several have.

    Args:
        handles: Of the workflows.
        polling_interval_sec: How often to look, in seconds, should no notification come.

    Raises ValueError for an empty list, and DBOSException for what is no list of handles.
    """
    if not isinstance(handles, Sequence) or not all(isinstance(each, _Handle) for each in handles):
        raise DBOSException(f"wait_first() takes a list of workflow handles, not {handles!r}")
    return _first(engine, handles, polling_interval_sec)


def _first(engine: Engine, handles: Sequence[AnyHandle], polling_interval_sec: float) -> Operation[AnyHandle]:
    winner = yield from first_of(engine, [handle.workflow_id for handle in handles], polling_interval_sec)
    return next(handle for handle in handles if handle.workflow_id == winner)
