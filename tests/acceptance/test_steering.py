"""api.md §11.2: cancelling workflows, and resuming them: also failed ones, in every shape a failure can have."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID, SetWorkflowTimeout, WorkflowStatus, error
from dbos.api.launched import launched_engine
from dbos.runtime.executor import Executor
from tests.support.fixture_types import Launch, Replay
from tests.support.waiting import Gate, eventually


def status_of(workflow_id: str) -> WorkflowStatus:
    return DBOS.retrieve_workflow(workflow_id).get_status()


# ---------------------------------------------------------------- cancelling


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_cancelled_workflow_stops_before_its_next_step(launch: Launch, coroutine: bool) -> None:
    reached: list[str] = []
    with Gate() as gate:

        @DBOS.step()
        def step(name: str) -> None:
            reached.append(name)

        @DBOS.workflow()
        def plain() -> None:
            step("first")
            try:
                gate.pass_through()
                step("second")
            except Exception:
                reached.append("swallowed")
            except BaseException as signal:
                reached.append(type(signal).__name__)
                raise

        @DBOS.workflow()
        async def slow() -> None:
            step("first")
            try:
                await gate.pass_through_async()
                step("second")
            except Exception:
                reached.append("swallowed")
            except BaseException as signal:
                reached.append(type(signal).__name__)
                raise

        launch()
        handle = DBOS.start_workflow(slow if coroutine else plain)
        gate.wait_for_arrival()
        DBOS.cancel_workflow(handle.workflow_id)
        status = handle.get_status()
        assert status.status == "CANCELLED"
        assert status.completed_at is not None
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError, match="was cancelled"):
        handle.get_result()
    DBOS.destroy(workflow_completion_timeout_sec=20)
    assert reached == ["first", "DBOSWorkflowCancelledError"]


def test_who_catches_everything_stays_cancelled(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> str:
            try:
                gate.pass_through()
                DBOS.sleep(0)
            except BaseException:
                pass
            return "a result nobody sees"

        launch()
        handle = DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        DBOS.cancel_workflow(handle.workflow_id)
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    DBOS.destroy(workflow_completion_timeout_sec=20)
    launch()
    assert status_of(handle.workflow_id).status == "CANCELLED"
    assert status_of(handle.workflow_id).output is None


@pytest.mark.parametrize("start", [False, True])
def test_a_cancellation_passes_through_task_groups(launch: Launch, start: bool) -> None:
    @DBOS.workflow()
    async def workflow() -> None:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(DBOS.sleep_async(1000))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(DBOS.sleep_async(1000))

    async def main() -> None:
        with SetWorkflowTimeout(0.1), SetWorkflowID("w"):
            if start:
                await (await DBOS.start_workflow_async(workflow)).get_result()
            else:
                await workflow()

    launch()
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        asyncio.run(main())
    assert status_of("w").status == "CANCELLED"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_other_failures_in_task_groups_are_left_alone(launch: Launch, failure: type[BaseException]) -> None:
    async def fail() -> None:
        raise failure("in a task")

    @DBOS.workflow()
    async def workflow() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    launch()
    with SetWorkflowID("w"), pytest.raises((ExceptionGroup, KeyboardInterrupt)):
        asyncio.run(run_soon(workflow))
    assert status_of("w").status == ("ERROR" if failure is ValueError else "PENDING")


def test_the_direct_caller_of_a_cancelled_workflow(launch: Launch) -> None:
    @DBOS.workflow()
    def cancels_itself() -> None:
        assert DBOS.workflow_id is not None
        DBOS.cancel_workflow(DBOS.workflow_id)
        DBOS.sleep(0)
        raise AssertionError("must not be reached")

    @DBOS.workflow()
    async def cancels_itself_async() -> None:
        assert DBOS.workflow_id is not None
        await DBOS.cancel_workflow_async(DBOS.workflow_id)
        await DBOS.sleep_async(0)
        raise AssertionError("must not be reached")

    launch()
    with SetWorkflowID("plain"), pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        cancels_itself()
    with SetWorkflowID("async"), pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        asyncio.run(cancels_itself_async())
    assert status_of("plain").status == status_of("async").status == "CANCELLED"


@pytest.mark.parametrize("start", [False, True])
def test_a_parent_learns_that_its_child_was_cancelled(launch: Launch, replay: Replay, start: bool) -> None:
    @DBOS.workflow()
    def child() -> None:
        DBOS.sleep(1000)

    def run_child() -> None:
        if start:
            DBOS.start_workflow(child).get_result()
        else:
            child()

    @DBOS.workflow()
    def catching() -> str:
        try:
            run_child()
        except Exception as caught:
            return type(caught).__name__
        return "nothing"

    @DBOS.workflow()
    def failing() -> None:
        run_child()

    launch()
    for workflow_id, func in (("catching", catching), ("failing", failing)):
        with SetWorkflowID(workflow_id):
            DBOS.start_workflow(func)
        eventually(lambda each=workflow_id: DBOS.list_workflow_steps(f"{each}-1"))
        DBOS.cancel_workflow(f"{workflow_id}-1")
    assert DBOS.get_result("catching") == "DBOSAwaitedWorkflowCancelledError"
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        DBOS.get_result("failing")
    assert status_of("failing").status == "ERROR"
    assert replay("catching").get_result() == "DBOSAwaitedWorkflowCancelledError"


def test_children_are_cancelled_if_asked_for(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def leaf() -> None:
            gate.pass_through()
            DBOS.sleep(1000)

        @DBOS.workflow()
        def middle() -> None:
            DBOS.start_workflow(leaf)
            gate.pass_through()
            DBOS.sleep(1000)

        @DBOS.workflow()
        def root() -> None:
            DBOS.start_workflow(middle)
            gate.pass_through()
            DBOS.sleep(1000)

        launch()
        with SetWorkflowID("r"):
            DBOS.start_workflow(root)
        gate.wait_for_arrival(3)
        DBOS.cancel_workflow("r")
        statuses = {status.workflow_id: status.status for status in DBOS.list_workflows()}
        assert statuses == {"r": "CANCELLED", "r-1": "PENDING", "r-1-1": "PENDING"}
        asyncio.run(DBOS.cancel_workflow_async("r", cancel_children=True))
        assert {status.status for status in DBOS.list_workflows()} == {"CANCELLED"}


def test_finished_and_unknown_workflows_are_left_alone(launch: Launch) -> None:
    @DBOS.workflow()
    def works() -> int:
        return 1

    @DBOS.workflow()
    def fails() -> None:
        raise ValueError("failed")

    launch()
    with SetWorkflowID("works"):
        works()
    with SetWorkflowID("fails"), pytest.raises(ValueError, match="failed"):
        fails()
    before = repr(DBOS.list_workflows())
    DBOS.cancel_workflows(["works", "fails", "nobody"])
    DBOS.cancel_workflow("works", cancel_children=True)
    asyncio.run(DBOS.cancel_workflows_async(["works", "works"]))
    DBOS.cancel_workflows([])
    assert repr(DBOS.list_workflows()) == before
    for wrong in ("works", [1], [None], ["\0"], ["\ud800"]):
        with pytest.raises(error.DBOSException):
            DBOS.cancel_workflows(wrong)  # type: ignore[arg-type]


def test_many_are_cancelled_at_once(launch: Launch) -> None:
    @DBOS.workflow()
    async def workflow() -> None:
        await DBOS.sleep_async(1000)

    launch()
    handles = [DBOS.start_workflow(workflow) for _ in range(20)]
    DBOS.cancel_workflows([handle.workflow_id for handle in handles])
    for handle in handles:
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            handle.get_result()


def test_cancelling_in_a_workflow_is_a_step(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow()
    def other() -> None:
        DBOS.sleep(1000)

    @DBOS.workflow()
    def workflow() -> None:
        DBOS.cancel_workflow("other")
        DBOS.resume_workflow("other", queue_name="parked")

    launch()
    with SetWorkflowID("other"):
        DBOS.start_workflow(other)
    with SetWorkflowID("w"):
        workflow()
    names = [step["function_name"] for step in DBOS.list_workflow_steps("w")]
    assert names == ["DBOS.cancelWorkflow", "DBOS.resumeWorkflow"]
    assert (status_of("other").status, status_of("other").queue_name) == ("ENQUEUED", "parked")
    DBOS.cancel_workflow("other")
    replay("w").get_result()
    assert status_of("other").status == "CANCELLED"


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_cancelled_workflow_goes_on_from_its_last_step(launch: Launch, coroutine: bool) -> None:
    ran: list[str] = []
    with Gate() as gate:

        @DBOS.step()
        def step(name: str) -> str:
            ran.append(name)
            return name

        @DBOS.workflow()
        def plain() -> str:
            first = step("first")
            gate.pass_through()
            return first + step("second")

        @DBOS.workflow()
        async def slow() -> str:
            first = step("first")
            await gate.pass_through_async()
            return first + step("second")

        launch()
        with SetWorkflowID("w"):
            handle = DBOS.start_workflow(slow if coroutine else plain)
        gate.wait_for_arrival()
        DBOS.cancel_workflow("w")
        assert status_of("w").status == "CANCELLED"
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    resumed = DBOS.resume_workflow("w")
    assert (resumed.workflow_id, resumed.get_result()) == ("w", "firstsecond")
    assert handle.get_result() == "firstsecond"
    assert ran == ["first", "second"]
    status = status_of("w")
    assert (status.status, status.recovery_attempts, status.queue_name) == ("SUCCESS", 1, "_dbos_internal_queue")


def test_a_success_is_never_left(launch: Launch) -> None:
    ran: list[int] = []

    @DBOS.workflow()
    def workflow() -> int:
        ran.append(1)
        return len(ran)

    launch()
    with SetWorkflowID("w"):
        workflow()
    before = status_of("w")
    assert DBOS.resume_workflow("w").get_result() == 1
    assert asyncio.run(resume_and_wait("w")) == 1
    assert status_of("w") == before
    assert ran == [1]


async def resume_and_wait(workflow_id: str) -> Any:
    return await (await DBOS.resume_workflow_async(workflow_id)).get_result()


def test_an_unknown_workflow_cannot_be_resumed(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            gate.pass_through()

        launch()
        with SetWorkflowID("known"):
            DBOS.start_workflow(workflow)
        DBOS.cancel_workflow("known")
        with pytest.raises(error.DBOSNonExistentWorkflowError, match="nobody"):
            DBOS.resume_workflow("nobody")
        with pytest.raises(error.DBOSNonExistentWorkflowError, match="nobody"):
            DBOS.resume_workflows(["known", "nobody"])
        with pytest.raises(error.DBOSNonExistentWorkflowError, match="nobody"):
            asyncio.run(DBOS.resume_workflows_async(["known", "nobody"]))
        assert status_of("known").status == "CANCELLED"


@pytest.mark.parametrize("in_step", [False, True])
def test_a_workflow_cannot_resume_itself(launch: Launch, in_step: bool) -> None:
    """It would supersede itself for ever."""

    def resume_itself() -> None:
        with pytest.raises(error.DBOSException, match="Workflow w cannot resume itself"):
            DBOS.resume_workflow("w")
        with pytest.raises(error.DBOSException, match="Workflow w cannot resume itself"):
            DBOS.resume_workflows(["other", "w"])

    step = DBOS.step()(resume_itself)

    @DBOS.workflow()
    def workflow() -> str:
        (step if in_step else resume_itself)()
        return "done"

    @DBOS.workflow()
    async def coroutine() -> str:
        with pytest.raises(error.DBOSException, match="Workflow c cannot resume itself"):
            await DBOS.resume_workflows_async(["other", "c"])
        return "done"

    launch()
    with SetWorkflowID("w"):
        assert workflow() == "done"
    with SetWorkflowID("c"):
        assert DBOS.start_workflow(coroutine).get_result() == "done"
    assert [step["function_name"] for step in DBOS.list_workflow_steps("c")] == []
    assert status_of("w").recovery_attempts == 1


def test_several_are_resumed_at_once(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow(number: int) -> int:
            gate.pass_through()
            DBOS.sleep(0)
            return number

        launch()
        handles = [DBOS.start_workflow(workflow, number) for number in range(3)]
        gate.wait_for_arrival(3)
        DBOS.cancel_workflows([handle.workflow_id for handle in handles])
    resumed = DBOS.resume_workflows([handle.workflow_id for handle in handles])
    assert [handle.get_result() for handle in resumed] == [0, 1, 2]
    assert DBOS.resume_workflows([]) == []


def test_resuming_what_runs_supersedes_it(launch: Launch) -> None:
    ran: list[str] = []
    first = Gate()
    with first:

        @DBOS.step()
        def step(name: str) -> str:
            ran.append(name)
            return name

        @DBOS.workflow()
        def workflow() -> str:
            if first.passes == 0:
                first.pass_through()
                return step("first attempt")
            return step("second attempt")

        launch()
        handle = DBOS.start_workflow(workflow)
        first.wait_for_arrival()
        assert DBOS.resume_workflow(handle.workflow_id).get_result() == "second attempt"
        first.open()
        assert handle.get_result() == "second attempt"
    DBOS.destroy(workflow_completion_timeout_sec=20)
    assert ran == ["second attempt"]


# ---------------------------------------------------------------- resuming failures


class Flaky:
    """A part that fails until it is repaired, and counts its calls."""

    def __init__(self) -> None:
        self.broken = True
        self.calls: list[str] = []

    def __call__(self, name: str) -> str:
        self.calls.append(name)
        if self.broken:
            raise ValueError(f"{name} is broken")
        return name


def fail_then_resume(start: Callable[[], Any], flaky: Flaky) -> Any:
    """Run as "w" and see it fail; repair; resume; the result."""
    with SetWorkflowID("w"), pytest.raises((ValueError, error.DBOSMaxStepRetriesExceeded)):
        start()
    assert status_of("w").status == "ERROR"
    flaky.broken = False
    result = DBOS.resume_workflow("w").get_result()
    status = status_of("w")
    assert (status.status, status.error, status.output) == ("SUCCESS", None, result)
    return result


@pytest.mark.parametrize("retries", [False, True])
def test_a_failing_step_is_tried_again(launch: Launch, replay: Replay, retries: bool) -> None:
    flaky = Flaky()
    before: list[int] = []

    @DBOS.step()
    def good(number: int) -> int:
        before.append(number)
        return number

    @DBOS.step(retries_allowed=retries, interval_seconds=0.001, max_attempts=2)
    def step() -> str:
        return flaky("step")

    @DBOS.workflow()
    def workflow() -> list[Any]:
        return [good(1), good(2), step(), good(3)]

    launch()
    assert fail_then_resume(workflow, flaky) == [1, 2, "step", 3]
    assert before == [1, 2, 3]
    assert len(flaky.calls) == (3 if retries else 2)
    assert replay("w").get_result() == [1, 2, "step", 3]
    assert before == [1, 2, 3]


def test_a_bug_in_the_body_is_run_again(launch: Launch) -> None:
    flaky = Flaky()
    before: list[int] = []

    @DBOS.step()
    def good(number: int) -> int:
        before.append(number)
        return number

    @DBOS.workflow()
    def workflow() -> list[Any]:
        return [good(1), flaky("body"), good(2)]

    launch()
    assert fail_then_resume(workflow, flaky) == [1, "body", 2]
    assert before == [1, 2]


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("coroutine", [False, True])
def test_a_failed_child_is_reopened_with_its_parent(launch: Launch, start: bool, coroutine: bool) -> None:
    flaky = Flaky()
    before: list[str] = []

    @DBOS.step()
    def good(name: str) -> str:
        before.append(name)
        return name

    @DBOS.step()
    def step() -> str:
        return flaky("step")

    @DBOS.workflow()
    def child() -> str:
        return good("in child") + step()

    @DBOS.workflow()
    async def child_async() -> str:
        return good("in child") + step()

    @DBOS.workflow()
    def parent() -> list[str]:
        first = good("in parent")
        return [first, DBOS.start_workflow(child).get_result() if start else child()]

    @DBOS.workflow()
    async def parent_async() -> list[str]:
        first = good("in parent")
        if start:
            return [first, await (await DBOS.start_workflow_async(child_async)).get_result()]
        return [first, await child_async()]

    launch()
    run = (lambda: asyncio.run(parent_async())) if coroutine else parent
    assert fail_then_resume(run, flaky) == ["in parent", "in childstep"]
    assert before == ["in parent", "in child"]
    assert flaky.calls == ["step", "step"]
    assert status_of("w-2").status == "SUCCESS"


def test_a_failed_grandchild_is_reopened(launch: Launch) -> None:
    flaky = Flaky()

    @DBOS.workflow()
    def leaf() -> str:
        return flaky("leaf")

    @DBOS.workflow()
    def middle() -> str:
        return leaf()

    @DBOS.workflow()
    def root() -> str:
        return middle()

    launch()
    assert fail_then_resume(root, flaky) == "leaf"
    assert {status.status for status in DBOS.list_workflows()} == {"SUCCESS"}


def test_what_followed_a_handled_failure_is_not_led_astray(launch: Launch) -> None:
    """The body raised by itself, after a failure that it had handled: the replay has to take the same way."""
    broken = [True]

    @DBOS.step()
    def primary() -> str:
        if broken:
            raise ConnectionError("down")
        return "primary"

    @DBOS.step()
    def fallback() -> str:
        return "fallback"

    @DBOS.step()
    def deliver(what: str) -> str:
        return what

    @DBOS.workflow()
    def workflow() -> str:
        try:
            what = primary()
        except ConnectionError:
            what = fallback()
        deliver(what)
        if broken:
            raise RuntimeError("a bug in the body")
        return what

    launch()
    with SetWorkflowID("w"), pytest.raises(RuntimeError):
        workflow()
    broken.clear()
    assert DBOS.resume_workflow("w").get_result() == "fallback"


@pytest.mark.parametrize("busy", [None, "body", "good", "step"])
def test_a_failure_among_gathered_steps_is_tried_again(launch: Launch, busy: str | None) -> None:
    """However long one of them, or what is before them, keeps the event loop from going on with the others."""
    flaky = Flaky()
    before: list[int] = []

    def keep_busy(name: str) -> None:
        if busy == name:
            time.sleep(0.2)

    @DBOS.step()
    async def good(number: int) -> int:
        keep_busy("good")
        before.append(number)
        return number

    @DBOS.step()
    async def step() -> str:
        keep_busy("step")
        return flaky("step")

    @DBOS.workflow()
    async def workflow() -> list[Any]:
        keep_busy("body")
        results = await asyncio.gather(good(1), step(), good(2), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    launch()
    assert fail_then_resume(lambda: asyncio.run(run_soon(workflow)), flaky) == [1, "step", 2]
    assert before == [1, 2]
    assert flaky.calls == ["step", "step"]


def test_all_failures_among_gathered_steps_are_tried_again(launch: Launch) -> None:
    """Not only what the workflow ended with, and what was after the last that completed."""
    flaky = Flaky()
    names = ["bad 1", "good 1", "bad 2", "good 2", "bad 3"]
    ran: list[str] = []

    @DBOS.step()
    async def call(name: str) -> str:
        ran.append(name)
        return flaky(name) if name.startswith("bad") else name

    @DBOS.workflow()
    async def workflow() -> list[Any]:
        results = await asyncio.gather(*map(call, names), return_exceptions=True)
        for result in reversed(results[:3]):
            if isinstance(result, BaseException):
                raise result
        return results

    launch()
    assert fail_then_resume(lambda: asyncio.run(run_soon(workflow)), flaky) == names
    assert sorted(ran) == sorted([*names, "bad 1", "bad 2", "bad 3"])


def test_a_wait_that_ended_with_a_failure_waits_again(launch: Launch) -> None:
    """What it had come to was half of what the workflow waits for now that nothing fails."""
    flaky = Flaky()
    gate = asyncio.Event()

    @DBOS.step()
    async def bad() -> str:
        return flaky("bad")

    @DBOS.step()
    async def good() -> str:
        await gate.wait()
        return "good"

    @DBOS.workflow()
    async def workflow() -> list[str]:
        done, pending = await DBOS.asyncio_wait([bad(), good()], return_when=asyncio.FIRST_EXCEPTION)
        for each in pending:
            each.cancel()
        return sorted([await each for each in done])

    launch()
    with SetWorkflowID("w"), pytest.raises(ValueError, match="bad"):
        asyncio.run(run_soon(workflow))
    assert status_of("w").status == "ERROR"
    flaky.broken = False
    gate.set()
    assert DBOS.resume_workflow("w").get_result() == ["bad", "good"]


@pytest.mark.parametrize("busy", [None, "good", "bad"])
def test_a_failure_among_gathered_children_is_tried_again(launch: Launch, busy: str | None) -> None:
    flaky = Flaky()
    before: list[int] = []

    def keep_busy(name: str) -> None:
        if busy == name:
            time.sleep(0.2)

    @DBOS.workflow()
    async def good(number: int) -> int:
        keep_busy("good")
        before.append(number)
        return number

    @DBOS.workflow()
    async def bad() -> str:
        keep_busy("bad")
        return flaky("child")

    @DBOS.workflow()
    async def workflow() -> list[Any]:
        results = await asyncio.gather(good(1), bad(), good(2), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    launch()
    assert fail_then_resume(lambda: asyncio.run(run_soon(workflow)), flaky) == [1, "child", 2]
    assert sorted(before) == [1, 2]
    assert flaky.calls == ["child", "child"]


def test_a_failure_among_steps_on_threads_is_tried_again(launch: Launch) -> None:
    """The second thread comes to its step when the first has failed; but its number was drawn before."""
    flaky = Flaky()
    before: list[int] = []

    @DBOS.workflow()
    def workflow() -> list[Any]:
        steps = [DBOS.reserve_step(), DBOS.reserve_step()]
        with ThreadPoolExecutor(1) as threads:
            bad = threads.submit(copy_context().run, steps[0].run, {"name": "bad"}, flaky, "step")
            good = threads.submit(copy_context().run, steps[1].run, {"name": "good"}, before.append, 2)
        return [bad.result(), good.result()]

    launch()
    assert fail_then_resume(workflow, flaky) == ["step", None]
    assert before == [2]
    assert flaky.calls == ["step", "step"]


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_failure_that_was_cleaned_up_after_is_not_tried_again(launch: Launch, coroutine: bool) -> None:
    """However soon after it, and though the workflow failed with it: a replay without it would not clean up."""
    flaky = Flaky()
    cleaned: list[str] = []

    @DBOS.step()
    def step() -> str:
        return flaky("step")

    @DBOS.step()
    def clean() -> None:
        cleaned.append("clean")

    def body() -> str:
        try:
            return step()
        except ValueError:
            clean()
            raise

    @DBOS.workflow()
    def plain() -> str:
        return body()

    @DBOS.workflow()
    async def slow() -> str:
        return body()

    launch()
    with SetWorkflowID("w"), pytest.raises(ValueError, match="broken"):
        DBOS.start_workflow(slow if coroutine else plain).get_result()
    flaky.broken = False
    with pytest.raises(ValueError, match="broken"):
        DBOS.resume_workflow("w").get_result()
    assert (flaky.calls, cleaned) == (["step"], ["clean"])


async def run_soon(workflow: Callable[[], Any]) -> Any:
    return await workflow()


def test_a_caught_failure_before_the_last_one_stays_recorded(launch: Launch) -> None:
    flaky = Flaky()
    caught: list[str] = []

    @DBOS.step()
    def expected() -> None:
        caught.append("expected")
        raise KeyError("expected")

    @DBOS.step()
    def good() -> str:
        return "good"

    @DBOS.step()
    def step() -> str:
        return flaky("step")

    @DBOS.workflow()
    def workflow() -> list[str]:
        try:
            expected()
        except KeyError:
            first = good()
        return [first, step()]

    launch()
    assert fail_then_resume(workflow, flaky) == ["good", "step"]
    assert caught == ["expected"]


def test_a_workflow_that_still_fails_fails_again(launch: Launch) -> None:
    flaky = Flaky()

    @DBOS.step()
    def step() -> str:
        return flaky("step")

    @DBOS.workflow()
    def workflow() -> str:
        return step()

    launch()
    with SetWorkflowID("w"), pytest.raises(ValueError, match="broken"):
        workflow()
    for calls in (2, 3):
        with pytest.raises(ValueError, match="broken"):
            DBOS.resume_workflow("w").get_result()
        assert len(flaky.calls) == calls
    flaky.broken = False
    assert DBOS.resume_workflow("w").get_result() == "step"


# ---------------------------------------------------------------- how soon


def test_a_local_cancellation_is_seen_at_once(launch: Launch) -> None:
    @DBOS.workflow()
    async def workflow() -> None:
        await DBOS.sleep_async(1000)

    launch(notification_listener_polling_interval_sec=600)  # nobody looks by himself
    handle = DBOS.start_workflow(workflow)
    eventually(lambda: DBOS.list_workflow_steps(handle.workflow_id))
    begun = time.monotonic()
    DBOS.cancel_workflow(handle.workflow_id)
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    assert time.monotonic() - begun < 20


def test_a_resume_does_not_stop_what_it_made_run(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resumed workflow may be claimed before the one who resumed it goes on."""
    runs: list[int] = []
    release = threading.Event()

    @DBOS.step()
    def step() -> int:
        return len(runs)

    @DBOS.workflow()
    def workflow() -> int:
        runs.append(1)
        assert release.wait(30)
        return step()

    launch()
    with SetWorkflowID("w"):
        DBOS.start_workflow(workflow)
    eventually(lambda: len(runs) == 1)
    DBOS.cancel_workflow("w")
    engine = launched_engine()
    assert isinstance(engine, Executor)
    resume = engine.store.workflows.resume

    def resume_slowly(*arguments: Any) -> list[str]:
        reopened = resume(*arguments)
        engine.queue_changed(None)
        eventually(lambda: len(runs) == 2)
        return reopened

    monkeypatch.setattr(engine.store.workflows, "resume", resume_slowly)
    DBOS.resume_workflow("w")
    release.set()
    status = eventually(lambda: (s := DBOS.get_workflow_status("w")) and s.status == "SUCCESS", 10)
    assert status
