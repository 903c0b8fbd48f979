"""api.md §11.3: garbage collection, the global timeout, and retention that is built in."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbos import DBOS, DBOSClient, SetWorkflowID, error
from dbos.services import retention
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually

FAR = 2**60


def define() -> Callable[[int], int]:
    @DBOS.step()
    def work(number: int) -> int:
        return number

    @DBOS.workflow()
    def workflow(number: int) -> int:
        return work(number)

    return workflow


def begin(workflow: Callable[[int], int], count: int) -> None:
    for number in range(count):
        with SetWorkflowID(f"w{number}"):
            workflow(number)


def ids() -> list[str]:
    return [each.workflow_id for each in DBOS.list_workflows()]


def age(url: str, *workflow_ids: str, by_ms: int = 3_600_000) -> None:
    """As if they had been created, and had ended, so much earlier."""
    for workflow_id in workflow_ids:
        run_sql(
            url,
            f"update workflow_status set created_at = created_at - {by_ms}, completed_at = completed_at - {by_ms}"
            " where workflow_uuid = ?",
            workflow_id,
        )


def test_by_time_and_by_number(launch: Launch, database_url: str) -> None:
    workflow = define()
    launch()
    begin(workflow, 5)
    age(database_url, "w0")
    age(database_url, "w1", by_ms=2_000_000)
    age(database_url, "w2", by_ms=1_000_000)
    assert DBOS.garbage_collect() == 0
    between = DBOS.retrieve_workflow("w1").get_status().created_at
    assert between is not None
    assert DBOS.garbage_collect(cutoff_epoch_timestamp_ms=between) == 1
    assert ids() == ["w1", "w2", "w3", "w4"]
    assert asyncio.run(DBOS.garbage_collect_async(rows_threshold=3)) == 1
    assert ids() == ["w2", "w3", "w4"]
    assert DBOS.garbage_collect(cutoff_epoch_timestamp_ms=0, rows_threshold=10) == 0
    with DBOSClient(system_database_url=database_url, application_name="another") as client:
        assert client.garbage_collect(cutoff_epoch_timestamp_ms=FAR) == 0
    with DBOSClient(system_database_url=database_url) as client:
        assert client.garbage_collect(rows_threshold=0) == 3
    assert ids() == []


def test_a_parent_finds_the_results_of_its_children(launch: Launch) -> None:
    workflow = define()
    with Gate() as gate:

        @DBOS.workflow()
        def parent() -> int:
            handle = DBOS.start_workflow(workflow, 7)
            handle_of_child = DBOS.retrieve_workflow(handle.workflow_id)
            gate.pass_through()
            return handle_of_child.get_result()

        launch()
        with SetWorkflowID("p"):
            handle = DBOS.start_workflow(parent)
        gate.wait_for_arrival()
        eventually(lambda: DBOS.retrieve_workflow("p-1").get_status().status == "SUCCESS")
        assert DBOS.garbage_collect(rows_threshold=0) == 0
        gate.open()
        assert handle.get_result() == 7
    assert DBOS.garbage_collect(rows_threshold=0) == 2


def test_in_a_workflow_it_is_a_step(launch: Launch) -> None:
    workflow = define()

    @DBOS.workflow()
    def keeper() -> tuple[int, int]:
        return DBOS.garbage_collect(rows_threshold=0), DBOS.global_timeout(0)

    launch()
    begin(workflow, 2)
    with SetWorkflowID("k"):
        assert keeper() == (2, 0)
    steps = [(each["function_name"], each["output"]) for each in DBOS.list_workflow_steps("k")]
    assert steps == [("DBOS.garbageCollect", 2), ("DBOS.globalTimeout", 0)]


@pytest.mark.parametrize("clearing", ["delete", "collect"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_witnesses_in_another_database_go_as_well(launch: Launch, tmp_path: Path, clearing: str) -> None:
    """And no witness of another workflow that has the id by then."""

    @DBOS.transaction()
    def write() -> int:
        return 1

    @DBOS.workflow()
    def workflow() -> int:
        return write()

    url = f"sqlite:///{tmp_path / 'application.sqlite'}"
    launch(application_database_url=url)
    with SetWorkflowID("w"):
        workflow()
    assert run_sql(url, "select workflow_uuid from transaction_outputs") == [("w",)]
    run_sql(
        url,
        "insert into transaction_outputs"
        " (workflow_uuid, function_id, function_name, life, epoch, txn_snapshot, created_at)"
        " values ('w', 2, 'write', 'the next life', 1, '', 0)",
    )
    if clearing == "delete":
        DBOS.delete_workflow("w")
    else:
        assert DBOS.garbage_collect(rows_threshold=0) == 1
    assert run_sql(url, "select function_id from transaction_outputs") == [(2,)]


def test_the_global_timeout(launch: Launch, database_url: str) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def waits() -> None:
            gate.pass_through()
            DBOS.sleep(0.001)

        launch()
        for name in ("old", "new"):
            with SetWorkflowID(name):
                DBOS.start_workflow(waits)
        with SetWorkflowID("enqueued"):
            DBOS.enqueue_workflow("nowhere", waits)
        age(database_url, "old", "enqueued")
        before = DBOS.retrieve_workflow("new").get_status().created_at
        assert before is not None
        assert DBOS.global_timeout(before) == 2
        assert [each.status for each in DBOS.list_workflows()] == ["CANCELLED", "CANCELLED", "PENDING"]
        gate.open()
        with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
            DBOS.get_result("old")
        assert DBOS.get_result("new") is None
    with DBOSClient(system_database_url=database_url) as client:
        assert asyncio.run(client.global_timeout_async(FAR)) == 0


def test_numbers_that_cannot_be(launch: Launch) -> None:
    launch()
    bad: list[Any] = [-1, 1.5, "7", True, 2**63]
    for number in bad:
        for call in (
            lambda number: DBOS.garbage_collect(cutoff_epoch_timestamp_ms=number),
            lambda number: DBOS.garbage_collect(rows_threshold=number),
            DBOS.global_timeout,
        ):
            with pytest.raises(error.DBOSException, match="must be a whole number"):
                call(number)
    with pytest.raises(error.DBOSException, match="not None"):
        DBOS.global_timeout(None)  # type: ignore[arg-type]


def test_retention_by_age(launch: Launch, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = define()
    monkeypatch.setattr(retention, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(retention, "BATCH", 2)
    launch(retention_age_sec=600)
    begin(workflow, 6)
    age(database_url, "w0", "w1", "w2", "w4")
    eventually(lambda: ids() == ["w3", "w5"])


def test_retention_by_number(launch: Launch, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = define()
    monkeypatch.setattr(retention, "SWEEP_SECONDS", 0.05)
    launch(retention_rows=2, retention_age_sec=86_400)
    begin(workflow, 5)
    age(database_url, "w0", "w1", by_ms=120_000)  # w2 is one too many, but has only just ended
    eventually(lambda: len(ids()) == 3)
    assert ids() == ["w2", "w3", "w4"]
    age(database_url, "w2", by_ms=60_001)
    eventually(lambda: ids() == ["w3", "w4"])
