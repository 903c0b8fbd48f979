"""api.md §11.2: forking workflows, and deleting them; from outside, from workflows, from clients."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dbos import DBOS, DBOSClient, Queue, SetWorkflowAttributes, SetWorkflowID, error
from dbos.api.launched import launched_engine
from tests.support.fixture_types import Launch, Replay
from tests.support.waiting import Gate, eventually

runs: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    runs.clear()


def define() -> Callable[[str], list[str]]:
    """A workflow of three steps, an event and a stream. The last step says who ran it."""

    @DBOS.step()
    def work(name: str) -> str:
        runs.append(name)
        return f"{name} of {DBOS.workflow_id}"

    @DBOS.workflow()
    def workflow(word: str) -> list[str]:
        done = [work("first")]
        DBOS.set_event("at", "first")
        DBOS.write_stream("log", "first")
        done.append(work("second"))
        DBOS.set_event("at", word)
        DBOS.write_stream("log", word)
        return done

    return workflow


def function_names(workflow_id: str) -> list[str]:
    return [step["function_name"].rpartition(".")[2] for step in DBOS.list_workflow_steps(workflow_id)]


@pytest.mark.parametrize(
    ("start_step", "ran", "first"),
    [(-3, ["first", "second"], "f"), (1, ["first", "second"], "f"), (2, ["second"], "w"), (4, ["second"], "w"),
     (5, [], "w"), (2**70, [], "w")],
)  # fmt: skip
def test_a_fork_runs_from_its_first_step_on(launch: Launch, start_step: int, ran: list[str], first: str) -> None:
    workflow = define()
    launch()
    with SetWorkflowID("w"), SetWorkflowAttributes({"kind": "x"}):
        workflow("end")
    runs.clear()
    with SetWorkflowID("f"):
        handle = DBOS.fork_workflow("w", start_step)
    second = "f" if "second" in ran else "w"
    assert handle.workflow_id == "f"
    assert handle.get_result() == [f"first of {first}", f"second of {second}"]
    assert runs == ran
    assert function_names("f") == function_names("w")
    assert list(DBOS.read_stream("f", "log")) == ["first", "end"]
    assert DBOS.get_all_events("f") == {"at": "end"}
    status, origin = handle.get_status(), DBOS.retrieve_workflow("w").get_status()
    assert (status.forked_from, status.attributes, status.app_version) == ("w", {"kind": "x"}, DBOS.application_version)
    assert (origin.was_forked_from, origin.status, origin.output) == (True, "SUCCESS", ["first of w", "second of w"])


def test_the_events_and_streams_of_a_fork_that_waits(launch: Launch) -> None:
    workflow = define()
    launch()
    with SetWorkflowID("w"):
        workflow("end")
    for start_step, events, values in (
        (2, {}, 0),
        (3, {"at": "first"}, 0),
        (4, {"at": "first"}, 1),
        (9, {"at": "end"}, 2),
    ):
        handle = DBOS.fork_workflow("w", start_step, application_version="of tomorrow")
        assert DBOS.get_all_events(handle.workflow_id) == events
        read = [DBOS.read_stream_offset(handle.workflow_id, "log", each, timeout_seconds=0) for each in range(values)]
        assert read == ["first", "end"][:values]
        assert (handle.get_status().status, handle.get_status().app_version) == ("ENQUEUED", "of tomorrow")


def test_async_faces(launch: Launch) -> None:
    @DBOS.workflow()
    async def workflow() -> str | None:
        return DBOS.workflow_id

    async def main() -> None:
        with SetWorkflowID("w"):
            await workflow()
        with SetWorkflowID("f"):
            handle = await DBOS.fork_workflow_async("w", 1)
        assert await handle.get_result() == "f"
        await DBOS.delete_workflow_async("f")
        await DBOS.delete_workflows_async(["w"])
        assert await DBOS.list_workflows_async() == []

    launch()
    asyncio.run(main())


def test_options(launch: Launch) -> None:
    Queue("lanes", partition_queue=True)

    @DBOS.workflow()
    def workflow() -> float | None:
        status = DBOS.get_workflow_status(DBOS.workflow_id or "")
        return status and status.workflow_timeout_ms

    launch()
    with SetWorkflowID("w"):
        workflow()
    handle = DBOS.fork_workflow("w", 1, queue_name="lanes", queue_partition_key="left", timeout_seconds=60.5)
    assert handle.get_result() == 60_500
    status = handle.get_status()
    assert (status.queue_name, status.queue_partition_key) == ("lanes", "left")
    assert status.workflow_deadline_epoch_ms is not None
    waiting = DBOS.fork_workflow("w", 1, queue_name="of nobody")
    assert waiting.get_status().status == "ENQUEUED"


def test_bad_input(launch: Launch) -> None:
    workflow = define()
    Queue("lanes", partition_queue=True)
    launch()
    with SetWorkflowID("w"):
        workflow("end")
    bad: list[tuple[type[Exception], dict[str, Any]]] = [
        (error.DBOSNonExistentWorkflowError, {"workflow_id": "nobody"}),
        (error.DBOSException, {"workflow_id": ""}),
        (error.DBOSException, {"start_step": "2"}),
        (error.DBOSException, {"start_step": True}),
        (error.DBOSException, {"application_version": ""}),
        (error.DBOSException, {"queue_name": "_dbos_internal_queue"}),
        (error.DBOSException, {"queue_name": "lanes"}),
        (error.DBOSException, {"queue_partition_key": "left"}),
        (error.DBOSException, {"replacement_children": ["x"]}),
        (error.DBOSException, {"replacement_children": {"x": 1}}),
        (error.DBOSException, {"timeout_seconds": -1}),
        (error.DBOSException, {"shard_key": "x"}),
    ]
    for kind, arguments in bad:
        with pytest.raises(kind):
            DBOS.fork_workflow(**{"workflow_id": "w", "start_step": 1, **arguments})
    with SetWorkflowID("w"), pytest.raises(error.DBOSConflictingWorkflowError):
        DBOS.fork_workflow("w", 1)
    with pytest.raises(error.DBOSException, match="has not failed"):
        DBOS.fork_from_failure(["w"])
    with pytest.raises(error.DBOSException):
        DBOS.fork_from_failure("w")
    assert DBOS.fork_from_failure([]) == []
    with pytest.raises(error.DBOSException):
        DBOS.delete_workflows("w")
    assert [each.workflow_id for each in DBOS.list_workflows()] == ["w"]


def test_a_fork_from_the_failure_runs_the_failed_step_again(launch: Launch) -> None:
    healthy: list[bool] = []

    @DBOS.step()
    def first() -> str:
        runs.append("first")
        return "first"

    @DBOS.step()
    def fragile() -> str:
        runs.append("fragile")
        if not healthy:
            raise ValueError("not yet")
        return "fine"

    @DBOS.workflow()
    def child() -> str:
        return fragile()

    @DBOS.workflow()
    def workflow(with_child: bool) -> list[str]:
        return [first(), child() if with_child else fragile()]

    launch()
    ids = ["direct", "through a child"]
    for workflow_id in ids:
        with SetWorkflowID(workflow_id), pytest.raises(ValueError, match="not yet"):
            workflow(workflow_id != "direct")
    healthy.append(True)
    runs.clear()
    for handle in DBOS.fork_from_failure(ids):
        assert handle.get_result() == ["first", "fine"]
    assert runs == ["fragile", "fragile"]
    assert [DBOS.retrieve_workflow(each).get_status().status for each in ids] == ["ERROR", "ERROR"]


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_workflow_forks_once(launch: Launch, replay: Replay, coroutine: bool) -> None:
    workflow = define()

    @DBOS.workflow()
    def plain() -> str:
        return DBOS.fork_workflow("w", 2).workflow_id

    @DBOS.workflow()
    async def slow() -> str:
        return (await DBOS.fork_workflow_async("w", 2)).workflow_id

    launch()
    with SetWorkflowID("w"):
        workflow("end")
    with SetWorkflowID("p"):
        asyncio.run(slow()) if coroutine else plain()  # type: ignore[func-returns-value]
    assert replay("p").get_result() == "p-1"
    assert function_names("p") == ["forkWorkflow"]
    assert [each.workflow_id for each in DBOS.list_workflows(forked_from="w")] == ["p-1"]


def test_a_refusal_is_recorded(launch: Launch, replay: Replay) -> None:
    workflow = define()

    @DBOS.workflow()
    def forking() -> str:
        try:
            return DBOS.fork_workflow("w", 1).workflow_id
        except error.DBOSNonExistentWorkflowError:
            return "there is none"

    launch()
    with SetWorkflowID("p"):
        assert forking() == "there is none"
    with SetWorkflowID("w"):
        workflow("end")
    assert replay("p").get_result() == "there is none"


def test_clients_fork_and_delete(launch: Launch, database_url: str) -> None:
    workflow = define()
    launch()
    with SetWorkflowID("w"):
        workflow("end")
    with DBOSClient(system_database_url=database_url) as client:
        with SetWorkflowID("f"):
            handle = client.fork_workflow("w", 2)
        assert handle.get_result() == ["first of w", "second of f"]
        assert asyncio.run(_forked_async(client)) == ["first of w", "second of w"]
        client.delete_workflows(["w", "f"])
        client.delete_workflow("unknown")
        assert len(client.list_workflows()) == 1


async def _forked_async(client: DBOSClient) -> Any:
    return await (await client.fork_workflow_async("w", 9)).get_result()


# ---------------------------------------------------------------- deleting


@pytest.mark.parametrize("delete_children", [False, True])
def test_deleting_with_and_without_children(launch: Launch, delete_children: bool) -> None:
    @DBOS.workflow()
    def leaf() -> None:
        pass

    @DBOS.workflow()
    def child() -> None:
        leaf()

    @DBOS.workflow()
    def parent() -> None:
        child()

    launch()
    with SetWorkflowID("w"):
        parent()
    DBOS.delete_workflow("w", delete_children=delete_children)
    assert DBOS.get_workflow_status("w") is None
    assert DBOS.list_workflow_steps("w") == []
    assert len(DBOS.list_workflows()) == (0 if delete_children else 2)


@pytest.mark.parametrize("by_client", [False, True])
def test_a_running_workflow_that_is_deleted_stops_and_leaves_nothing(
    launch: Launch, database_url: str, by_client: bool
) -> None:
    with Gate() as gate:

        @DBOS.step()
        def step(name: str) -> None:
            runs.append(name)

        @DBOS.workflow()
        def workflow() -> None:
            step("before")
            gate.pass_through()
            step("after")

        launch()
        handle = DBOS.start_workflow(workflow)
        gate.wait_for_arrival()
        if by_client:
            with DBOSClient(system_database_url=database_url) as client:
                client.delete_workflow(handle.workflow_id)
        else:
            DBOS.delete_workflow(handle.workflow_id)
        assert DBOS.get_workflow_status(handle.workflow_id) is None
    with pytest.raises(error.DBOSNonExistentWorkflowError):
        handle.get_result()
    DBOS.destroy(workflow_completion_timeout_sec=20)
    assert runs[0] == "before"
    assert len(runs) == 1 or by_client  # another process is told soon, perhaps after the next step has begun
    launch()
    assert DBOS.list_workflows() == []


def test_a_deleted_id_can_be_used_again(launch: Launch) -> None:
    workflow = define()
    launch()
    for _ in range(2):
        with SetWorkflowID("w"):
            assert workflow("end") == ["first of w", "second of w"]
        DBOS.delete_workflow("w")
    assert runs == ["first", "second"] * 2


def test_deleting_does_not_stop_who_takes_the_id_meanwhile(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workflow of the same id begins between the deletion and the news of it."""
    with Gate() as gate:

        @DBOS.step()
        def step() -> str:
            return "done"

        @DBOS.workflow()
        def workflow() -> str:
            gate.pass_through()
            return step()

        launch()
        workflows = launched_engine().store.workflows
        delete = workflows.delete

        def delete_and_begin_anew(*arguments: Any) -> list[str] | None:
            deleted = delete(*arguments)
            with SetWorkflowID("w"):
                DBOS.start_workflow(workflow)
            gate.wait_for_arrival()
            return deleted

        monkeypatch.setattr(workflows, "delete", delete_and_begin_anew)
        DBOS.delete_workflow("w")
    eventually(lambda: DBOS.retrieve_workflow("w").get_status().output == "done", 10)


def test_a_workflow_may_fork_itself_if_it_knows_when_to_stop(launch: Launch) -> None:
    """Its fork comes to the same call, with an id of its own."""

    @DBOS.workflow()
    def workflow() -> str | None:
        assert DBOS.workflow_id is not None
        if DBOS.workflow_id.count("-") == 2:
            return DBOS.workflow_id
        return DBOS.get_result(DBOS.fork_workflow(DBOS.workflow_id, 1).workflow_id)

    launch()
    with SetWorkflowID("w"):
        assert workflow() == "w-1-1"
    assert sorted(each.workflow_id for each in DBOS.list_workflows()) == ["w", "w-1", "w-1-1"]


def test_deleting_in_a_workflow_is_a_step(launch: Launch, replay: Replay) -> None:
    workflow = define()

    @DBOS.workflow()
    def tidy() -> None:
        DBOS.delete_workflows(["w"])

    launch()
    with SetWorkflowID("w"):
        workflow("end")
    with SetWorkflowID("p"):
        tidy()
    assert DBOS.get_workflow_status("w") is None
    with SetWorkflowID("w"):
        workflow("end")
    replay("p").get_result()
    assert function_names("p") == ["deleteWorkflow"]
    assert DBOS.get_workflow_status("w") is not None
