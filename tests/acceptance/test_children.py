"""api.md §3.3: workflows that workflows start, their ids, their step numbers and their replay."""

import asyncio

import pytest

from dbos import DBOS, DBOSContextSetAuth, SetWorkflowID, WorkflowHandle, WorkflowHandleAsync, error
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import count_rows


def steps_of(workflow_id: str) -> list[tuple[int, str, object, str | None]]:
    return [
        (step["function_id"], step["function_name"], step["output"], step["child_workflow_id"])
        for step in DBOS.list_workflow_steps(workflow_id)
    ]


def test_a_called_child_takes_two_steps(launch: Launch, replay: Replay) -> None:
    ran: list[int] = []

    @DBOS.step(name="step")
    def step(number: int) -> int:
        return number

    @DBOS.workflow(name="child")
    def child(number: int) -> int:
        ran.append(number)
        return number * 10

    @DBOS.workflow(name="parent")
    def parent() -> int:
        total = step(1) + child(2) + step(3)
        return total + child(4)

    launch()
    with SetWorkflowID("p"):
        assert parent() == 64
    expected = [
        (1, "step", 1, None),
        (2, "child", None, "p-2"),
        (3, "DBOS.getResult", 20, "p-2"),
        (4, "step", 3, None),
        (5, "child", None, "p-5"),
        (6, "DBOS.getResult", 40, "p-5"),
    ]
    assert steps_of("p") == expected
    assert {status.workflow_id: status.parent_workflow_id for status in DBOS.list_workflows()} == {
        "p": None,
        "p-2": "p",
        "p-5": "p",
    }
    assert replay("p").get_result() == 64
    assert steps_of("p") == expected
    assert ran == [2, 4]


def test_a_called_coroutine_child_takes_two_steps(launch: Launch, replay: Replay) -> None:
    ran: list[int] = []

    @DBOS.workflow(name="child")
    async def child(number: int) -> int:
        ran.append(number)
        await asyncio.sleep(0)
        return number * 10

    @DBOS.workflow(name="parent")
    async def parent() -> list[int]:
        return [await child(1), *await asyncio.gather(child(2), child(3))]

    launch()

    async def main() -> None:
        with SetWorkflowID("p"):
            assert await parent() == [10, 20, 30]

    asyncio.run(main())
    expected = [
        (1, "child", None, "p-1"),
        (2, "DBOS.getResult", 10, "p-1"),
        (3, "child", None, "p-3"),
        (4, "DBOS.getResult", 20, "p-3"),
        (5, "child", None, "p-5"),
        (6, "DBOS.getResult", 30, "p-5"),
    ]
    assert steps_of("p") == expected
    assert replay("p").get_result() == [10, 20, 30]
    assert steps_of("p") == expected
    assert ran == [1, 2, 3]


def test_a_started_child_takes_one_step_and_its_result_another(launch: Launch, replay: Replay) -> None:
    ran: list[int] = []

    @DBOS.workflow(name="child")
    def child(number: int) -> int:
        ran.append(number)
        return number * 10

    @DBOS.workflow(name="parent")
    def parent() -> int:
        handles: list[WorkflowHandle[int]] = [DBOS.start_workflow(child, number) for number in (1, 2)]
        return sum(handle.get_result() for handle in reversed(handles))

    @DBOS.workflow(name="parent_async")
    async def parent_async() -> int:
        handles: list[WorkflowHandleAsync[int]] = [await DBOS.start_workflow_async(child, n) for n in (1, 2)]
        return sum([await handle.get_result() for handle in reversed(handles)])

    launch()
    with SetWorkflowID("p"):
        assert parent() == 30
    with SetWorkflowID("q"):
        assert asyncio.run(parent_async()) == 30
    for workflow_id in ("p", "q"):
        expected = [
            (1, "child", None, f"{workflow_id}-1"),
            (2, "child", None, f"{workflow_id}-2"),
            (3, "DBOS.getResult", 20, f"{workflow_id}-2"),
            (4, "DBOS.getResult", 10, f"{workflow_id}-1"),
        ]
        assert steps_of(workflow_id) == expected
        assert replay(workflow_id).get_result() == 30
        assert steps_of(workflow_id) == expected
    assert sorted(ran) == [1, 1, 2, 2]


def test_an_explicit_id_wins_and_is_recorded(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow(name="child")
    def child() -> str | None:
        return DBOS.workflow_id

    @DBOS.workflow(name="parent")
    def parent() -> list[str | None]:
        with SetWorkflowID("chosen"):
            first = child()
        return [first, child()]

    launch()
    with SetWorkflowID("p"):
        assert parent() == ["chosen", "p-3"]
    assert DBOS.retrieve_workflow("chosen").get_status().parent_workflow_id == "p"
    assert steps_of("p")[0] == (1, "child", None, "chosen")
    assert replay("p").get_result() == ["chosen", "p-3"]


def test_the_id_of_a_parent_is_not_passed_on(launch: Launch) -> None:
    @DBOS.workflow()
    def child() -> str | None:
        return DBOS.workflow_id

    @DBOS.workflow()
    def parent() -> str | None:
        return child()

    launch()
    with SetWorkflowID("p"):
        assert parent() == "p-1"


def test_a_conflicting_child_is_refused_and_replayed(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow(name="one")
    def one() -> None: ...

    @DBOS.workflow(name="two")
    def two() -> None:
        raise AssertionError("must not run")

    @DBOS.workflow(name="parent")
    def parent() -> str:
        try:
            with SetWorkflowID("shared"):
                two()
        except error.DBOSConflictingWorkflowError as conflict:
            return str(conflict)
        return "accepted"

    launch()
    with SetWorkflowID("shared"):
        one()
    with SetWorkflowID("p"):
        refusal = parent()
    assert "different function name" in refusal
    assert replay("p").get_result() == refusal
    assert DBOS.retrieve_workflow("p").get_status().status == "SUCCESS"


def test_a_child_attaches_to_an_existing_id(launch: Launch, replay: Replay) -> None:
    ran: list[int] = []

    @DBOS.workflow(name="child")
    def child(number: int) -> int:
        ran.append(number)
        return number

    @DBOS.workflow(name="parent")
    def parent(number: int) -> int:
        with SetWorkflowID("shared"):
            return child(number)

    launch()
    for number, workflow_id in ((1, "p"), (2, "q")):
        with SetWorkflowID(workflow_id):
            assert parent(number) == 1
    assert ran == [1]
    assert replay("q").get_result() == 1


def test_a_failing_child(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow(name="child")
    def child() -> None:
        raise KeyError("child")

    @DBOS.workflow(name="parent")
    def parent(start: bool) -> str:
        try:
            if start:
                DBOS.start_workflow(child).get_result()
            else:
                child()
        except KeyError as caught:
            return f"caught {caught}"
        return "nothing"

    launch()
    for start in (False, True):
        workflow_id = f"p{start}"
        with SetWorkflowID(workflow_id):
            assert parent(start) == "caught 'child'"
        assert replay(workflow_id).get_result() == "caught 'child'"
        *_, last = DBOS.list_workflow_steps(workflow_id)
        assert last["function_name"] == "DBOS.getResult"
        assert isinstance(last["error"], KeyError)


def test_the_identity_passes_on_to_children(launch: Launch) -> None:
    @DBOS.workflow()
    def child() -> list[object]:
        return [DBOS.authenticated_user, DBOS.authenticated_roles]

    @DBOS.workflow()
    def parent() -> list[object]:
        return [child(), DBOS.start_workflow(child).get_result()]

    launch()
    with DBOSContextSetAuth("alice", ["admin", "user"]):
        assert parent() == [["alice", ["admin", "user"]]] * 2
    for status in DBOS.list_workflows():
        assert (status.authenticated_user, status.authenticated_roles) == ("alice", ["admin", "user"])


@pytest.mark.parametrize("start", [False, True])
def test_a_step_cannot_start_a_workflow(launch: Launch, database_url: str, start: bool) -> None:
    @DBOS.workflow(name="forbidden")
    def child() -> None:
        raise AssertionError("must not run")

    @DBOS.step(name="step")
    def step() -> None:
        if start:
            DBOS.start_workflow(child)
        else:
            child()

    @DBOS.workflow(name="outer")
    def parent() -> None:
        step()

    launch()
    with pytest.raises(error.DBOSException, match="from within a step") as caught:
        parent()
    assert "forbidden" in str(caught.value)
    assert "outer" in str(caught.value)
    assert count_rows(database_url)["workflow_status"] == 1


def test_grandchildren(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow()
    def leaf(number: int) -> int:
        return number

    @DBOS.workflow()
    def middle(number: int) -> int:
        return leaf(number) + DBOS.start_workflow(leaf, number).get_result()

    @DBOS.workflow()
    def root() -> int:
        return middle(1) + DBOS.start_workflow(middle, 2).get_result()

    launch()
    with SetWorkflowID("r"):
        assert root() == 6
    assert {status.workflow_id for status in DBOS.list_workflows()} == {
        "r", "r-1", "r-1-1", "r-1-3", "r-3", "r-3-1", "r-3-3"
    }  # fmt: skip
    assert replay("r").get_result() == 6
    assert len(DBOS.list_workflows()) == 7
