"""api.md §12.3: patches: workflows that began before a change of the code end as they began, later ones the new way."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID, error
from dbos.api.configuration import read_config
from tests.support.fixture_types import Launch
from tests.support.waiting import Gate

OLD, NEW = "old", "new"
runs: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    runs.clear()


def step(name: str) -> Callable[[], str]:
    @DBOS.step(name=name)
    def body() -> str:
        runs.append(name)
        return name

    return body


def names(workflow_id: str) -> list[str]:
    return [each["function_name"] for each in DBOS.list_workflow_steps(workflow_id)]


def replay(workflow_id: str, name: str) -> Any:
    """Run a workflow again on everything it recorded, with the code that is registered now; under a new id."""
    with SetWorkflowID(name):
        return DBOS.fork_workflow(workflow_id, 10_000).get_result()


def define(version: str) -> Callable[[], Any]:
    """The workflow as it was, patched, with the patch deprecated, and with it removed."""
    old, new, after = step(OLD), step(NEW), step("after")

    @DBOS.workflow(name="w")
    def original() -> list[str]:
        return [old(), after()]

    if version == "original":
        return original

    @DBOS.workflow(name="w")
    def patched() -> list[str]:
        return [new() if DBOS.patch("p") else old(), after()]

    if version == "patched":
        return patched

    @DBOS.workflow(name="w")
    def deprecated() -> list[str]:
        DBOS.deprecate_patch("p")
        return [new(), after()]

    if version == "deprecated":
        return deprecated

    @DBOS.workflow(name="w")
    def removed() -> list[str]:
        return [new(), after()]

    return removed


def begin(workflow: Callable[[], Any], workflow_id: str) -> Any:
    with SetWorkflowID(workflow_id):
        return workflow()


@pytest.mark.filterwarnings("ignore")
def test_the_life_of_a_patch(launch: Launch) -> None:
    workflow = define("original")
    launch(application_version="v")
    assert begin(workflow, "before") == [OLD, "after"]
    workflow = define("patched")
    assert replay("before", "before+") == [OLD, "after"]
    assert names("before+") == [OLD, "after"]
    assert begin(workflow, "during") == [NEW, "after"]
    assert names("during") == ["DBOS.patch-p", NEW, "after"]
    assert replay("during", "during patched") == [NEW, "after"]
    workflow = define("deprecated")
    assert replay("during", "during+") == [NEW, "after"]
    assert begin(workflow, "later") == [NEW, "after"]
    assert names("later") == [NEW, "after"]
    define("removed")
    assert replay("later", "later+") == [NEW, "after"]
    with pytest.raises(error.DBOSUnexpectedStepError, match="patch-p"):
        replay("during", "too early")


def test_a_workflow_that_has_not_come_to_the_patch_takes_the_new_way(launch: Launch) -> None:
    old, new, first = step(OLD), step(NEW), step("first")
    is_patched = [False]

    @DBOS.workflow()
    def workflow() -> list[str]:
        begun = first()
        if not is_patched[0]:
            raise ValueError("not yet")
        return [begun, *(new() if DBOS.patch("p") else old() for _ in range(2))]

    launch()
    with pytest.raises(ValueError, match="not yet"):
        begin(workflow, "w")
    is_patched[0] = True
    assert DBOS.resume_workflow("w").get_result() == ["first", NEW, NEW]
    assert names("w") == ["first", "DBOS.patch-p", NEW, "DBOS.patch-p", NEW]
    assert runs == ["first", NEW, NEW]
    assert [each["function_id"] for each in DBOS.list_workflow_steps("w")] == [1, 2, 3, 4, 5]


@pytest.mark.filterwarnings("ignore")
def test_what_runs_while_the_code_is_patched_is_recovered_and_ends_as_it_began(launch: Launch) -> None:
    """Its version stays, though its source has changed."""
    old, new, after = step(OLD), step(NEW), step("after")
    with Gate() as gate:

        @DBOS.workflow(name="w")
        def original() -> list[str]:
            came = old()
            gate.pass_through()
            return [came, after()]

        launch(enable_patching=True)
        with SetWorkflowID("begun before"):
            DBOS.start_workflow(original)
        gate.wait_for_arrival()

        @DBOS.workflow(name="w")
        def patched() -> list[str]:
            came = new() if DBOS.patch("p") else old()
            gate.pass_through()
            return [came, after()]

        launch(enable_patching=True)
        gate.wait_for_arrival(2)
        gate.open()
        assert DBOS.get_result("begun before") == [OLD, "after"]
        assert begin(patched, "begun after") == [NEW, "after"]
    assert names("begun before") == [OLD, "after"]


def test_async_workflows_are_patched_as_well(launch: Launch) -> None:
    @DBOS.workflow()
    async def workflow() -> tuple[bool, bool]:
        return await DBOS.patch_async("p"), await DBOS.deprecate_patch_async("q")

    launch()
    with SetWorkflowID("w"):
        assert asyncio.run(workflow()) == (True, True)
    assert names("w") == ["DBOS.patch-p"]
    assert DBOS.fork_workflow("w", 9).get_result() == (True, True)


def test_another_patch_at_this_point(launch: Launch) -> None:
    name = ["p"]

    @DBOS.workflow()
    def workflow() -> bool:
        return DBOS.patch(name[0])

    launch()
    assert begin(workflow, "w")
    name[0] = "q"
    with pytest.raises(error.DBOSPatchNondeterminismError, match="patch 'p' was recorded") as caught:
        DBOS.fork_workflow("w", 9).get_result()
    assert (caught.value.patch_name, caught.value.dbos_error_code) == ("q", 15)


def test_where_no_patch_can_be_asked(launch: Launch) -> None:
    calls = {"patch": DBOS.patch, "deprecate_patch": DBOS.deprecate_patch}

    @DBOS.step()
    def in_step(call: str) -> None:
        calls[call]("p")

    @DBOS.transaction()
    def in_transaction(call: str) -> None:
        calls[call]("p")

    @DBOS.workflow()
    def workflow(call: str) -> None:
        for place in (in_step, in_transaction):
            with pytest.raises(error.DBOSException, match=call):
                place(call)
        for bad in ("", " ", "a\0b", None, 7):
            with pytest.raises(error.DBOSException, match="name of a patch"):
                calls[call](bad)  # type: ignore[arg-type]

    launch()
    for call, function in calls.items():
        with pytest.raises(error.DBOSException, match=f"DBOS.{call}.* within a workflow"):
            function("p")
        workflow(call)


def test_the_version_of_a_patched_application(launch: Launch) -> None:
    launch(enable_patching=True)
    assert DBOS.application_version == "PATCHING_ENABLED"
    chosen = read_config({"name": "app", "enable_patching": True, "application_version": "v7"}, {})
    assert chosen.application_version == "v7"
    assert read_config({"name": "app", "enable_patching": True}, {"DBOS__APPVERSION": "v8"}).application_version == "v8"
