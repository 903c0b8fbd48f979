"""api.md §3.6 and §13: exceptions and values that cannot be stored, in every place they can arise."""

import asyncio
import threading
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID, WorkflowStatus, error
from tests.support.fixture_types import Launch, Replay


class OrderRefused(Exception):
    """An exception with more state than its arguments."""

    def __init__(self, order: int, *, reason: str) -> None:
        super().__init__(f"order {order} refused: {reason}")
        self.order = order
        self.reason = reason


class Unstorable(Exception):
    """An exception that pickle cannot take."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def status_of(workflow_id: str) -> WorkflowStatus:
    return DBOS.retrieve_workflow(workflow_id).get_status()


@pytest.mark.parametrize("coroutine", [False, True])
def test_the_caller_gets_the_very_exception(launch: Launch, coroutine: bool) -> None:
    original = OrderRefused(7, reason="closed")

    @DBOS.workflow()
    def plain() -> None:
        raise original

    @DBOS.workflow()
    async def slow() -> None:
        raise original

    def run() -> None:
        if coroutine:
            asyncio.run(slow())
        else:
            plain()

    launch()
    with SetWorkflowID("w"), pytest.raises(OrderRefused) as caught:
        run()
    assert caught.value is original
    with SetWorkflowID("w"), pytest.raises(OrderRefused) as again:
        run()
    assert again.value is not original
    for stored in (again.value, status_of("w").error):
        assert type(stored) is OrderRefused
        assert (stored.args, stored.order, stored.reason) == (original.args, 7, "closed")
    status = status_of("w")
    assert (status.status, status.output, status.recovery_attempts) == ("ERROR", None, 1)
    assert status.completed_at is not None


def test_a_failure_is_never_retried(launch: Launch) -> None:
    ran: list[int] = []

    @DBOS.workflow()
    def workflow() -> None:
        ran.append(1)
        raise ValueError("once")

    launch()
    with pytest.raises(ValueError, match="once"):
        workflow()
    launch()
    assert DBOS._recover_pending_workflows() == []
    assert ran == [1]


def test_an_exception_that_cannot_be_stored_is_described(launch: Launch) -> None:
    @DBOS.step()
    def step() -> None:
        raise Unstorable("broken")

    @DBOS.workflow()
    def workflow() -> None:
        step()

    launch()
    with SetWorkflowID("w"), pytest.raises(Unstorable):
        workflow()
    status = status_of("w")
    assert status.status == "ERROR"
    with SetWorkflowID("w"), pytest.raises(Exception, match="broken") as again:
        workflow()
    assert "Unstorable" in f"{type(again.value).__name__}: {again.value!r} {getattr(again.value, 'name', '')}"
    (recorded,) = DBOS.list_workflow_steps("w")
    assert "broken" in str(recorded["error"])


def test_a_result_that_cannot_be_stored_fails_the_workflow(launch: Launch) -> None:
    @DBOS.workflow()
    def plain() -> Any:
        return {"deep": [threading.Lock()]}

    @DBOS.workflow()
    async def coroutine() -> Any:
        return {"deep": [threading.Lock()]}

    launch()
    for number, run in enumerate((plain, lambda: asyncio.run(coroutine()))):
        with SetWorkflowID(f"w{number}"), pytest.raises(error.DBOSSerializationError) as caught:
            run()
        assert "['deep'][0]" in str(caught.value)
        status = status_of(f"w{number}")
        assert (status.status, status.output) == ("ERROR", None)
        assert isinstance(status.error, error.DBOSSerializationError)
        assert "['deep'][0]" in str(status.error)


def test_a_step_result_that_cannot_be_stored_is_raised_in_the_workflow(launch: Launch, replay: Replay) -> None:
    ran: list[str] = []

    @DBOS.step(name="bad")
    def bad() -> Any:
        ran.append("bad")
        return [1, threading.Lock()]

    @DBOS.step(name="good")
    def good() -> int:
        return 1

    @DBOS.workflow()
    def catching() -> str:
        try:
            bad()
        except error.DBOSSerializationError as refusal:
            good()
            return str(refusal)
        raise AssertionError("not refused")

    @DBOS.workflow()
    def failing() -> None:
        bad()

    launch()
    with SetWorkflowID("catching"):
        assert "[1]" in catching()
    assert [step["function_name"] for step in DBOS.list_workflow_steps("catching")][-1] == "good"
    with SetWorkflowID("failing"), pytest.raises(error.DBOSSerializationError):
        failing()
    assert status_of("failing").status == "ERROR"
    assert "[1]" in replay("catching").get_result()


@pytest.mark.parametrize("start", [False, True])
def test_arguments_that_cannot_be_stored_are_refused_before_anything_is_written(launch: Launch, start: bool) -> None:
    @DBOS.workflow()
    def workflow(*_: Any, **__: Any) -> None:
        raise AssertionError("must not run")

    launch()
    for args, kwargs, path in (
        ((1, {"a": threading.Lock()}), {}, "['a']"),
        ((), {"options": [lambda: 1]}, "options"),
    ):
        with SetWorkflowID("w"), pytest.raises(error.DBOSSerializationError) as caught:
            if start:
                DBOS.start_workflow(workflow, *args, **kwargs)
            else:
                workflow(*args, **kwargs)
        assert path in str(caught.value)
    assert DBOS.list_workflows() == []


def test_a_child_whose_arguments_cannot_be_stored_fails_in_the_parent(launch: Launch) -> None:
    @DBOS.workflow()
    def child(_: Any) -> None:
        raise AssertionError("must not run")

    @DBOS.workflow()
    def parent() -> str:
        try:
            child(threading.Lock())
        except error.DBOSSerializationError:
            return "refused"
        return "accepted"

    launch()
    with SetWorkflowID("p"):
        assert parent() == "refused"
    assert [status.workflow_id for status in DBOS.list_workflows()] == ["p"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_interruption_is_no_outcome(launch: Launch, interruption: type[BaseException]) -> None:
    interrupted: list[int] = []

    @DBOS.step()
    def step() -> str:
        if not interrupted:
            interrupted.append(1)
            raise interruption
        return "done"

    @DBOS.workflow()
    def workflow() -> str:
        return step()

    launch()
    with SetWorkflowID("w"), pytest.raises(interruption):
        workflow()
    assert status_of("w").status == "PENDING"
    assert DBOS.list_workflow_steps("w") == []
    launch()
    assert DBOS.get_result("w") == "done"


@pytest.mark.parametrize("value", [None, False, 0, "", [], (), {}, float("nan"), b"\0", "\0", "\ud800", {1: "int key"}])
def test_values_come_back_as_they_are(launch: Launch, replay: Replay, value: Any) -> None:
    @DBOS.step()
    def step(given: Any) -> Any:
        return given

    @DBOS.workflow()
    def workflow(given: Any) -> list[Any]:
        return [given, step(given)]

    launch()
    with SetWorkflowID("w"):
        fresh = workflow(value)
    stored = replay("w").get_result()
    for given, recorded in (fresh, stored):
        assert repr(given) == repr(recorded) == repr(value)
    status = status_of("w")
    assert repr(status.input) == repr({"args": (value,), "kwargs": {}})
    assert repr(status.output) == repr([value, value])
    assert repr(DBOS.list_workflow_steps("w")[0]["output"]) == repr(value)


def test_exceptions_as_values_are_values(launch: Launch, replay: Replay) -> None:
    @DBOS.step()
    def step() -> Exception:
        return ValueError("returned, not raised")

    @DBOS.workflow()
    def workflow() -> Exception:
        return step()

    launch()
    with SetWorkflowID("w"):
        assert isinstance(workflow(), ValueError)
    assert isinstance(replay("w").get_result(), ValueError)
    assert status_of("w").status == "SUCCESS"


@pytest.mark.parametrize("stop", [StopIteration, StopAsyncIteration, GeneratorExit])
def test_exceptions_of_the_language_itself_pass(launch: Launch, stop: type[BaseException]) -> None:
    @DBOS.step()
    def step() -> None:
        raise stop("user")

    @DBOS.workflow()
    def workflow() -> str:
        try:
            step()
        except stop:
            return "caught"
        return "lost"

    launch()
    assert workflow() == "caught"
    assert DBOS.start_workflow(workflow).get_result() == "caught"
