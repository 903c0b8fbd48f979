"""api.md §8.2: events that workflows publish."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID, WorkflowHandle, WorkflowSerializationFormat, error
from dbos.api.launched import current_engine
from dbos.testing.shifting import Shift
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import count_rows, run_sql
from tests.support.waiting import Gate, eventually

FOREVER = 1000.0

Publisher = Callable[..., Any]


@pytest.fixture(params=["plain", "coroutine"])
def publisher(request: pytest.FixtureRequest, launch: Launch) -> Publisher:
    """A workflow that sets events, in either colour."""

    @DBOS.workflow()
    def publish(events: list[tuple[str, Any]]) -> str:
        for key, value in events:
            DBOS.set_event(key, value)
        return "done"

    @DBOS.workflow()
    async def publish_async(events: list[tuple[str, Any]]) -> str:
        for key, value in events:
            await DBOS.set_event_async(key, value)
        return "done"

    return publish if request.param == "plain" else publish_async


@pytest.fixture(params=["plain", "coroutine"])
def reader(request: pytest.FixtureRequest, launch: Launch) -> Publisher:
    """A workflow that waits for events, in either colour."""

    @DBOS.workflow()
    def read(workflow_id: str, keys: list[str], timeout_seconds: float = FOREVER) -> list[Any]:
        return [DBOS.get_event(workflow_id, key, timeout_seconds) for key in keys]

    @DBOS.workflow()
    async def read_async(workflow_id: str, keys: list[str], timeout_seconds: float = FOREVER) -> list[Any]:
        return [await DBOS.get_event_async(workflow_id, key, timeout_seconds) for key in keys]

    return read if request.param == "plain" else read_async


def started(workflow: Publisher, *arguments: Any, workflow_id: str = "w") -> WorkflowHandle[Any]:
    with SetWorkflowID(workflow_id):
        return DBOS.start_workflow(workflow, *arguments)


def steps_of(workflow_id: str) -> list[tuple[int, str]]:
    return [(step["function_id"], step["function_name"]) for step in DBOS.list_workflow_steps(workflow_id)]


def await_readers(count: int = 1) -> None:
    """Until so many events are waited for."""
    eventually(lambda: len(current_engine().waiters.waiting_for("event")) >= count)


def history(database_url: str, workflow_id: str = "w") -> list[tuple[Any, ...]]:
    return run_sql(
        database_url,
        "select function_id, key, value from workflow_events_history where workflow_uuid = ? order by function_id, key",
        workflow_id,
    )


# ---------------------------------------------------------------- setting


def test_the_latest_value_of_each_key_stays(
    launch: Launch, publisher: Publisher, database_url: str, replay: Replay
) -> None:
    launch()
    started(publisher, [("a", 1), ("b", {"x": None}), ("a", 2)]).get_result()
    assert steps_of("w") == [(1, "DBOS.setEvent"), (2, "DBOS.setEvent"), (3, "DBOS.setEvent")]
    assert history(database_url) == [(1, "a", "1"), (2, "b", '{"x":null}'), (3, "a", "2")]
    for _ in range(2):
        assert DBOS.get_event("w", "a", 0) == 2
        assert asyncio.run(DBOS.get_event_async("w", "b", 0)) == {"x": None}
        assert DBOS.get_all_events("w") == asyncio.run(DBOS.get_all_events_async("w")) == {"a": 2, "b": {"x": None}}
        assert replay("w").get_result() == "done"  # and sets nothing back
    assert len(history(database_url)) == 3


def test_a_replay_never_sets_an_event_back(launch: Launch, replay: Replay) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            DBOS.set_event("k", 1)
            DBOS.set_event("k", 2)
            gate.pass_through()

        launch()
        handle = started(workflow)
        gate.wait_for_arrival()
        DBOS._recover_pending_workflows([DBOS.executor_id])
        gate.wait_for_arrival(2)
        assert DBOS.get_event("w", "k", 0) == 2
        gate.open()
        handle.get_result()
        assert DBOS.get_event("w", "k", 0) == 2


def test_a_step_may_set_an_event_without_a_row(launch: Launch, database_url: str) -> None:
    @DBOS.step(retries_allowed=True, interval_seconds=0.001)
    def step() -> None:
        status = DBOS.step_status
        assert status is not None
        DBOS.set_event("k", status.current_attempt)
        if status.current_attempt == 0:
            raise ConnectionError

    @DBOS.step()
    async def step_async() -> None:
        await DBOS.set_event_async("l", "async")

    @DBOS.workflow()
    async def workflow() -> None:
        await DBOS.set_event_async("k", "body")
        step()
        await step_async()

    launch()
    started(workflow).get_result()
    assert [number for number, _ in steps_of("w")] == [1, 2, 3]
    assert DBOS.get_all_events("w") == {"k": 1, "l": "async"}
    assert history(database_url) == [(1, "k", '"body"'), (2, "k", "1"), (3, "l", '"async"')]


def test_a_superseded_step_sets_nothing_more(launch: Launch) -> None:
    refused: list[BaseException] = []
    with Gate() as gate:

        @DBOS.step()
        def step() -> None:
            late = gate.passes > 0
            gate.pass_through()
            try:
                DBOS.set_event("k", "late" if not late else "new")
            except BaseException as refusal:
                refused.append(refusal)
                raise

        @DBOS.workflow()
        def workflow() -> None:
            step()

        launch()
        handle = started(workflow)
        gate.wait_for_arrival()
        DBOS._recover_pending_workflows([DBOS.executor_id])
        gate.wait_for_arrival(2)
        gate.open()
        handle.get_result()
        eventually(lambda: refused)
    assert [type(each) for each in refused] == [error.DBOSWorkflowConflictIDError]
    assert DBOS.get_event("w", "k", 0) == "new"


def test_setting_needs_a_workflow(launch: Launch) -> None:
    launch()
    for attempt in (lambda: DBOS.set_event("k", 1), lambda: asyncio.run(DBOS.set_event_async("k", 1))):
        with pytest.raises(error.DBOSException, match=r"DBOS.set_event\(\) must be called from within a workflow"):
            attempt()


def test_how_a_value_is_stored_can_be_chosen(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        DBOS.set_event("native", 1, serialization_type=WorkflowSerializationFormat.NATIVE)
        DBOS.set_event("default", {1, 2})

    launch()
    started(workflow).get_result()
    assert DBOS.get_all_events("w") == {"native": 1, "default": {1, 2}}
    assert run_sql(database_url, "select key, serialization from workflow_events order by key") == [
        ("default", "py_pickle"),
        ("native", "py_pickle"),
    ]


# ---------------------------------------------------------------- getting


def test_plain_code_waits_for_an_event(launch: Launch, publisher: Publisher) -> None:
    launch()
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(DBOS.get_event("w", "k", FOREVER))),
        threading.Thread(target=lambda: found.append(asyncio.run(DBOS.get_event_async("w", "k", FOREVER)))),
    ]
    for thread in threads:
        thread.start()
    await_readers()
    started(publisher, [("other", 1), ("k", "here")])
    for thread in threads:
        thread.join(20)
    assert found == ["here", "here"]


def test_a_stored_none_is_an_answer(launch: Launch, publisher: Publisher) -> None:
    launch()
    started(publisher, [("k", None)]).get_result()
    begun = time.monotonic()
    assert DBOS.get_event("w", "k", FOREVER) is None
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("seconds", [0.2, 0, -1])
def test_an_event_that_is_not_set_in_time_gives_none(launch: Launch, seconds: float) -> None:
    launch()
    begun = time.monotonic()
    assert DBOS.get_event("nobody", "k", seconds) is None
    assert asyncio.run(DBOS.get_event_async("nobody", "k", seconds)) is None
    assert time.monotonic() - begun >= 2 * max(0.0, seconds) - 0.01
    assert DBOS.get_all_events("nobody") == {}


def test_in_a_workflow_the_answer_is_recorded(
    launch: Launch, publisher: Publisher, reader: Publisher, replay: Replay
) -> None:
    @DBOS.workflow()
    def all_events() -> Any:
        return DBOS.get_all_events("w")

    launch()
    reading = started(reader, "w", ["a", "b", "a"], workflow_id="r")
    await_readers()
    started(publisher, [("a", 1), ("b", None)]).get_result()
    assert reading.get_result() == [1, None, 1]
    assert steps_of("r") == [(n, ("DBOS.sleep", "DBOS.getEvent")[n % 2]) for n in range(1, 7)]
    looking = started(all_events, workflow_id="all")
    assert looking.get_result() == {"a": 1, "b": None}
    assert steps_of("all") == [(1, "DBOS.get_events")]
    run_sql(current_engine_url(), "update workflow_events set value = '7'")
    assert replay("r").get_result() == [1, None, 1]
    assert replay("all").get_result() == {"a": 1, "b": None}
    assert DBOS.get_all_events("w") == {"a": 7, "b": 7}


def current_engine_url() -> str:
    assert DBOS._instance is not None
    return DBOS._instance._settings.system_database_url


def test_in_a_workflow_no_event_in_time_gives_none_for_good(
    launch: Launch, publisher: Publisher, reader: Publisher, replay: Replay
) -> None:
    launch()
    assert started(reader, "w", ["a"], 0.1, workflow_id="r").get_result() == [None]
    started(publisher, [("a", 1)]).get_result()
    assert replay("r").get_result() == [None]


@pytest.mark.owner("makes the table that moves the time of a database")
def test_a_restart_does_not_prolong_the_wait(launch: Launch) -> None:
    """It waits for two hours, and the process ends after each of them."""

    @DBOS.workflow()
    def workflow() -> Any:
        return DBOS.get_event("nobody", "k", 7200)

    shift = Shift()
    with shift.installed():
        launch()
        started(workflow)
        for _ in range(2):
            await_readers()
            eventually(lambda: steps_of("w") == [(2, "DBOS.sleep")])
            shift.forward(3_600_000)
            launch()
        eventually(lambda: DBOS.retrieve_workflow("w").get_status().status == "SUCCESS")
        assert DBOS.get_result("w") is None


def test_an_event_is_found_after_a_restart(launch: Launch, publisher: Publisher, reader: Publisher) -> None:
    launch()
    started(reader, "w", ["k"], workflow_id="r")
    await_readers()
    launch()
    await_readers()
    started(publisher, [("k", "here")])
    assert DBOS.get_result("r") == ["here"]


def test_a_cancellation_ends_the_wait_of_a_workflow_and_of_its_steps(launch: Launch, reader: Publisher) -> None:
    @DBOS.step()
    async def step() -> Any:
        return await DBOS.get_event_async("nobody", "k", FOREVER)

    @DBOS.workflow()
    async def by_a_step() -> Any:
        return await step()

    launch()
    handles = [started(reader, "nobody", ["k"]), started(by_a_step, workflow_id="x")]
    eventually(lambda: len(current_engine().waiters.waiting_for("attempt")) == 2)
    begun = time.monotonic()
    DBOS.cancel_workflows(["w", "x"])
    for handle in handles:
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            handle.get_result()
    DBOS.destroy(workflow_completion_timeout_sec=20)
    assert time.monotonic() - begun < 10


def test_in_a_step_nothing_is_recorded(launch: Launch, publisher: Publisher) -> None:
    @DBOS.step()
    def step() -> Any:
        return DBOS.get_event("w", "k", FOREVER), DBOS.get_all_events("w")

    @DBOS.workflow()
    def workflow() -> Any:
        return step()

    launch()
    handle = started(workflow, workflow_id="r")
    await_readers()
    started(publisher, [("k", 1)]).get_result()
    assert handle.get_result() == (1, {"k": 1})
    assert len(steps_of("r")) == 1


def test_destroying_ends_the_wait_of_plain_code(launch: Launch) -> None:
    launch()
    refused: list[BaseException] = []

    def wait() -> None:
        try:
            DBOS.get_event("nobody", "k", FOREVER)
        except error.DBOSException as refusal:
            refused.append(refusal)

    thread = threading.Thread(target=wait)
    thread.start()
    await_readers()
    DBOS.destroy()
    thread.join(20)
    assert "destroyed" in str(refused[0])


def test_a_blocking_wait_on_an_event_loop_is_refused(launch: Launch) -> None:
    async def main() -> None:
        DBOS.get_event("w", "k", 0)

    launch()
    with pytest.raises(RuntimeError, match=r"Use await DBOS.get_event_async\(...\) instead"):
        asyncio.run(main())


def test_values_seen_never_go_back(launch: Launch) -> None:
    """I33: a monotonic read of the last committed value, whoever reads."""
    last = 100

    @DBOS.workflow()
    async def workflow() -> None:
        for number in range(last + 1):
            await DBOS.set_event_async("k", number)

    launch()
    handle = started(workflow)
    seen: dict[int, list[int]] = {0: [], 1: []}

    def read(own: list[int]) -> None:
        while not own or own[-1] < last:
            own.append(DBOS.get_event("w", "k", FOREVER))

    threads = [threading.Thread(target=read, args=(own,)) for own in seen.values()]
    for thread in threads:
        thread.start()
    handle.get_result()
    for thread in threads:
        thread.join(20)
    assert all(own == sorted(own) and own[-1] == last for own in seen.values())


# ---------------------------------------------------------------- what cannot work

BAD_KEYS: list[Any] = ["a\0b", "\ud800", "x" * 513, "ü" * 257, 7, None]
BAD_SECONDS: list[Any] = [float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), None, "1"]


def test_bad_arguments_write_nothing(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        for key in BAD_KEYS:
            with pytest.raises(error.DBOSException, match="key of an event"):
                DBOS.set_event(key, 1)
            with pytest.raises(error.DBOSException, match="key of an event"):
                DBOS.get_event("w", key, 0)

    launch()
    for key in BAD_KEYS:
        with pytest.raises(error.DBOSException, match="key of an event"):
            DBOS.get_event("w", key, 0)
    for seconds in BAD_SECONDS:
        with pytest.raises(error.DBOSException, match="finite number of seconds"):
            DBOS.get_event("w", "k", seconds)
    for workflow_id in ("", "a\0b", None):
        with pytest.raises(error.DBOSException, match="workflow ID"):
            DBOS.get_event(workflow_id, "k", 0)  # type: ignore[arg-type]
        with pytest.raises(error.DBOSException, match="workflow ID"):
            DBOS.get_all_events(workflow_id)  # type: ignore[arg-type]
    started(workflow).get_result()
    assert steps_of("w") == []
    assert history(database_url) == []


def test_a_value_that_cannot_be_stored_names_the_part(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        DBOS.set_event("status", {"lock": threading.Lock()})

    launch()
    with pytest.raises(error.DBOSSerializationError, match=r"event 'status'\['lock'\]"):
        started(workflow).get_result()
    assert count_rows(database_url) == {"workflow_status": 1, "operation_outputs": 0}
    assert history(database_url) == []
    assert DBOS.get_all_events("w") == {}


def test_an_event_written_past_the_library_is_found_by_polling(launch: Launch, database_url: str) -> None:
    launch(use_listen_notify=False, notification_listener_polling_interval_sec=0.1)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(DBOS.get_event("w", "k", FOREVER)))
    thread.start()
    await_readers()
    run_sql(
        database_url,
        "insert into workflow_events (workflow_uuid, key, value, serialization) values ('w', 'k', '1', 'json')",
    )
    thread.join(20)
    assert found == [1]
