"""api.md §11.2: rewinding workflows: from outside, from workflows, from clients, in both colours."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dbos import DBOS, DBOSClient, Queue, SetWorkflowID, error
from tests.support.fixture_types import Launch, Replay
from tests.support.waiting import Gate

runs: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    runs.clear()


def define() -> Callable[[], list[str]]:
    """A workflow of two steps around a message, with an event and a stream."""

    @DBOS.step()
    def work(name: str) -> str:
        runs.append(name)
        return f"{name} {len(runs)}"

    @DBOS.workflow()
    def child() -> int:
        runs.append("child")
        return len(runs)

    @DBOS.workflow()
    def workflow() -> list[Any]:
        done: list[Any] = [work("first")]
        DBOS.write_stream("log", done[-1])
        done.append(DBOS.recv("topic", timeout_seconds=50))
        done.append(child())
        done.append(work("second"))
        DBOS.set_event("at", done[-1])
        DBOS.write_stream("log", done[-1])
        return done

    return workflow


def begin(workflow: Callable[[], list[str]]) -> list[str]:
    with SetWorkflowID("w"):
        handle = DBOS.start_workflow(workflow)
    DBOS.send("w", "message", "topic")
    return handle.get_result()


def test_a_rewound_workflow_does_everything_anew_but_its_children(launch: Launch) -> None:
    workflow = define()
    launch()
    assert begin(workflow) == ["first 1", "message", 2, "second 3"]
    handle = DBOS.rewind_workflow("w")
    assert handle.workflow_id == "w"
    assert handle.get_result() == ["first 4", "message", 2, "second 5"]
    assert runs == ["first", "child", "second", "first", "second"]
    assert list(DBOS.read_stream("w", "log")) == ["first 4", "second 5"]
    assert DBOS.get_all_events("w") == {"at": "second 5"}
    status = handle.get_status()
    assert (status.status, status.recovery_attempts, status.forked_from) == ("SUCCESS", 1, None)
    assert (status.app_version, status.queue_name) == (DBOS.application_version, "_dbos_internal_queue")


@pytest.mark.parametrize(("start_step", "second"), [(7, "second 4"), (8, "second 3"), (2**70, "second 3")])
def test_from_a_step_on(launch: Launch, start_step: int, second: str) -> None:
    workflow = define()
    launch()
    begin(workflow)
    assert DBOS.rewind_workflow("w", start_step=start_step).get_result() == ["first 1", "message", 2, second]
    assert list(DBOS.read_stream("w", "log")) == ["first 1", second]


def test_a_failed_one_and_a_cancelled_one(launch: Launch) -> None:
    broken = [True]

    @DBOS.workflow()
    def fails() -> str:
        if broken[0]:
            raise ValueError("not yet")
        return "done"

    with Gate() as gate:

        @DBOS.workflow()
        def waits() -> str:
            gate.pass_through()
            DBOS.sleep(0.001)
            return "done"

        launch()
        with SetWorkflowID("fails"), pytest.raises(ValueError, match="not yet"):
            fails()
        with SetWorkflowID("waits"):
            DBOS.start_workflow(waits)
        gate.wait_for_arrival()
        with pytest.raises(error.DBOSException, match=r"waits is PENDING.* Cancel it first"):
            DBOS.rewind_workflow("waits")
        DBOS.cancel_workflow("waits")
        broken[0] = False
        handles = [DBOS.rewind_workflow(each) for each in ("fails", "waits")]
        gate.open()
        assert [handle.get_result() for handle in handles] == ["done", "done"]


def test_a_transaction_happens_again(launch: Launch) -> None:
    calls: list[str] = []

    @DBOS.transaction()
    def insert() -> int:
        calls.append("x")
        return len(calls)

    @DBOS.workflow()
    def workflow() -> list[int]:
        return [insert(), insert()]

    launch()
    with SetWorkflowID("w"):
        assert workflow() == [1, 2]
    assert DBOS.rewind_workflow("w", start_step=2).get_result() == [1, 3]
    assert DBOS.rewind_workflow("w").get_result() == [4, 5]


def test_from_a_workflow_it_is_a_step_that_happens_once(launch: Launch, replay: Replay) -> None:
    workflow = define()

    @DBOS.workflow()
    def rewinder() -> Any:
        return DBOS.rewind_workflow("w", start_step=7).get_result()

    launch()
    begin(workflow)
    with SetWorkflowID("r"):
        assert rewinder()[-1] == "second 4"
    names = [step["function_name"] for step in DBOS.list_workflow_steps("r")]
    assert names == ["DBOS.rewindWorkflow", "DBOS.getResult"]
    assert replay("r").get_result()[-1] == "second 4"
    assert runs.count("second") == 2


def test_a_rewound_workflow_finds_its_forks_again(launch: Launch) -> None:
    workflow = define()

    @DBOS.workflow()
    def forker() -> str:
        return DBOS.fork_workflow("w", 100).workflow_id

    launch()
    begin(workflow)
    with SetWorkflowID("f"):
        assert forker() == "f-1"
    assert DBOS.rewind_workflow("f").get_result() == "f-1"
    assert len(DBOS.list_workflows(forked_from="w")) == 1


def test_async_and_from_a_client(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    async def workflow() -> int:
        runs.append("x")
        return len(runs)

    async def main() -> None:
        with SetWorkflowID("w"):
            assert await workflow() == 1
        handle = await DBOS.rewind_workflow_async("w")
        assert await handle.get_result() == 2
        with DBOSClient(system_database_url=database_url) as client:
            again = await client.rewind_workflow_async("w", start_step=1)
            assert await again.get_result() == 3

    launch()
    asyncio.run(main())
    with DBOSClient(system_database_url=database_url) as client:
        assert client.rewind_workflow("w").get_result() == 4


def test_options_and_bad_input(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        pass

    Queue("lanes", partition_queue=True)
    launch()
    with SetWorkflowID("w"):
        workflow()
    refused: list[tuple[dict[str, Any], str]] = [
        ({"start_step": "2"}, "start_step must be"),
        ({"queue_partition_key": "p"}, "give queue_name"),
        ({"queue_name": "lanes"}, "lanes"),
        ({"queue_name": ""}, "queue"),
        ({"application_version": ""}, "version"),
        ({"shard_key": "s"}, "shard"),
    ]
    for options, words in refused:
        with pytest.raises(error.DBOSException, match=words):
            DBOS.rewind_workflow("w", **options)
    for unknown in ("nobody", "", 7):
        with pytest.raises(error.DBOSException):
            DBOS.rewind_workflow(unknown)  # type: ignore[arg-type]
    with pytest.raises(error.DBOSNonExistentWorkflowError):
        DBOS.rewind_workflow("nobody")
    assert DBOS.retrieve_workflow("w").get_status().status == "SUCCESS"
    handle = DBOS.rewind_workflow("w", queue_name="lanes", queue_partition_key="p", application_version="of tomorrow")
    status = handle.get_status()
    assert (status.status, status.app_version) == ("ENQUEUED", "of tomorrow")
    assert (status.queue_name, status.queue_partition_key) == ("lanes", "p")
