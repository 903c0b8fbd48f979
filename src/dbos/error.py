"""The one error tree. Users write `from dbos import error`; nothing here imports the rest of the library.

`DBOSException` is what `except Exception` catches. `DBOSBaseException` is for signals that steer a workflow and that
user code must not swallow by accident. Facts are attributes; the text says what happened, behind a stable numeric code.
Codes 1 to 28 are the documented ones of the DBOS API; the ones from 101 upward are ours.

Errors are stored and come back in other processes, so all of them survive pickle and copy in one way (`_Storable`).
"""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any


class DBOSErrorCode(Enum):
    """What `dbos_error_code` can be, by name."""

    ConflictingIDError = 1
    RecoveryError = 2
    InitializationError = 3
    WorkflowFunctionNotFound = 4
    NonExistentWorkflowError = 5
    MaxRecoveryAttemptsExceeded = 6
    MaxStepRetriesExceeded = 7
    NotAuthorized = 8
    ConflictingWorkflowError = 9
    WorkflowCancelled = 10
    UnexpectedStep = 11
    QueueDeduplicated = 12
    AwaitedWorkflowCancelled = 13
    AwaitedWorkflowMaxRecoveryAttemptsExceeded = 14
    PatchNondeterminism = 15
    StreamTimeout = 16
    StreamNondeterminism = 17
    StepTimeout = 18
    ConflictingRegistrationError = 25
    QueryTimeout = 26
    WorkflowIDInUse = 27
    StepNondeterminism = 28
    SerializationError = 101
    DeserializationError = 102
    ConcurrentReceive = 103
    StreamClosed = 104
    InvalidArguments = 105


_new: Callable[..., Any] = getattr(copyreg, "__newobj__")  # noqa: B009 (typeshed does not know it)


def reduce_by_state(error: BaseException) -> tuple[Any, ...]:
    """How to pickle an exception by its `args` and attributes, past its constructor.

    By default an exception is rebuilt as `cls(*args)`, which fails, or builds a wrong text, as soon as a constructor
    takes anything but the message. `copyreg.__newobj__` is an opcode of the pickle format, so that stored errors name
    no function of ours.
    """
    return _new, (type(error), *error.args), error.__dict__ or None


class _Storable(BaseException):
    """Makes an exception survive pickle and copy with its type, text and attributes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return reduce_by_state(self)


class _Coded(_Storable):
    """What the two roots share: a message and, for most, a numeric code."""

    dbos_error_code: int | None = None
    status_code: int | None = None  # the HTTP status that fits, where one does

    def __init__(self, message: str, dbos_error_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if dbos_error_code is not None:
            self.dbos_error_code = dbos_error_code

    def __str__(self) -> str:
        if self.dbos_error_code is None:
            return f"DBOS Error: {self.message}"
        return f"DBOS Error {self.dbos_error_code}: {self.message}"


class DBOSException(_Coded, Exception):
    """Every error of this library that a program may want to catch."""


class DBOSBaseException(_Coded, BaseException):
    """A signal that ends an execution; `except Exception` does not catch it."""


class DBOSWorkflowConflictIDError(DBOSBaseException):
    """This execution lost its workflow to another one and must stop; whoever owns it now delivers the outcome."""

    dbos_error_code = DBOSErrorCode.ConflictingIDError.value

    def __init__(self, workflow_id: str) -> None:
        super().__init__(f"Workflow {workflow_id} is no longer owned by this execution")
        self.workflow_id = workflow_id


class DBOSRecoveryError(DBOSException):
    """A workflow could not be recovered."""

    dbos_error_code = DBOSErrorCode.RecoveryError.value

    def __init__(self, workflow_id: str, message: str | None = None) -> None:
        super().__init__(_with_detail(f"Recovery error for workflow ID {workflow_id}", message))
        self.workflow_id = workflow_id
        self.detail = message


class DBOSInitializationError(DBOSException):
    """The configuration, the database or its schema does not let the library start."""

    dbos_error_code = DBOSErrorCode.InitializationError.value

    def __init__(self, message: str) -> None:
        super().__init__(f"Error initializing DBOS: {message}")
        self.detail = message


class DBOSWorkflowFunctionNotFoundError(DBOSException):
    """A stored workflow names a function that this process has not registered."""

    dbos_error_code = DBOSErrorCode.WorkflowFunctionNotFound.value

    def __init__(self, workflow_id: str, message: str | None = None) -> None:
        super().__init__(_with_detail(f"Could not execute workflow {workflow_id}", message))
        self.workflow_id = workflow_id
        self.detail = message


class DBOSNonExistentWorkflowError(DBOSException):
    """No workflow has this ID. `destination` says what it was wanted for: `target`, `` `send` destination ``.

    The older form takes the ID alone and keeps its text.
    """

    dbos_error_code = DBOSErrorCode.NonExistentWorkflowError.value

    def __init__(self, destination: str, destination_id: str | None = None) -> None:
        if destination_id is None:
            super().__init__(f"Sent to non-existent destination workflow ID: {destination}")
            self.destination, self.destination_id = "destination", destination
        else:
            super().__init__(f"Non-existent {destination} workflow ID: {destination_id}")
            self.destination, self.destination_id = destination, destination_id


class MaxRecoveryAttemptsExceededError(DBOSException):
    """The workflow was recovered so often that it is no longer executed; resume it to try again."""

    dbos_error_code = DBOSErrorCode.MaxRecoveryAttemptsExceeded.value

    def __init__(self, wf_id: str, max_retries: int | None = None) -> None:
        limit = "the maximum number of" if max_retries is None else f"its maximum of {max_retries}"
        super().__init__(
            f"Workflow {wf_id} has exceeded {limit} execution or recovery attempts. "
            "Further attempts to execute or recover it will fail until it is resumed."
        )
        self.workflow_id = wf_id
        self.max_retries = max_retries


class DBOSMaxStepRetriesExceeded(DBOSException):
    """A step failed on its last attempt. `errors` holds what every attempt raised, in order."""

    dbos_error_code = DBOSErrorCode.MaxStepRetriesExceeded.value

    def __init__(self, step_name: str, max_retries: int, errors: Sequence[BaseException]) -> None:
        super().__init__(f"Step {step_name} has exceeded its maximum of {max_retries} retries")
        self.step_name = step_name
        self.max_retries = max_retries
        self.errors = list(errors)


class DBOSNotAuthorizedError(DBOSException):
    """The authenticated user has none of the required roles."""

    dbos_error_code = DBOSErrorCode.NotAuthorized.value
    status_code = 403

    def __init__(self, msg: str) -> None:
        super().__init__(msg)
        self.msg = msg


class DBOSConflictingWorkflowError(DBOSException):
    """The ID belongs to a workflow of another function, class or instance."""

    dbos_error_code = DBOSErrorCode.ConflictingWorkflowError.value

    def __init__(self, workflow_id: str, message: str | None = None) -> None:
        super().__init__(_with_detail(f"Conflicting workflow invocation with the same ID ({workflow_id})", message))
        self.workflow_id = workflow_id
        self.detail = message


class DBOSWorkflowCancelledError(DBOSBaseException):
    """Raised inside a cancelled workflow at its next step."""

    dbos_error_code = DBOSErrorCode.WorkflowCancelled.value

    def __init__(self, msg: str) -> None:
        super().__init__(msg)
        self.msg = msg


class DBOSUnexpectedStepError(DBOSException):
    """On replay the workflow asked for another step than the one recorded at this position."""

    dbos_error_code = DBOSErrorCode.UnexpectedStep.value

    def __init__(self, workflow_id: str, step_id: int, expected_name: str, recorded_name: str) -> None:
        super().__init__(
            f"During execution of workflow {workflow_id} step {step_id}, function {recorded_name} was recorded "
            f"when {expected_name} was expected. Check that your workflow is deterministic."
        )
        self.workflow_id = workflow_id
        self.step_id = step_id
        self.expected_name = expected_name
        self.recorded_name = recorded_name
        self.inputs = (workflow_id, step_id, expected_name, recorded_name)


class DBOSQueueDeduplicatedError(DBOSException):
    """Another unfinished workflow in the queue holds this deduplication ID."""

    dbos_error_code = DBOSErrorCode.QueueDeduplicated.value

    def __init__(self, workflow_id: str, queue_name: str, deduplication_id: str) -> None:
        super().__init__(
            f"Workflow {workflow_id} was deduplicated due to an existing workflow in queue {queue_name} "
            f"with deduplication ID {deduplication_id}."
        )
        self.workflow_id = workflow_id
        self.queue_name = queue_name
        self.deduplication_id = deduplication_id


class DBOSAwaitedWorkflowCancelledError(DBOSException):
    """The workflow whose result was awaited was cancelled."""

    dbos_error_code = DBOSErrorCode.AwaitedWorkflowCancelled.value

    def __init__(self, workflow_id: str) -> None:
        super().__init__(f"Awaited workflow {workflow_id} was cancelled")
        self.workflow_id = workflow_id


class DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded(DBOSException):
    """The workflow whose result was awaited is no longer executed after too many recoveries."""

    dbos_error_code = DBOSErrorCode.AwaitedWorkflowMaxRecoveryAttemptsExceeded.value

    def __init__(self, workflow_id: str) -> None:
        super().__init__(f"Awaited workflow {workflow_id} exceeded its maximum recovery attempts")
        self.workflow_id = workflow_id


class DBOSPatchNondeterminismError(DBOSException):
    """A patch marker stands where the recorded history does not allow it."""

    dbos_error_code = DBOSErrorCode.PatchNondeterminism.value

    def __init__(self, workflow_id: str, patch_name: str, details: str) -> None:
        super().__init__(
            f"Cannot deterministically apply patch {patch_name} in workflow {workflow_id}: {details}. "
            "Check that your workflow is deterministic."
        )
        self.workflow_id = workflow_id
        self.patch_name = patch_name
        self.details = details
        self.inputs = (workflow_id, patch_name, details)


class DBOSConcurrentReceiveError(DBOSException):
    """Two calls of `recv` wait for one topic of one workflow, so who gets a message would be chance."""

    dbos_error_code = DBOSErrorCode.ConcurrentReceive.value

    def __init__(self, workflow_id: str, topic: str | None) -> None:
        where = "without a topic" if topic is None else f"on topic {topic!r}"
        super().__init__(
            f"Workflow {workflow_id} is already waiting for a message {where}. Receive one after the other, or give "
            "each receiver a topic of its own."
        )
        self.workflow_id = workflow_id
        self.topic = topic


class DBOSStreamTimeoutError(DBOSException):
    """No further value of a stream arrived in time."""

    dbos_error_code = DBOSErrorCode.StreamTimeout.value

    def __init__(self, workflow_id: str, key: str, timeout_seconds: float | None = None) -> None:
        limit = "" if timeout_seconds is None else f" within {timeout_seconds} seconds"
        super().__init__(f"No value arrived on stream {key} of workflow {workflow_id}{limit}")
        self.workflow_id = workflow_id
        self.key = key
        self.timeout_seconds = timeout_seconds


class DBOSStreamNondeterminismError(DBOSException):
    """Two stream reads of one workflow run at the same time, so their recorded order would be chance."""

    dbos_error_code = DBOSErrorCode.StreamNondeterminism.value

    def __init__(self, workflow_id: str, key: str) -> None:
        super().__init__(
            f"Cannot deterministically read stream {key} in workflow {workflow_id}: another stream read of this "
            "workflow is still in progress. Read streams one after the other, or read them inside a step."
        )
        self.workflow_id = workflow_id
        self.key = key


class DBOSStreamClosedError(DBOSException):
    """A value was written to a stream that had been closed; it was not stored."""

    dbos_error_code = DBOSErrorCode.StreamClosed.value

    def __init__(self, workflow_id: str, key: str) -> None:
        super().__init__(f"Stream {key} of workflow {workflow_id} is closed: nothing can be written to it any more")
        self.workflow_id = workflow_id
        self.key = key


class DBOSStepTimeoutError(DBOSException):
    """An attempt of a step took longer than it may."""

    dbos_error_code = DBOSErrorCode.StepTimeout.value

    def __init__(self, step_name: str, timeout_seconds: float) -> None:
        super().__init__(f"Step {step_name} was cancelled after exceeding its timeout of {timeout_seconds} seconds")
        self.step_name = step_name
        self.timeout_seconds = timeout_seconds


class DBOSNoTransactionError(DBOSException, AssertionError):
    """A session was asked for outside of any transaction."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is only there inside a transaction")
        self.what = what


class DBOSConflictingRegistrationError(DBOSException):
    """One function was decorated as two different kinds of operation."""

    dbos_error_code = DBOSErrorCode.ConflictingRegistrationError.value

    def __init__(self, name: str) -> None:
        super().__init__(f"Operation (Name: {name}) is already registered with a conflicting function type")
        self.name = name


class DBOSQueryTimeoutError(DBOSException):
    """A listing took longer than `observability_query_timeout_sec`; narrow its filters or page through it."""

    dbos_error_code = DBOSErrorCode.QueryTimeout.value

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(f"This query was cancelled after exceeding its {timeout_seconds:g}s statement timeout.")
        self.timeout_seconds = timeout_seconds


class DBOSWorkflowIDInUseError(DBOSException):
    """The ID exists and the reuse policy is `reject`."""

    dbos_error_code = DBOSErrorCode.WorkflowIDInUse.value

    def __init__(self, workflow_id: str, workflow_status: str, workflow_name: str) -> None:
        super().__init__(
            f"Workflow ID {workflow_id} is already in use by workflow {workflow_name} with status {workflow_status}."
        )
        self.workflow_id = workflow_id
        self.workflow_status = workflow_status
        self.workflow_name = workflow_name


class DBOSStepNondeterminismError(DBOSException):
    """One execution recorded the same step twice, with different outcomes."""

    dbos_error_code = DBOSErrorCode.StepNondeterminism.value

    def __init__(self, workflow_id: str, step_id: int) -> None:
        super().__init__(
            f"Step {step_id} of workflow {workflow_id} was recorded twice by the same execution "
            "with different results. Check that your workflow is deterministic."
        )
        self.workflow_id = workflow_id
        self.step_id = step_id
        self.inputs = (workflow_id, step_id)


class DBOSSerializationError(DBOSException, pickle.PicklingError, TypeError, ValueError):
    """A value cannot be stored. `path` leads to the part that cannot, as in `args[0].user.lock`.

    Also a `PicklingError`, a `TypeError` and a `ValueError`, which is what programs catch that know pickle and json.
    """

    dbos_error_code = DBOSErrorCode.SerializationError.value

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class DBOSDeserializationError(DBOSException, pickle.UnpicklingError):
    """A stored value cannot be read here. `codec` is the name it was stored under."""

    dbos_error_code = DBOSErrorCode.DeserializationError.value

    def __init__(self, codec: str | None, reason: str) -> None:
        super().__init__(f"Cannot read a value stored as {codec or 'the default serializer'}: {reason}")
        self.codec = codec
        self.reason = reason


class DBOSInvalidArgumentsError(DBOSException, ValueError):
    """Arguments are not what a function takes, going by its annotations. Also a `ValueError`.

    `problems` says where and what, as in `{"order.items[0]": "Input should be a valid integer ..."}`.
    """

    dbos_error_code = DBOSErrorCode.InvalidArguments.value

    def __init__(self, function_name: str, problems: dict[str, str]) -> None:
        found = "; ".join(f"{path}: {problem}" for path, problem in problems.items())
        super().__init__(f"Argument validation failed for {function_name}: {found}")
        self.function_name = function_name
        self.problems = problems


class DBOSMissingOptionError(DBOSException, KeyError):
    """A dictionary of options lacks `option`, which it must have. Also a `KeyError`."""

    def __init__(self, option: str) -> None:
        super().__init__(f"The option {option!r} is required")
        self.option = option


class PortableWorkflowError(_Storable, Exception):
    """An error in the form that every language can read: a name, a message, and optionally a code and JSON data.

    Also what an exception comes back as when its own class cannot be stored or rebuilt.
    """

    def __init__(self, message: str, name: str, code: int | str | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.name = name
        self.code = code
        self.data = data

    def to_error_data(self) -> dict[str, Any]:
        """The JSON record this error is stored as."""
        record = {"name": self.name, "message": self.message, "code": self.code}
        return record if self.data is None else record | {"data": self.data}


def is_workflow_id_in_use_error(e: BaseException) -> bool:
    """Whether `e` is a `DBOSWorkflowIDInUseError`, also after storage reduced it to a record or a text."""
    if isinstance(e, DBOSWorkflowIDInUseError):
        return True
    if isinstance(e, PortableWorkflowError) and e.name == DBOSWorkflowIDInUseError.__name__:
        return True
    code = DBOSErrorCode.WorkflowIDInUse.value
    return getattr(e, "dbos_error_code", None) == code or f"DBOS Error {code}: " in str(e)


def _with_detail(message: str, detail: str | None) -> str:
    return message if detail is None else f"{message}: {detail}"
