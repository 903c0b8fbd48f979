"""api.md §11.3, I45: exported and imported, a workflow is the same; in another database, or in this one again."""

import asyncio
import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dbos import DBOS, DBOSClient, Queue, SetWorkflowAttributes, SetWorkflowID, error
from dbos.api.launched import launched_engine
from dbos.store import transfer
from dbos.store.database import StoreSettings
from dbos.store.store import Store
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql


@pytest.fixture
def elsewhere(sqlite_url: str) -> Iterator[DBOSClient]:
    """A client of another system database, which is empty."""
    url = sqlite_url.replace("system.sqlite", "elsewhere.sqlite")
    Store.open(StoreSettings(url=url)).close()
    with DBOSClient(system_database_url=url) as client:
        yield client


def define() -> Callable[[], Any]:
    """A workflow that leaves rows in every table."""

    @DBOS.transaction()
    def write() -> str:
        return "written"

    @DBOS.workflow()
    def child() -> tuple[int, ...]:
        return (1, 2)

    @DBOS.workflow()
    def workflow() -> Any:
        DBOS.set_event("k", 1)
        DBOS.set_event("k", {"two"})
        DBOS.write_stream("s", "ä\u2028")
        DBOS.close_stream("s")
        DBOS.recv("t", timeout_seconds=50)
        try:
            child()
        finally:
            write()
        raise ValueError("the end")

    return workflow


def begin(workflow: Callable[[], Any]) -> None:
    with SetWorkflowID("w"), SetWorkflowAttributes({"deep": {"n": [1, None, "x"]}}):
        handle = DBOS.start_workflow(workflow)
    DBOS.send("w", b"bytes", "t")
    DBOS.send("w", "unread")
    with pytest.raises(ValueError, match="the end"):
        handle.get_result()


def test_export_and_import_are_the_identity(launch: Launch, elsewhere: DBOSClient) -> None:
    workflow = define()
    launch()
    begin(workflow)
    document = DBOS.export_workflow("w", export_children=True)
    assert {table for each in document["workflows"] for table, rows in each.items() if rows} == {
        "workflow_status", "operation_outputs", "notifications", "workflow_events", "workflow_events_history",
        "streams", "transaction_outputs",
    }  # fmt: skip
    carried = json.loads(json.dumps(document))
    assert elsewhere.import_workflow(carried) == ["w", "w-7"]
    assert elsewhere.export_workflow("w", export_children=True) == document
    here, there = DBOS.get_workflow_status("w"), elsewhere.get_workflow_status("w")
    assert here is not None
    assert there is not None
    assert (there.status, there.attributes, str(there.error)) == ("ERROR", here.attributes, "the end")
    assert elsewhere.get_all_events("w") == {"k": {"two"}}
    assert list(elsewhere.read_stream("w", "s")) == ["ä\u2028"]
    assert elsewhere.get_result("w-7") == (1, 2)
    DBOS.delete_workflow("w", delete_children=True)
    assert DBOS.import_workflow(carried) == ["w", "w-7"]
    assert DBOS.export_workflow("w", export_children=True) == document


def test_without_its_children_and_in_async_style(launch: Launch, elsewhere: DBOSClient) -> None:
    workflow = define()
    launch()
    begin(workflow)

    async def main() -> None:
        document = await DBOS.export_workflow_async("w")
        assert await elsewhere.import_workflow_async(document) == ["w"]
        assert await elsewhere.export_workflow_async("w") == document
        assert await DBOS.import_workflow_async(document) == ["w"]  # it is here, and changes nothing
        assert await DBOS.export_workflow_async("w") == document

    asyncio.run(main())
    assert elsewhere.list_workflows(workflow_ids=["w-7"]) == []


def test_what_a_forgotten_step_wrote_is_no_step(launch: Launch, elsewhere: DBOSClient, database_url: str) -> None:
    """A fork has what a failed step had written, and a resume forgets the step."""

    @DBOS.step()
    def fail() -> None:
        DBOS.write_stream("s", "written")
        raise ValueError("the end")

    @DBOS.workflow()
    def workflow() -> None:
        fail()

    launch()
    with SetWorkflowID("w"), pytest.raises(ValueError, match="the end"):
        workflow()
    fork = DBOS.fork_workflow("w", 2)
    with pytest.raises(ValueError, match="the end"):
        fork.get_result()
    DBOS.destroy()
    with DBOSClient(system_database_url=database_url) as here:
        here.resume_workflow(fork.workflow_id)
        document = here.export_workflow(fork.workflow_id)
    elsewhere.import_workflow(document)
    assert elsewhere.list_workflow_steps(fork.workflow_id) == []
    assert elsewhere.export_workflow(fork.workflow_id) == document


def test_what_waits_is_dispatched_where_it_comes_to(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow(number: int) -> int:
        return number + 1

    queue = Queue("q")
    launch()
    DBOS.register_queue("later")
    with SetWorkflowID("w"):
        DBOS.enqueue_workflow("nowhere", workflow, 41)
    document = DBOS.export_workflow("w")
    DBOS.delete_workflow("w")
    document["workflows"][0]["workflow_status"]["queue_name"] = queue.name
    DBOS.import_workflow(document)
    assert DBOS.get_result("w") == 42
    assert DBOS.import_workflow(document) == ["w"]  # it has gone on since, and is left alone
    assert DBOS.get_result("w") == 42


def test_what_was_running_waits_for_a_resume(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> str:
        return "done"

    launch()
    with SetWorkflowID("w"):
        workflow()
    run_sql(database_url, "update workflow_status set status = 'PENDING', output = null, completed_at = null")
    document = DBOS.export_workflow("w")
    DBOS.delete_workflow("w")
    DBOS.import_workflow(document)
    assert DBOS.retrieve_workflow("w").get_status().status == "PENDING"
    engine = launched_engine()
    assert engine is not None
    assert engine.store.workflows.owned_by(engine.instance) == []
    assert DBOS.resume_workflow("w").get_result() == "done"


def test_another_workflow_under_the_id_and_an_older_state(launch: Launch, elsewhere: DBOSClient) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        pass

    launch()
    with SetWorkflowID("w"):
        workflow()
    first = DBOS.export_workflow("w")
    elsewhere.import_workflow(first)
    DBOS.rewind_workflow("w").get_result()
    with pytest.raises(error.DBOSConflictingWorkflowError, match="Another workflow of this ID"):
        elsewhere.import_workflow(DBOS.export_workflow("w"))
    newer = copy.deepcopy(first)
    newer["workflows"][0]["workflow_status"]["epoch"] += 1
    with pytest.raises(error.DBOSConflictingWorkflowError, match="older state"):
        elsewhere.import_workflow(newer)
    assert elsewhere.export_workflow("w") == first


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)  # a file has one writer at a time
def test_who_is_overtaken_while_he_looks_finds_who_came_first(
    launch: Launch, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        pass

    launch()
    for workflow_id in ("same", "another"):
        with SetWorkflowID(workflow_id):
            workflow()
    documents = {workflow_id: DBOS.export_workflow(workflow_id) for workflow_id in ("same", "another")}
    DBOS.delete_workflows(["same", "another"])
    overtaking: list[Callable[[], Any]] = []

    def look(*arguments: Any) -> bool:
        found = is_here(*arguments)
        if overtaking:
            overtaking.pop()()
        return found

    is_here = transfer._is_here
    monkeypatch.setattr(transfer, "_is_here", look)

    def start_another() -> None:
        with SetWorkflowID("another"):
            workflow()

    with DBOSClient(system_database_url=database_url) as client:
        overtaking.append(lambda: client.import_workflow(documents["same"]))
        DBOS.import_workflow(documents["same"])
        assert client.export_workflow("same") == documents["same"]
        overtaking.append(start_another)
        with pytest.raises(error.DBOSConflictingWorkflowError, match="Another workflow of this ID"):
            DBOS.import_workflow(documents["another"])
    assert not overtaking


def test_in_a_workflow_both_are_steps(launch: Launch) -> None:
    @DBOS.workflow()
    def other() -> None:
        pass

    @DBOS.workflow()
    def mover() -> list[str]:
        document = DBOS.export_workflow("other")
        DBOS.delete_workflow("other")
        return DBOS.import_workflow(document)

    launch()
    with SetWorkflowID("other"):
        other()
    with SetWorkflowID("m"):
        assert mover() == ["other"]
    names = [each["function_name"] for each in DBOS.list_workflow_steps("m")]
    assert names == ["DBOS.exportWorkflow", "DBOS.deleteWorkflow", "DBOS.importWorkflow"]


def test_bad_documents(launch: Launch, elsewhere: DBOSClient) -> None:
    @DBOS.step()
    def step() -> None:
        pass

    @DBOS.workflow()
    def workflow() -> None:
        step()

    launch()
    with SetWorkflowID("w"):
        workflow()
    good = DBOS.export_workflow("w")

    def changed(change: Callable[[Any], Any]) -> Any:
        document = copy.deepcopy(good)
        change(document)
        return document

    def workflow_of(document: Any) -> Any:
        return document["workflows"][0]["workflow_status"]

    def step_of(document: Any) -> Any:
        return document["workflows"][0]["operation_outputs"][0]

    bad: list[Any] = [
        None,
        {},
        [],
        changed(lambda it: it.update(version=2)),
        changed(lambda it: it.update(workflows=None)),
        changed(lambda it: it["workflows"].append({})),
        changed(lambda it: it["workflows"][0].pop("streams")),
        changed(lambda it: it["workflows"][0].update(streams={})),
        changed(lambda it: workflow_of(it).pop("name")),
        changed(lambda it: workflow_of(it).update(status="DONE")),
        changed(lambda it: workflow_of(it).update(workflow_uuid="")),
        changed(lambda it: workflow_of(it).update(epoch=None)),
        changed(lambda it: workflow_of(it).update(name=None)),
        changed(lambda it: workflow_of(it).update(created_at="now")),
        changed(lambda it: step_of(it).update(function_id=1.5)),
        changed(lambda it: step_of(it).update(workflow_uuid="another")),
        changed(lambda it: step_of(it).update(output=["x"])),
        changed(lambda it: it["workflows"][0]["operation_outputs"].append(step_of(it))),
    ]
    for document in bad:
        with pytest.raises(error.DBOSException):
            elsewhere.import_workflow(document)
    assert elsewhere.list_workflows() == []
    with pytest.raises(error.DBOSNonExistentWorkflowError, match="nobody"):
        DBOS.export_workflow("nobody")
