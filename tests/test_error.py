import copy
import inspect
import pickle

import pytest

from dbos import error
from dbos.error import DBOSErrorCode, PortableWorkflowError, is_workflow_id_in_use_error

SAMPLES = [
    error.DBOSException("m"),
    error.DBOSException("m", 99),
    error.DBOSBaseException("m"),
    error.DBOSWorkflowConflictIDError("w"),
    error.DBOSRecoveryError("w"),
    error.DBOSRecoveryError("w", "m"),
    error.DBOSInitializationError("m"),
    error.DBOSWorkflowFunctionNotFoundError("w"),
    error.DBOSWorkflowFunctionNotFoundError("w", "m"),
    error.DBOSNonExistentWorkflowError("w"),
    error.DBOSNonExistentWorkflowError("target", "w"),
    error.MaxRecoveryAttemptsExceededError("w"),
    error.MaxRecoveryAttemptsExceededError("w", 3),
    error.DBOSMaxStepRetriesExceeded("s", 2, []),
    error.DBOSNotAuthorizedError("m"),
    error.DBOSConflictingWorkflowError("w"),
    error.DBOSConflictingWorkflowError("w", "m"),
    error.DBOSWorkflowCancelledError("m"),
    error.DBOSUnexpectedStepError("w", 1, "expected", "recorded"),
    error.DBOSQueueDeduplicatedError("w", "q", "d"),
    error.DBOSAwaitedWorkflowCancelledError("w"),
    error.DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded("w"),
    error.DBOSPatchNondeterminismError("w", "p", "d"),
    error.DBOSStreamTimeoutError("w", "k"),
    error.DBOSStreamTimeoutError("w", "k", 1.5),
    error.DBOSStreamNondeterminismError("w", "k"),
    error.DBOSStreamClosedError("w", "k"),
    error.DBOSInvalidArgumentsError("f", {"a": "b"}),
    error.DBOSConcurrentReceiveError("w", "t"),
    error.DBOSStepTimeoutError("s", 1.5),
    error.DBOSConflictingRegistrationError("n"),
    error.DBOSNoTransactionError("DBOS.sql_session"),
    error.DBOSQueryTimeoutError(30.0),
    error.DBOSWorkflowIDInUseError("w", "PENDING", "n"),
    error.DBOSStepNondeterminismError("w", 1),
    error.DBOSSerializationError("result.user.lock", "cannot serialize _thread.lock"),
    error.DBOSDeserializationError("py_pickle", "m"),
    error.DBOSDeserializationError(None, "m"),
    error.DBOSMissingOptionError("queue_name"),
    PortableWorkflowError("m", "Name", 7, {"a": [1]}),
]

CODES = {
    "DBOSWorkflowConflictIDError": 1,
    "DBOSRecoveryError": 2,
    "DBOSInitializationError": 3,
    "DBOSWorkflowFunctionNotFoundError": 4,
    "DBOSNonExistentWorkflowError": 5,
    "MaxRecoveryAttemptsExceededError": 6,
    "DBOSMaxStepRetriesExceeded": 7,
    "DBOSNotAuthorizedError": 8,
    "DBOSConflictingWorkflowError": 9,
    "DBOSWorkflowCancelledError": 10,
    "DBOSUnexpectedStepError": 11,
    "DBOSQueueDeduplicatedError": 12,
    "DBOSAwaitedWorkflowCancelledError": 13,
    "DBOSAwaitedWorkflowMaxRecoveryAttemptsExceeded": 14,
    "DBOSPatchNondeterminismError": 15,
    "DBOSStreamTimeoutError": 16,
    "DBOSStreamNondeterminismError": 17,
    "DBOSStepTimeoutError": 18,
    "DBOSStreamClosedError": 104,
    "DBOSInvalidArgumentsError": 105,
    "DBOSConflictingRegistrationError": 25,
    "DBOSQueryTimeoutError": 26,
    "DBOSWorkflowIDInUseError": 27,
    "DBOSStepNondeterminismError": 28,
    "DBOSSerializationError": 101,
    "DBOSDeserializationError": 102,
    "DBOSConcurrentReceiveError": 103,
}


class OrderRefused(error.DBOSException):
    """What a user may write: a constructor of its own, and attributes."""

    def __init__(self, order: int, *, reason: str) -> None:
        super().__init__(f"order {order} refused: {reason}", 500)
        self.order = order


def label(sample: object) -> str:
    if not isinstance(sample, BaseException):
        return repr(sample)
    return f"{type(sample).__name__}-{len(vars(sample))}-{sample}"[:60]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("sample", [*SAMPLES, OrderRefused(7, reason="empty")], ids=label)
def test_every_error_survives_pickle(sample: BaseException, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(sample, protocol))
    assert type(again) is type(sample)
    assert str(again) == str(sample)
    assert again.args == sample.args
    assert vars(again) == vars(sample)


def test_notes_and_copies_survive_too() -> None:
    sample = error.DBOSStepTimeoutError("s", 2)
    sample.add_note("while paying")
    for again in (pickle.loads(pickle.dumps(sample)), copy.copy(sample), copy.deepcopy(sample)):
        assert again.__notes__ == ["while paying"]
        assert again.timeout_seconds == 2


def test_the_samples_are_the_whole_tree() -> None:
    classes = {
        value
        for name, value in vars(error).items()
        if inspect.isclass(value) and issubclass(value, BaseException) and not name.startswith("_")
    }
    assert classes == {type(sample) for sample in SAMPLES}


def test_codes_are_unique_and_named() -> None:
    given = {type(sample).__name__: sample.dbos_error_code for sample in SAMPLES if type(sample).__name__ in CODES}
    assert given == CODES
    assert {code.value for code in DBOSErrorCode} == set(CODES.values())
    assert len(DBOSErrorCode.__members__) == len(CODES)  # an alias would hide a code used twice


@pytest.mark.parametrize("sample", SAMPLES, ids=label)
def test_the_text_begins_with_the_code(sample: BaseException) -> None:
    if isinstance(sample, PortableWorkflowError):
        assert str(sample) == sample.message
        return
    prefix = "DBOS Error: " if sample.dbos_error_code is None else f"DBOS Error {sample.dbos_error_code}: "
    assert str(sample) == prefix + sample.message


def test_only_signals_pass_by_except_exception() -> None:
    signals = {type(sample) for sample in SAMPLES if not isinstance(sample, Exception)}
    assert signals == {
        error.DBOSBaseException,
        error.DBOSWorkflowConflictIDError,
        error.DBOSWorkflowCancelledError,
    }


def test_only_a_lack_of_authorization_has_an_http_status() -> None:
    assert error.DBOSNotAuthorizedError("m").status_code == 403
    others = [s for s in SAMPLES if not isinstance(s, error.DBOSNotAuthorizedError | PortableWorkflowError)]
    assert {sample.status_code for sample in others} == {None}


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        (error.DBOSMaxStepRetriesExceeded("pay", 3, []), "Step pay has exceeded its maximum of 3 retries"),
        (error.DBOSAwaitedWorkflowCancelledError("w"), "was cancelled"),
        (error.DBOSNotAuthorizedError("no"), "DBOS Error 8"),
        (error.DBOSNonExistentWorkflowError("w"), "Sent to non-existent destination workflow ID: w"),
        (error.DBOSNonExistentWorkflowError("target", "w"), "Non-existent target workflow ID: w"),
        (
            error.DBOSQueueDeduplicatedError("w", "q", "d"),
            "Workflow w was deduplicated due to an existing workflow in queue q with deduplication ID d.",
        ),
        (error.DBOSConflictingRegistrationError("n"), "is already registered with a conflicting function type"),
    ],
)
def test_texts_that_programs_look_for(sample: BaseException, text: str) -> None:
    assert text in str(sample)


def test_facts_are_attributes() -> None:
    unexpected = error.DBOSUnexpectedStepError("w", 1, "expected", "recorded")
    assert unexpected.inputs == ("w", 1, "expected", "recorded")
    assert (unexpected.expected_name, unexpected.recorded_name) == ("expected", "recorded")
    attempts = (ValueError("a"), KeyError("b"))
    assert error.DBOSMaxStepRetriesExceeded("s", 2, attempts).errors == list(attempts)
    assert error.DBOSRecoveryError("w", "m").detail == "m"
    assert error.DBOSNonExistentWorkflowError("w").destination_id == "w"
    assert error.DBOSNonExistentWorkflowError("target", "w").destination_id == "w"
    assert error.MaxRecoveryAttemptsExceededError("w", 3).workflow_id == "w"


def test_a_serialization_error_is_what_pickle_users_catch() -> None:
    assert issubclass(error.DBOSSerializationError, pickle.PicklingError)
    assert issubclass(error.DBOSSerializationError, TypeError)
    assert issubclass(error.DBOSDeserializationError, pickle.UnpicklingError)


def test_a_used_id_is_recognised_in_every_form() -> None:
    original = error.DBOSWorkflowIDInUseError("w", "PENDING", "n")
    assert is_workflow_id_in_use_error(original)
    assert is_workflow_id_in_use_error(PortableWorkflowError("in use", "DBOSWorkflowIDInUseError"))
    assert is_workflow_id_in_use_error(Exception(f"DBOSWorkflowIDInUseError: {original}"))
    assert not is_workflow_id_in_use_error(error.DBOSStepNondeterminismError("w", 27))
    assert not is_workflow_id_in_use_error(ValueError("27"))


def test_a_portable_error_is_its_record() -> None:
    assert PortableWorkflowError("m", "N").to_error_data() == {"name": "N", "message": "m", "code": None}
    full = PortableWorkflowError("m", "N", "E7", {"a": 1})
    assert full.to_error_data() == {"name": "N", "message": "m", "code": "E7", "data": {"a": 1}}
