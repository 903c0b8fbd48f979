"""api.md §16: who and where am I, and the context managers."""

import asyncio
import logging

import pytest

from dbos import (
    DBOS,
    DBOSContextEnsure,
    DBOSContextSetAuth,
    SetShardKey,
    SetWorkflowAttributes,
    SetWorkflowID,
    SetWorkflowTimeout,
    error,
)
from tests.support.fixture_types import Launch


def test_outside_everything_is_unset(launch: Launch, database_url: str) -> None:
    def look() -> None:
        assert DBOS.workflow_id is None
        assert DBOS.step_id is None
        assert DBOS.step_status is None
        assert DBOS.authenticated_user is None
        assert DBOS.authenticated_roles is None
        assert DBOS.assumed_role is None
        assert DBOS.shard_key is None
        assert DBOS.executor_id == "local"
        assert DBOS.logger is logging.getLogger("dbos")

    look()
    assert DBOS.application_version == ""
    instance = DBOS(config={"name": "test-app", "system_database_url": database_url})
    look()
    DBOS.launch()
    look()
    assert instance.workflow_id is None
    assert instance.application_version == DBOS.application_version != ""


def test_inside_everything_is_set(launch: Launch) -> None:
    @DBOS.step()
    def step() -> list[object]:
        return [DBOS.workflow_id, DBOS.step_id, DBOS.step_status is not None]

    @DBOS.workflow()
    async def workflow() -> list[object]:
        first = [DBOS.workflow_id, DBOS.step_id, DBOS.step_status]
        return [first, step(), step(), [DBOS.workflow_id, DBOS.step_id]]

    launch()
    with SetWorkflowID("w"):
        seen = asyncio.run(workflow())
    assert seen == [["w", None, None], ["w", 1, True], ["w", 2, True], ["w", None]]
    assert DBOS.workflow_id is None


def test_concurrent_steps_know_their_own_numbers(launch: Launch) -> None:
    @DBOS.step()
    async def step() -> list[int | None]:
        before = DBOS.step_id
        await asyncio.sleep(0.01)
        return [before, DBOS.step_id]

    @DBOS.workflow()
    async def workflow() -> list[list[int | None]]:
        return await asyncio.gather(step(), step(), step())

    launch()
    assert asyncio.run(workflow()) == [[1, 1], [2, 2], [3, 3]]


def test_identities_nest_and_are_restored(launch: Launch) -> None:
    def who() -> tuple[str | None, list[str] | None]:
        return DBOS.authenticated_user, DBOS.authenticated_roles

    with DBOSContextSetAuth("alice", ["admin"]):
        assert who() == ("alice", ["admin"])
        with DBOSContextSetAuth("bob", None):
            assert who() == ("bob", None)
        assert who() == ("alice", ["admin"])
        with DBOSContextEnsure():
            DBOS.set_authentication("carol", [])
            assert who() == ("carol", [])
        assert who() == ("alice", ["admin"])
        with pytest.raises(ZeroDivisionError), DBOSContextSetAuth(None, None):
            raise ZeroDivisionError
        assert who() == ("alice", ["admin"])
    assert who() == (None, None)
    for wrong in (("alice", "admin"), ("alice", [1]), (3, None)):
        with pytest.raises(error.DBOSException):
            DBOSContextSetAuth(*wrong)  # type: ignore[arg-type]
        with pytest.raises(error.DBOSException):
            DBOS.set_authentication(*wrong)  # type: ignore[arg-type]


def test_setters_return_themselves_and_pass_exceptions(launch: Launch) -> None:
    for setter in (SetWorkflowID("w"), SetWorkflowTimeout(1), SetWorkflowAttributes({})):
        with pytest.raises(ZeroDivisionError), setter as entered:
            assert entered is setter
            raise ZeroDivisionError


def test_requests_do_not_reach_into_workflows(launch: Launch) -> None:
    @DBOS.workflow(name="child")
    def child() -> None: ...

    @DBOS.workflow(name="parent")
    def parent() -> None:
        child()
        DBOS.start_workflow(child).get_result()

    launch()
    with SetWorkflowTimeout(1000), SetWorkflowAttributes({"a": 1}), SetWorkflowID("p"):
        parent()
    with SetWorkflowTimeout(1000), SetWorkflowAttributes({"a": 1}), SetWorkflowID("q"):
        DBOS.start_workflow(parent).get_result()
    for status in DBOS.list_workflows(name="child"):
        assert (status.workflow_timeout_ms, status.attributes) == (None, None)
    assert {status.workflow_timeout_ms for status in DBOS.list_workflows(name="parent")} == {1_000_000}


def test_each_task_has_its_own_requests(launch: Launch) -> None:
    @DBOS.workflow()
    async def workflow() -> str | None:
        await asyncio.sleep(0.01)
        return DBOS.workflow_id

    async def call(workflow_id: str) -> str | None:
        with SetWorkflowID(workflow_id):
            return await workflow()

    launch()

    async def main() -> list[str | None]:
        return await asyncio.gather(*(call(f"w{number}") for number in range(5)))

    assert asyncio.run(main()) == [f"w{number}" for number in range(5)]


def test_shard_keys_are_refused(launch: Launch) -> None:
    with pytest.raises(error.DBOSException, match="not sharded"):
        SetShardKey("key")
