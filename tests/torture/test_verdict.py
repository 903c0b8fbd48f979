"""The verdict goes red: each invariant that a scenario checks is broken once, and noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dbos import DBOS, SetWorkflowID
from tests.processes import limits
from tests.support.workers import Workers
from tests.torture.world import LEDGER, World

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def world(
    launch: Callable[..., type[DBOS]], database_url: str, worker_server: Workers, tmp_path: Path
) -> Iterator[World]:
    """A world in which one workflow of one step has run to its end."""
    with World(database_url, worker_server, tmp_path, ExitStack()).prepare() as world:

        @DBOS.step()
        def step() -> int:
            world.ledger.write("begin", DBOS.workflow_id, DBOS.step_id, "step", epoch=1)
            return 1

        @DBOS.workflow()
        def workflow() -> int:
            return step()

        launch()
        with SetWorkflowID("w"):
            assert workflow() == 1
        DBOS.destroy()
        world.promise(["w"])
        world.settle(1)
        world.verify()
        yield world


@pytest.mark.parametrize(
    ("broken", "statement"),
    [
        ("no such transition", "update workflow_status set status = 'ENQUEUED', completed_at = null"),  # I3
        ("outcome was written outside", "update workflow_status set output = '2', started_at_epoch_ms = 0"),  # I4
        ("completed_at does not fit", "update workflow_status set completed_at = null, epoch = 2"),  # I3
        ("the epoch should be", "update workflow_status set epoch = epoch - 1"),  # I6
        ("I7", "update workflow_status set recovery_attempts = 7"),
        ("was update|was changed", "update operation_outputs set output = '2'"),  # I9
        ("was delete", "delete from operation_outputs"),  # I9
        ("I1:", "delete from workflow_status"),
    ],
)
def test_what_the_database_saw(world: World, broken: str, statement: str) -> None:
    with world.sql() as sql:
        sql(statement)
    with pytest.raises(AssertionError, match=broken):
        world.verify()


def test_what_the_ledger_saw(world: World) -> None:
    world.ledger.write("begin", "w", 1, "step", epoch=2)
    with pytest.raises(AssertionError, match="I10"):
        world.verify()
    (world.directory / LEDGER).write_text("")
    with pytest.raises(AssertionError, match="I11"):
        world.verify()


def test_what_does_not_end(world: World) -> None:
    with world.sql() as sql:
        sql("update workflow_status set completed_at = null")
    with pytest.raises(AssertionError, match="I5"):
        world.settle(0)
    world.settle(0, but=["w"])


@pytest.mark.parametrize(
    ("limit", "column"),
    [
        ({"concurrency": 2}, "in_queue"),
        ({"worker_concurrency": 2}, "in_worker"),
        ({"partition_queue": True, "concurrency": 2}, "in_partition"),
        ({"partition_queue": True, "worker_concurrency": 2}, "in_partition_of_worker"),
        ({"partition_concurrency": 2}, "in_partition"),
    ],
)
def test_what_a_queue_did(world: World, limit: dict[str, object], column: str) -> None:
    with world.sql() as sql:
        sql(f"insert into starts (queue, {column}) values ('q', 2)")
        assert limits.violations(world.url, "q", limit) == []
        sql(f"insert into starts (queue, {column}) values ('q', 3), ('other', 9)")
    assert limits.violations(world.url, "q", limit) == [f"{column}: 3 > 2"]


def test_how_fast_a_queue_was(world: World) -> None:
    limit = {"limiter": {"limit": 2, "period": 1}}
    with world.sql() as sql:
        sql("insert into starts (queue, started_at) values ('q', 0), ('q', 900), ('q', 1000)")
        assert limits.violations(world.url, "q", limit) == []
        sql("insert into starts (queue, started_at) values ('q', 1899)")
    assert limits.violations(world.url, "q", limit) == ["3 starts of None within 999 ms"]
