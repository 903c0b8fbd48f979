"""api.md §4: steps, their options, their attempts, and what may be called from them."""

import asyncio
import logging
import threading
import time
from itertools import pairwise
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID, StepOptions, WorkflowStatus, error
from tests.support.fixture_types import Launch, Replay
from tests.support.waiting import Gate, eventually


def status_of(workflow_id: str) -> WorkflowStatus:
    return DBOS.retrieve_workflow(workflow_id).get_status()


def names_of(workflow_id: str) -> list[str]:
    return [step["function_name"] for step in DBOS.list_workflow_steps(workflow_id)]


# ---------------------------------------------------------------- recording


def test_steps_are_numbered_in_order_and_timed(launch: Launch) -> None:
    @DBOS.step()
    def quick() -> int:
        return DBOS.step_id or 0

    @DBOS.step(name="slow")
    def slow(text: str) -> None:
        time.sleep(0.05)
        raise KeyError(text)

    @DBOS.workflow()
    def workflow() -> None:
        assert quick() == 1
        with pytest.raises(KeyError):
            slow("argument")
        assert quick() == 3

    launch()
    with SetWorkflowID("w"):
        workflow()
    first, second, third = DBOS.list_workflow_steps("w")
    assert [each["function_id"] for each in (first, second, third)] == [1, 2, 3]
    assert [each["function_name"] for each in (first, second, third)] == [
        quick.__qualname__,
        "slow",
        quick.__qualname__,
    ]
    assert (first["output"], first["error"], first["child_workflow_id"]) == (1, None, None)
    assert second["output"] is None
    assert repr(second["error"]) == "KeyError('argument')"
    for each in (first, second, third):
        assert each["started_at_epoch_ms"] is not None
        assert each["completed_at_epoch_ms"] is not None
        assert each["started_at_epoch_ms"] <= each["completed_at_epoch_ms"]
    assert second["completed_at_epoch_ms"] - second["started_at_epoch_ms"] >= 50  # type: ignore[operator]


def test_a_recorded_failure_is_raised_again(launch: Launch, replay: Replay) -> None:
    ran: list[int] = []

    @DBOS.step()
    def step() -> None:
        ran.append(1)
        raise KeyError("recorded")

    @DBOS.workflow()
    def workflow() -> str:
        try:
            step()
        except KeyError as caught:
            return repr(caught)
        return "nothing"

    launch()
    with SetWorkflowID("w"):
        assert workflow() == "KeyError('recorded')"
    assert replay("w").get_result() == "KeyError('recorded')"
    assert ran == [1]


def test_outside_a_workflow_a_step_is_a_plain_call(launch: Launch) -> None:
    ran: list[int] = []

    @DBOS.step(retries_allowed=True, interval_seconds=100, max_attempts=5)
    def failing() -> None:
        ran.append(1)
        assert (DBOS.step_id, DBOS.step_status, DBOS.workflow_id) == (None, None, None)
        raise ValueError("once")

    @DBOS.step(timeout_seconds=0.001)
    async def slow() -> str:
        await asyncio.sleep(0.02)
        return "no timeout"

    launch()
    with pytest.raises(ValueError, match="once"):
        failing()
    with pytest.raises(ValueError, match="once"):
        DBOS.run_step({"retries_allowed": True, "interval_seconds": 100}, failing)
    assert ran == [1, 1]
    assert asyncio.run(slow()) == "no timeout"
    assert asyncio.run(DBOS.run_step_async({"timeout_seconds": 0.001}, slow)) == "no timeout"
    assert DBOS.list_workflows() == []


def test_a_step_in_a_step_is_part_of_it(launch: Launch) -> None:
    ran: list[str] = []

    @DBOS.step(retries_allowed=True, interval_seconds=100)
    def inner() -> int | None:
        ran.append("inner")
        if len(ran) == 1:
            raise ValueError("not retried")
        return DBOS.step_id

    @DBOS.step(name="outer")
    def outer() -> int | None:
        with pytest.raises(ValueError, match="not retried"):
            inner()
        return inner()

    @DBOS.workflow()
    def workflow() -> int | None:
        return outer()

    launch()
    with SetWorkflowID("w"):
        assert workflow() == 1
    assert names_of("w") == ["outer"]


def test_a_raw_thread_has_no_context_and_to_thread_has(launch: Launch) -> None:
    @DBOS.step(name="step")
    def step() -> str | None:
        return DBOS.workflow_id

    @DBOS.workflow()
    async def workflow() -> list[str | None]:
        seen: list[str | None] = []
        thread = threading.Thread(target=lambda: seen.extend([DBOS.workflow_id, step()]))
        thread.start()
        await asyncio.to_thread(thread.join)
        return [*seen, await asyncio.to_thread(step)]

    launch()
    with SetWorkflowID("w"):
        assert asyncio.run(workflow()) == [None, None, "w"]
    assert names_of("w") == ["step"]


def test_methods_of_ordinary_classes_are_steps(launch: Launch) -> None:
    class Counter:
        def __init__(self, start: int) -> None:
            self.start = start

        @DBOS.step()
        def after(self, number: int) -> int:
            return self.start + number

        @staticmethod
        @DBOS.step()
        def double(number: int) -> int:
            return number * 2

        @classmethod
        @DBOS.step()
        def named(cls) -> str:
            return cls.__name__

    @DBOS.workflow()
    def workflow() -> list[Any]:
        return [Counter(10).after(1), Counter.double(2), Counter.named()]

    launch()
    assert workflow() == [11, 4, "Counter"]


# ---------------------------------------------------------------- retries


def test_a_step_is_tried_again(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[int, int | None, int | None]] = []

    @DBOS.step(retries_allowed=True, interval_seconds=0.01, max_attempts=5)
    def flaky() -> str:
        status = DBOS.step_status
        assert status is not None
        seen.append((status.step_id, status.current_attempt, status.max_attempts))
        if len(seen) < 3:
            raise ValueError(f"attempt {len(seen)}")
        return "third time"

    @DBOS.step()
    def once() -> tuple[int, int | None, int | None]:
        status = DBOS.step_status
        assert status is not None
        return status.step_id, status.current_attempt, status.max_attempts

    @DBOS.workflow()
    def workflow() -> list[Any]:
        return [flaky(), once(), DBOS.step_status]

    launch()
    with SetWorkflowID("w"):
        assert workflow() == ["third time", (2, None, None), None]
    assert seen == [(1, 0, 5), (1, 1, 5), (1, 2, 5)]
    assert len(DBOS.list_workflow_steps("w")) == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["attempt 1 of 5" in warnings[0], "attempt 2 of 5" in warnings[1], len(warnings)] == [True, True, 2]


@pytest.mark.parametrize("coroutine", [False, True])
def test_attempts_run_out(launch: Launch, replay: Replay, coroutine: bool) -> None:
    ran: list[int] = []

    @DBOS.step(name="plain", retries_allowed=True, interval_seconds=0.001, max_attempts=3, backoff_rate=1)
    def plain() -> None:
        ran.append(1)
        raise ValueError(f"attempt {len(ran)}")

    @DBOS.step(name="slow", retries_allowed=True, interval_seconds=0.001, max_attempts=3, backoff_rate=1)
    async def slow() -> None:
        ran.append(1)
        raise ValueError(f"attempt {len(ran)}")

    @DBOS.workflow()
    def plain_workflow() -> None:
        plain()

    @DBOS.workflow()
    async def slow_workflow() -> None:
        await slow()

    launch()
    with SetWorkflowID("w"), pytest.raises(error.DBOSMaxStepRetriesExceeded) as caught:
        if coroutine:
            asyncio.run(slow_workflow())
        else:
            plain_workflow()
    name = "slow" if coroutine else "plain"
    assert f"Step {name} has exceeded its maximum of 3 retries" in str(caught.value)
    with pytest.raises(error.DBOSMaxStepRetriesExceeded) as replayed:
        replay("w").get_result()
    for each in (caught.value, replayed.value):
        assert [repr(one) for one in each.errors] == [f"ValueError('attempt {number}')" for number in (1, 2, 3)]
    assert len(ran) == 3


def test_the_interval_grows(launch: Launch) -> None:
    times: list[float] = []

    @DBOS.step(retries_allowed=True, interval_seconds=0.05, max_attempts=4, backoff_rate=2)
    def step() -> None:
        times.append(time.monotonic())
        raise ValueError("again")

    @DBOS.workflow()
    def workflow() -> None:
        step()

    launch()
    with pytest.raises(error.DBOSMaxStepRetriesExceeded):
        workflow()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert [gap >= expected * 0.95 for gap, expected in zip(gaps, (0.05, 0.1, 0.2), strict=True)] == [True] * 3


def test_should_retry_decides(launch: Launch, replay: Replay) -> None:
    ran: list[str] = []

    def only_values(caught: BaseException) -> bool:
        return isinstance(caught, ValueError)

    async def only_values_async(caught: BaseException) -> bool:
        await asyncio.sleep(0)
        return isinstance(caught, ValueError)

    def work(name: str) -> None:
        ran.append(name)
        raise (ValueError if ran.count(name) < 2 else KeyError)(name)

    @DBOS.step(retries_allowed=True, interval_seconds=0.001, should_retry=only_values)
    def plain() -> None:
        work("plain")

    @DBOS.step(retries_allowed=True, interval_seconds=0.001, should_retry=only_values_async)
    async def slow() -> None:
        work("slow")

    @DBOS.workflow()
    async def workflow() -> list[str]:
        caught: list[str] = []
        try:
            plain()
        except KeyError as failure:
            caught.append(repr(failure))
        try:
            await slow()
        except KeyError as failure:
            caught.append(repr(failure))
        return caught

    launch()
    with SetWorkflowID("w"):
        assert asyncio.run(workflow()) == ["KeyError('plain')", "KeyError('slow')"]
    assert ran == ["plain", "plain", "slow", "slow"]
    assert replay("w").get_result() == ["KeyError('plain')", "KeyError('slow')"]
    assert len(ran) == 4


def test_a_should_retry_that_raises_fails_the_step(launch: Launch) -> None:
    def broken(caught: BaseException) -> bool:
        raise RuntimeError("predicate")

    @DBOS.step(retries_allowed=True, interval_seconds=0.001, should_retry=broken)
    def step() -> None:
        raise ValueError("step")

    @DBOS.workflow()
    def workflow() -> None:
        step()

    launch()
    with SetWorkflowID("w"), pytest.raises(RuntimeError, match="predicate"):
        workflow()
    assert status_of("w").status == "ERROR"


def test_the_wait_for_a_retry_ends_with_a_cancellation(launch: Launch) -> None:
    ran: list[int] = []

    @DBOS.step(retries_allowed=True, interval_seconds=1000)
    def step() -> None:
        ran.append(1)
        raise ValueError("again")

    @DBOS.workflow()
    def workflow() -> None:
        step()

    launch()
    handle = DBOS.start_workflow(workflow)
    eventually(lambda: ran)
    DBOS.cancel_workflow(handle.workflow_id)
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    assert ran == [1]
    assert DBOS.list_workflow_steps(handle.workflow_id) == []


# ---------------------------------------------------------------- timeouts and preemption


def test_a_step_may_time_out(launch: Launch, replay: Replay) -> None:
    @DBOS.step(name="stuck", timeout_seconds=0.05)
    async def stuck() -> None:
        await asyncio.sleep(1000)

    @DBOS.step(name="hopeless", timeout_seconds=0.02, retries_allowed=True, interval_seconds=0.001, max_attempts=2)
    async def hopeless() -> None:
        await asyncio.sleep(1000)

    @DBOS.step(timeout_seconds=1000)
    async def in_time() -> str:
        raise TimeoutError("of the user's own")

    @DBOS.workflow()
    async def workflow() -> list[str]:
        caught: list[str] = []
        for step in (stuck, hopeless, in_time):
            try:
                await step()
            except Exception as failure:
                caught.append(f"{type(failure).__name__}: {failure}")
                if isinstance(failure, error.DBOSMaxStepRetriesExceeded):
                    caught += [type(each).__name__ for each in failure.errors]
        return caught

    launch()
    with SetWorkflowID("w"):
        caught = asyncio.run(workflow())
    assert caught[0].startswith("DBOSStepTimeoutError")
    assert "stuck" in caught[0]
    assert caught[1].startswith("DBOSMaxStepRetriesExceeded")
    assert caught[2:] == ["DBOSStepTimeoutError", "DBOSStepTimeoutError", "TimeoutError: of the user's own"]
    assert replay("w").get_result() == caught


@pytest.mark.parametrize("preemptible", [False, True])
def test_a_preemptible_step_is_cancelled_with_its_workflow(launch: Launch, preemptible: bool) -> None:
    events: list[str] = []
    with Gate() as gate:

        @DBOS.step(preemptible=preemptible)
        async def step() -> None:
            try:
                await gate.pass_through_async()
                events.append("finished")
            except asyncio.CancelledError:
                events.append("preempted")
                raise

        @DBOS.workflow()
        async def workflow() -> None:
            await step()
            events.append("went on")

        launch()
        handle = DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        DBOS.cancel_workflow(handle.workflow_id)
        if not preemptible:
            gate.open()
        eventually(lambda: events)
    assert events == ["preempted" if preemptible else "finished"]
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    assert events == ["preempted" if preemptible else "finished"]
    assert DBOS.list_workflow_steps(handle.workflow_id) == []


def test_a_preemptible_step_that_is_left_alone(launch: Launch) -> None:
    @DBOS.step(preemptible=True, timeout_seconds=1000)
    async def step(number: int) -> int:
        await asyncio.sleep(0)
        if number == 0:
            raise ValueError("zero")
        return number

    @DBOS.workflow()
    async def workflow(number: int) -> int:
        return await step(number)

    launch()
    assert asyncio.run(workflow(1)) == 1
    with pytest.raises(ValueError, match="zero"):
        asyncio.run(workflow(0))


# ---------------------------------------------------------------- run_step


def test_any_function_can_run_as_a_step(launch: Launch, replay: Replay) -> None:
    ran: list[str] = []

    def plain(first: int, *, second: int) -> int:
        ran.append("plain")
        return first + second

    async def slow(text: str) -> str:
        ran.append("slow")
        return text.upper()

    @DBOS.step(name="decorated", retries_allowed=True, interval_seconds=1000)
    def decorated() -> int | None:
        ran.append("decorated")
        return DBOS.step_id

    @DBOS.workflow()
    async def workflow() -> list[Any]:
        return [
            await DBOS.run_step_async({"name": "named"}, plain, 1, second=2),
            await DBOS.run_step_async(None, slow, "text"),
            await DBOS.run_step_async({"name": "other"}, decorated),
        ]

    @DBOS.workflow()
    def plain_workflow() -> list[Any]:
        return [DBOS.run_step(None, plain, 1, second=2), DBOS.run_step({"name": "x"}, lambda: 5)]

    launch()
    with SetWorkflowID("w"):
        assert asyncio.run(workflow()) == [3, "TEXT", 3]
    assert names_of("w") == ["named", slow.__qualname__, "other"]
    with SetWorkflowID("p"):
        assert plain_workflow() == [3, 5]
    assert names_of("p") == [plain.__qualname__, "x"]
    assert replay("w").get_result() == [3, "TEXT", 3]
    assert ran == ["plain", "slow", "decorated", "plain"]


def test_run_step_takes_the_options_of_steps(launch: Launch) -> None:
    ran: list[int] = []

    def flaky() -> int:
        ran.append(1)
        if len(ran) < 3:
            raise ValueError("again")
        return len(ran)

    async def stuck() -> None:
        await asyncio.sleep(1000)

    retries: StepOptions = {"retries_allowed": True, "interval_seconds": 0.001, "max_attempts": 4, "backoff_rate": 1.0}

    @DBOS.workflow()
    async def workflow() -> int:
        with pytest.raises(error.DBOSStepTimeoutError):
            await DBOS.run_step_async({"timeout_seconds": 0.02}, stuck)
        return await asyncio.to_thread(DBOS.run_step, retries, flaky)

    launch()
    assert asyncio.run(workflow()) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"colour": "blue"}, "colour"),
        ({"preemptible": True}, "not async"),
        ({"timeout_seconds": 1.0}, "not async"),
        ({"retries_allowed": True, "max_attempts": 0}, "max_attempts"),
        ({"retries_allowed": True, "interval_seconds": -1}, "interval_seconds"),
        ({"retries_allowed": True, "backoff_rate": -1}, "backoff_rate"),
    ],
)
def test_wrong_options_are_refused_before_a_number_is_drawn(launch: Launch, options: Any, said: str) -> None:
    @DBOS.workflow()
    def workflow() -> int:
        with pytest.raises(error.DBOSException, match=said):
            DBOS.run_step(options, lambda: 1)
        return DBOS.run_step({"name": "good"}, lambda: 2)

    launch()
    with SetWorkflowID("w"):
        assert workflow() == 2
    assert [step["function_id"] for step in DBOS.list_workflow_steps("w")] == [1]


def test_options_that_cannot_work_are_refused_at_decoration(launch: Launch) -> None:
    async def async_predicate(caught: BaseException) -> bool:
        return True

    def plain() -> None: ...

    for options in (
        {"preemptible": True},
        {"timeout_seconds": 1.0},
        {"should_retry": async_predicate},
        {"retries_allowed": True, "max_attempts": 0},
    ):
        with pytest.raises(error.DBOSException):
            DBOS.step(**options)(plain)  # type: ignore[arg-type]
    for not_a_function in (3, int, staticmethod(plain)):
        with pytest.raises(error.DBOSException):
            DBOS.step()(not_a_function)  # type: ignore[arg-type]

    def generator() -> Any:
        yield 1

    with pytest.raises(error.DBOSException, match="generator"):
        DBOS.step()(generator)
    with pytest.raises(error.DBOSException, match="generator"):
        DBOS.workflow()(generator)


# ---------------------------------------------------------------- reservations


def test_reserved_numbers_are_kept(launch: Launch, replay: Replay) -> None:
    ran: list[str] = []

    def work(name: str) -> str:
        ran.append(name)
        return name

    async def work_async(name: str) -> str:
        ran.append(name)
        return name

    @DBOS.workflow()
    async def workflow() -> list[Any]:
        first, second, never = DBOS.reserve_step(), DBOS.reserve_step(), DBOS.reserve_step()
        results = [
            await second.run_async({"name": "second"}, work_async, "b"),
            first.run({"name": "first"}, work, "a"),
        ]
        with pytest.raises(error.DBOSException, match="once"):
            first.run(None, work, "again")
        return [*results, first.step_id, second.step_id, never.step_id, DBOS.run_step({"name": "last"}, work, "c")]

    launch()
    with SetWorkflowID("w"):
        assert asyncio.run(asyncio.to_thread(lambda: asyncio.run(workflow()))) == ["b", "a", 1, 2, 3, "c"]
    steps = [(step["function_id"], step["function_name"]) for step in DBOS.list_workflow_steps("w")]
    assert steps == [(1, "first"), (2, "second"), (4, "last")]
    assert replay("w").get_result() == ["b", "a", 1, 2, 3, "c"]
    assert ran == ["b", "a", "c"]


def test_numbers_are_reserved_in_workflow_bodies_only(launch: Launch) -> None:
    kept: list[Any] = []

    @DBOS.step()
    def step() -> None:
        with pytest.raises(error.DBOSException, match="workflow"):
            DBOS.reserve_step()
        with pytest.raises(error.DBOSException):
            kept[0].run(None, int)

    @DBOS.workflow()
    def other() -> None:
        with pytest.raises(error.DBOSException, match="workflow that made it"):
            kept[0].run(None, int)

    @DBOS.workflow()
    def workflow() -> int:
        kept.append(DBOS.reserve_step())
        step()
        other()
        return kept[0].run({"name": "at last"}, lambda: 7)

    launch()
    with pytest.raises(error.DBOSException, match="workflow"):
        DBOS.reserve_step()
    assert workflow() == 7


# ---------------------------------------------------------------- what a step may call


def test_what_a_step_may_call(launch: Launch) -> None:
    @DBOS.workflow()
    def other() -> int:
        return 4

    @DBOS.step(name="step")
    def step() -> list[Any]:
        DBOS.cancel_workflow("nobody")
        return [
            len(DBOS.list_workflows()),
            DBOS.get_result("other"),
            DBOS.run_step(None, lambda: 1),
            status_of("other").status,
            DBOS.list_workflow_steps("nobody"),
        ]

    @DBOS.step()
    def sleeping() -> None:
        DBOS.sleep(0)

    @DBOS.workflow()
    def workflow() -> list[Any]:
        with pytest.raises(error.DBOSException, match="from within a step"):
            sleeping()
        return step()

    launch()
    with SetWorkflowID("other"):
        other()
    with SetWorkflowID("w"):
        assert workflow() == [2, 4, 1, "SUCCESS", []]
    assert names_of("w") == [sleeping.__qualname__, "step"]
