"""Transactions of coroutines under faults: lost replies and duplicate executions, as in test_transaction_faults.py."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from dbos import DBOS, AsyncSQLAlchemyDatasource, SetWorkflowID, WorkflowHandle
from dbos.api.launched import current_engine
from tests.acceptance.user_database import INSERT, create_table, notes, witnesses
from tests.support.fixture_types import Launch
from tests.support.proxy import CutPhase, PostgresProxy
from tests.support.waiting import Gate, eventually

TABLE = "datasource_outputs"


@pytest.fixture
def proxied(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresProxy]:
    """A way to the user's database that can be cut. Nothing but transactions goes there: a sweep commits as well."""
    monkeypatch.setattr("dbos.services.forgetting.Forgetting._sweep", lambda *_: None)
    create_table(postgres_url)
    with PostgresProxy(postgres_url) as proxy:
        yield proxy
        DBOS.destroy()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_commit_whose_reply_was_lost_is_found_out(
    launch: Launch, proxied: PostgresProxy, postgres_url: str, phase: CutPhase, fails: bool
) -> None:
    """Nothing of it is done twice: neither what the function wrote, nor the error that it came to."""
    datasource = asyncio.run(AsyncSQLAlchemyDatasource.create(proxied.url))
    runs: list[int] = []
    later: list[str] = []

    @datasource.transaction
    async def note() -> int:
        runs.append(1)
        await datasource.sql_session().execute(INSERT, {"note": "once"})
        if fails:
            raise KeyError("only once")
        return len(runs)

    @DBOS.step()
    async def after(told: str) -> str:
        later.append(told)
        return told

    @DBOS.workflow()
    async def work() -> str:
        try:
            told = f"run {await note()}"
        except KeyError as failure:
            told = f"failed {failure.args[0]}"
        return await after(told)

    launch()
    cut = proxied.cut_at_commit(1, phase)
    with SetWorkflowID("w"):
        told = asyncio.run(work())
    assert cut.done.is_set()
    # What failed took its writes back by itself; the lost commit is that of the witness, written without running again.
    expected_runs = 2 if phase == "before" and not fails else 1
    assert len(runs) == expected_runs
    assert told == ("failed only once" if fails else f"run {expected_runs}")
    assert later == [told]
    assert notes(postgres_url) == ([] if fails else ["once"])
    assert witnesses(postgres_url, TABLE) == [("w", 1, fails)]
    asyncio.run(datasource.close())


@pytest.mark.parametrize("zombie_first", [True, False], ids=["zombie first", "owner first"])
@pytest.mark.parametrize("level", ["READ COMMITTED", "SERIALIZABLE"])
def test_of_two_executions_one_commits_and_the_other_stops(
    launch: Launch, postgres_url: str, level: str, zombie_first: bool
) -> None:
    """Row and witness are there once; both tell the winner's value; only the owner goes on to the next step."""
    create_table(postgres_url)
    datasource = asyncio.run(AsyncSQLAlchemyDatasource.create(postgres_url))
    gates = [Gate(), Gate()]
    numbers = iter(range(10))
    drawing = threading.Lock()  # guards numbers
    later: list[int] = []

    @datasource.transaction(isolation_level=level)  # type: ignore[arg-type]
    async def note() -> int:
        with drawing:
            number = next(numbers)
        await datasource.sql_session().execute(INSERT, {"note": "effect"})
        if number < len(gates):
            await gates[number].pass_through_async()
        return number

    @DBOS.step()
    async def after(number: int) -> int:
        later.append(number)
        return number

    @DBOS.workflow()
    async def work() -> int:
        return await after(await note())

    launch()
    with gates[0], gates[1]:
        with SetWorkflowID("w"):
            zombie = DBOS.start_workflow(work)
        gates[0].wait_for_arrival()
        assert [handle.workflow_id for handle in DBOS._recover_pending_workflows([DBOS.executor_id])] == ["w"]
        gates[1].wait_for_arrival()
        first = 0 if zombie_first else 1
        gates[first].open()
        eventually(lambda: witnesses(postgres_url, TABLE))
        gates[1 - first].open()
        assert zombie.get_result() == WorkflowHandle[int]("w").get_result() == first
    eventually(lambda: not current_engine().active())
    assert notes(postgres_url) == ["effect"]
    assert witnesses(postgres_url, TABLE) == [("w", 1, False)]
    assert later == [first], "whoever lost went on to the next step"
    assert [step["output"] for step in DBOS.list_workflow_steps("w")] == [first, first]
    DBOS.destroy()
    asyncio.run(datasource.close())
