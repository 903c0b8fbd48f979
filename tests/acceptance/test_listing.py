"""api.md §11.1: listing workflows and their steps."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from dbos import DBOS, DBOSContextSetAuth, GetWorkflowsInput, SetWorkflowID, error
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually


def ids(**filters: Any) -> list[str]:
    return [status.workflow_id for status in DBOS.list_workflows(**filters)]


@pytest.fixture
def population(launch: Launch, database_url: str) -> Callable[[], None]:
    """Four workflows, a second apart: a1 and a2 of `a`, b_1 (failed, by alice, of another version) and b%2 of `b`."""

    def populate() -> None:
        @DBOS.workflow(name="a")
        def a(value: int) -> int:
            return value

        @DBOS.workflow(name="b")
        def b(value: int) -> int:
            if value == 1:
                raise ValueError("b1")
            return value

        launch(application_version="v1", executor_id="one")
        for value in (1, 2):
            with SetWorkflowID(f"a{value}"):
                a(value)
        launch(application_version="v2", executor_id="two")
        with SetWorkflowID("b_1"), DBOSContextSetAuth("alice", ["x"]), pytest.raises(ValueError, match="b1"):
            b(1)
        with SetWorkflowID("b%2"):
            b(2)
        for second, workflow_id in enumerate(("a1", "a2", "b_1", "b%2")):
            moment = 1_700_000_000_000 + second * 1000
            run_sql(
                database_url, "update workflow_status set created_at = ? where workflow_uuid = ?", moment, workflow_id
            )

    return populate


def iso(second: float, zone: timezone | None = UTC) -> str:
    return datetime.fromtimestamp(1_700_000_000 + second, zone or UTC).replace(tzinfo=zone).isoformat()


def test_the_filters(population: Callable[[], None]) -> None:
    population()
    everything = ["a1", "a2", "b_1", "b%2"]
    assert ids() == everything
    assert ids(sort_desc=True) == everything[::-1]
    for filters, expected in (
        ({"workflow_ids": ["b%2", "a1", "nobody"]}, ["a1", "b%2"]),
        ({"workflow_ids": []}, everything),
        ({"status": "ERROR"}, ["b_1"]),
        ({"status": ["ERROR", "SUCCESS"]}, everything),
        ({"status": []}, everything),
        ({"status": "PENDING"}, []),
        ({"status": "NO SUCH STATUS"}, []),
        ({"name": "a"}, ["a1", "a2"]),
        ({"name": ["a", "b"]}, everything),
        ({"app_version": "v2"}, ["b_1", "b%2"]),
        ({"app_version": ["v1", "v2"]}, everything),
        ({"executor_id": "one"}, ["a1", "a2"]),
        ({"user": "alice"}, ["b_1"]),
        ({"user": ["alice", "bob"]}, ["b_1"]),
        ({"limit": 2}, ["a1", "a2"]),
        ({"limit": 0}, []),
        ({"offset": 3}, ["b%2"]),
        ({"offset": 1, "limit": 2}, ["a2", "b_1"]),
        ({"offset": 1, "limit": 1, "sort_desc": True}, ["b_1"]),
        ({"offset": 10}, []),
        ({"workflow_id_prefix": "a"}, ["a1", "a2"]),
        ({"workflow_id_prefix": "b_"}, ["b_1"]),
        ({"workflow_id_prefix": "b%"}, ["b%2"]),
        ({"workflow_id_prefix": ["a1", "b_1"]}, ["a1", "b_1"]),
        ({"queue_name": "nowhere"}, []),
        ({"queues_only": True}, []),
        ({"forked_from": "a1"}, []),
        ({"is_fork": True}, []),
        ({"was_forked_from": False, "has_parent": False}, everything),
        ({"attributes": {}}, []),
        ({"completed_after": iso(0)}, everything),
        ({"completed_before": iso(0)}, []),
        ({"dequeued_after": iso(0)}, []),
        ({"parent_workflow_id": "a1"}, []),
        ({"application_name": "test-app"}, everything),
        ({"application_name": "another"}, []),
        ({"name": "a", "status": "SUCCESS", "limit": 1, "sort_desc": True}, ["a2"]),
    ):
        assert ids(**filters) == expected, filters
        assert [s.workflow_id for s in asyncio.run(DBOS.list_workflows_async(**filters))] == expected, filters


def test_filters_as_an_object_are_those_of_the_listing(population: Callable[[], None]) -> None:
    population()
    with pytest.warns(DeprecationWarning, match="give list_workflows the filters themselves"):
        filters = GetWorkflowsInput(name="a", sort_desc=True)
    filters.limit = 1
    (found,) = DBOS.list_workflows(**vars(filters))
    assert found.workflow_id == "a2"
    with pytest.warns(DeprecationWarning, match="GetWorkflowsInput is deprecated"):
        everything = GetWorkflowsInput()
    assert len(DBOS.list_workflows(**vars(everything))) == len(DBOS.list_workflows())


def test_times_are_iso_8601_and_inclusive(population: Callable[[], None]) -> None:
    population()
    east = timezone(timedelta(hours=5, minutes=30))
    for filters, expected in (
        ({"start_time": iso(2)}, ["b_1", "b%2"]),
        ({"end_time": iso(1)}, ["a1", "a2"]),
        ({"start_time": iso(1), "end_time": iso(2)}, ["a2", "b_1"]),
        ({"start_time": iso(1.001), "end_time": iso(2)}, ["b_1"]),
        ({"start_time": iso(2, None)}, ["b_1", "b%2"]),
        ({"start_time": iso(2, east)}, ["b_1", "b%2"]),
        ({"start_time": iso(2).replace("+00:00", "Z")}, ["b_1", "b%2"]),
        ({"start_time": "2999-01-01"}, []),
    ):
        assert ids(**filters) == expected, filters


@pytest.mark.parametrize(
    ("filters", "refusal"),
    [
        ({"start_time": "yesterday"}, ValueError),
        ({"end_time": ""}, ValueError),
        ({"completed_after": "soon"}, ValueError),
        ({"dequeued_before": "32 o'clock"}, ValueError),
        ({"is_fork": "yes"}, error.DBOSException),
        ({"attributes": ["a"]}, error.DBOSException),
        ({"parent_shard_key": "x"}, error.DBOSException),
        ({"limit": -1}, error.DBOSException),
        ({"limit": "3"}, error.DBOSException),
        ({"offset": -1}, error.DBOSException),
        ({"status": [1]}, error.DBOSException),
        ({"name": 3}, error.DBOSException),
        ({"workflow_ids": ["\0"]}, error.DBOSException),
        ({"name": "\ud800"}, error.DBOSException),
    ],
)
def test_wrong_filters_are_refused(launch: Launch, filters: dict[str, Any], refusal: type[Exception]) -> None:
    launch()
    with pytest.raises(refusal):
        DBOS.list_workflows(**filters)
    assert DBOS.list_workflows() == []


def test_a_status_that_there_is_not_finds_nothing_and_is_reported(
    launch: Launch, caplog: pytest.LogCaptureFixture
) -> None:
    launch()
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="dbos"):
        assert DBOS.list_workflows(status=["PENDING", "ERROR"]) == []
        assert caplog.messages == []
        assert DBOS.list_queued_workflows(status=["PENDING", "SUCCEEDED"]) == []
    (warning,) = caplog.messages
    assert warning.startswith("No workflow is ever SUCCEEDED: the statuses are PENDING, ENQUEUED, ")


def test_payloads_are_loaded_as_wanted(population: Callable[[], None]) -> None:
    population()
    for status in DBOS.list_workflows(load_input=False):
        assert status.input is None
        assert (status.output is None) == (status.status == "ERROR")
    for status in DBOS.list_workflows(load_output=False):
        assert status.input is not None
        assert (status.output, status.error) == (None, None)


def test_children_and_steps_in_pages(launch: Launch) -> None:
    @DBOS.step(name="step")
    def step(number: int) -> int:
        return number

    @DBOS.workflow(name="child")
    def child() -> None: ...

    @DBOS.workflow(name="parent")
    def parent() -> None:
        for number in range(5):
            step(number)
        child()

    launch()
    with SetWorkflowID("p"):
        parent()
    assert ids(parent_workflow_id="p") == ["p-6"]

    def numbers(**page: Any) -> list[int]:
        return [step["function_id"] for step in DBOS.list_workflow_steps("p", **page)]

    assert numbers() == [1, 2, 3, 4, 5, 6, 7]
    assert numbers(limit=2) == [1, 2]
    assert numbers(limit=2, offset=3) == [4, 5]
    assert numbers(offset=6) == [7]
    assert numbers(limit=0) == []
    assert [step["output"] for step in DBOS.list_workflow_steps("p", load_output=False)] == [None] * 7
    assert asyncio.run(DBOS.list_workflow_steps_async("p", limit=1))[0]["output"] == 0
    assert set(DBOS.list_workflow_steps("p")[0]) == {
        "function_id", "function_name", "output", "error", "child_workflow_id", "started_at_epoch_ms",
        "completed_at_epoch_ms", "child_shard_key",
    }  # fmt: skip


def test_workflows_on_a_queue_are_listed_as_such(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        DBOS.sleep(1000)

    launch()
    with SetWorkflowID("w"):
        DBOS.start_workflow(workflow)
    DBOS.cancel_workflow("w")
    DBOS.resume_workflow("w")
    eventually(lambda: DBOS.list_workflows()[0].status == "PENDING")
    assert ids(queues_only=True) == ids(queue_name="_dbos_internal_queue") == ["w"]
    assert DBOS.list_workflows()[0].dequeued_at is not None
    DBOS.resume_workflow("w", queue_name="somewhere")
    assert ids(queue_name=["somewhere", "nowhere"], status="ENQUEUED") == ["w"]


def test_listings_in_a_workflow_are_recorded(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow()
    def workflow() -> list[Any]:
        found = [status.workflow_id for status in DBOS.list_workflows()]
        return [found, [step["function_name"] for step in DBOS.list_workflow_steps("w")]]

    launch()
    with SetWorkflowID("w"):
        assert workflow() == [["w"], ["DBOS.listWorkflows"]]
    with SetWorkflowID("second"):
        assert workflow()[0] == ["w", "second"]
    assert replay("w").get_result() == [["w"], ["DBOS.listWorkflows"]]


def test_a_listing_is_in_order_of_arrival_within_a_millisecond(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    launch()
    wanted = []
    for number in (3, 1, 2):
        with SetWorkflowID(str(number)):
            workflow()
        wanted.append(str(number))
    run_sql(database_url, "update workflow_status set created_at = 5")
    assert ids() == wanted
    assert ids(sort_desc=True) == wanted[::-1]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_listing_that_takes_too_long_gives_up(launch: Launch, database_url: str) -> None:
    launch(observability_query_timeout_sec=0.05)
    with psycopg.connect(database_url) as elsewhere:
        elsewhere.execute("lock table dbos.workflow_status in access exclusive mode")
        with pytest.raises(error.DBOSQueryTimeoutError):
            DBOS.list_workflows()

    def is_answered() -> bool:
        with contextlib.suppress(error.DBOSQueryTimeoutError):  # a server may be that slow by itself
            return DBOS.list_workflows() == []
        return False

    eventually(is_answered)
