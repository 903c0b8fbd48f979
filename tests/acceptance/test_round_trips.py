"""How often one waits for Postgres: counted on the wire between the two, not by the library."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID
from dbos.store.database import StoreSettings
from dbos.store.store import Store
from tests.acceptance.test_costs import stop_services
from tests.store.records import checkpoint, finish, start
from tests.support.proxy import PostgresProxy

pytestmark = pytest.mark.own_session("a pooler has a wire of its own")

RUNS = 10  # after the first, which prepares its statements. The best counts: in another, a connection may be opening


@pytest.fixture
def proxy(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresProxy]:
    monkeypatch.setattr("dbos.runtime.context.FRESH_SECONDS", 60.0)  # a slow machine asks whether it owns its workflow
    DBOS.destroy(destroy_registry=True)
    with PostgresProxy(postgres_url) as proxy:
        yield proxy
        DBOS.destroy(destroy_registry=True)


def launch_behind(proxy: PostgresProxy) -> None:
    """Without what waits for the database by itself now and then, as those do who wake other processes."""
    DBOS(config={"name": "test-app", "system_database_url": proxy.url, "use_listen_notify": False})
    DBOS.launch()
    stop_services()


def round_trips(proxy: PostgresProxy, work: Callable[[], Any]) -> int:
    work()
    counts = []
    for _ in range(RUNS):
        before = proxy.round_trips
        work()
        counts.append(proxy.round_trips - before)
    return min(counts)


async def round_trips_async(proxy: PostgresProxy, work: Callable[[], Any]) -> int:
    await work()
    counts = []
    for _ in range(RUNS):
        before = proxy.round_trips
        await work()
        counts.append(proxy.round_trips - before)
    return min(counts)


def test_what_a_workflow_does_costs_one_each(proxy: PostgresProxy) -> None:
    @DBOS.step()
    def step() -> int:
        return 1

    @DBOS.workflow()
    def workflow() -> dict[str, int]:
        for _ in range(1 + RUNS):
            DBOS.send("w", "hello", "there already")
        return {
            "step": round_trips(proxy, step),
            "send": round_trips(proxy, lambda: DBOS.send("w", "hello")),
            "recv": round_trips(proxy, lambda: DBOS.recv("there already")),
            "set_event": round_trips(proxy, lambda: DBOS.set_event("key", 1)),
            "write_stream": round_trips(proxy, lambda: DBOS.write_stream("numbers", 1)),
        }

    launch_behind(proxy)
    with SetWorkflowID("w"):
        found = workflow()
    assert found == dict.fromkeys(found, 1)


def test_what_a_coroutine_does_costs_one_each(proxy: PostgresProxy) -> None:
    @DBOS.step()
    async def step() -> int:
        return 1

    @DBOS.workflow()
    async def workflow() -> dict[str, int]:
        return {
            "step": await round_trips_async(proxy, step),
            "send": await round_trips_async(proxy, lambda: DBOS.send_async("w", "hello")),
            "set_event": await round_trips_async(proxy, lambda: DBOS.set_event_async("key", 1)),
            "write_stream": await round_trips_async(proxy, lambda: DBOS.write_stream_async("numbers", 1)),
        }

    launch_behind(proxy)
    with SetWorkflowID("w"):
        found = asyncio.run(workflow())
    assert found == dict.fromkeys(found, 1)


def test_a_workflow_costs_two_beyond_its_steps_and_a_child_three(proxy: PostgresProxy) -> None:
    """Start and end. For a child, its result in its parent as well; its start travels with the parent's step."""

    @DBOS.step()
    def step() -> None: ...

    @DBOS.workflow()
    def child() -> None: ...

    @DBOS.workflow()
    def workflow(steps: int, children: int) -> None:
        for _ in range(steps):
            step()
        for _ in range(children):
            child()

    launch_behind(proxy)
    assert round_trips(proxy, lambda: workflow(2, 0)) == 2 + 2
    assert round_trips(proxy, lambda: workflow(0, 4)) == 2 + 3 * 4


def test_a_batch_of_many_kinds_costs_one(proxy: PostgresProxy) -> None:
    with closing(Store.open(StoreSettings(url=proxy.url))) as store:
        store.journal.write([start("w"), start("-1")])
        steps = iter(range(1 + RUNS))

        def write() -> None:
            number = next(steps)
            batch = [start(f"{number}"), checkpoint("w", number), finish(f"{number - 1}")]
            assert None not in store.journal.write(batch)

        assert round_trips(proxy, write) == 1
