"""api.md §8.3: streams."""

import asyncio
import gc
import inspect
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest

from dbos import DBOS, SetWorkflowID, WorkflowHandle, WorkflowSerializationFormat, error
from dbos.api.launched import current_engine, launched_engine
from dbos.model.stream import StreamPage
from dbos.store.streams import Streams
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql
from tests.support.waiting import PATIENCE_SECONDS, Gate, eventually, eventually_async

SHORT = 0.05


def steps(workflow_id: str) -> list[tuple[int, str, Any]]:
    return [
        (step["function_id"], step["function_name"], step["output"]) for step in DBOS.list_workflow_steps(workflow_id)
    ]


def read(workflow_id: str, key: str = "s", **options: Any) -> list[Any]:
    return list(DBOS.read_stream(workflow_id, key, **options))


async def read_async(workflow_id: str, key: str = "s", **options: Any) -> list[Any]:
    return [value async for value in DBOS.read_stream_async(workflow_id, key, **options)]


READERS: dict[str, Callable[..., list[Any]]] = {
    "sync": read,
    "async": lambda *arguments, **options: asyncio.run(read_async(*arguments, **options)),
}
every_reader = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


@pytest.fixture
def writer() -> Callable[..., Any]:
    """A workflow that writes the values given, and closes the stream if told so."""

    @DBOS.workflow()
    def write(values: list[Any], close: bool = True, key: str = "s") -> str:
        for value in values:
            DBOS.write_stream(key, value)
        if close:
            DBOS.close_stream(key)
        return "written"

    return write


def start(workflow: Callable[..., Any], workflow_id: str, *args: Any, **kwargs: Any) -> WorkflowHandle[Any]:
    with SetWorkflowID(workflow_id):
        return DBOS.start_workflow(workflow, *args, **kwargs)


# ---------------------------------------------------------------- writing and reading


@every_reader
@pytest.mark.parametrize("close", [True, False])
def test_values_come_in_order_until_the_end(
    launch: Launch, writer: Callable[..., Any], reader: Callable[..., list[Any]], close: bool
) -> None:
    values = [1, "two", {"three": 3}, None, (4, 5), {6}, [None], False, ""]
    launch()
    start(writer, "w", values, close)
    assert reader("w") == values
    assert reader("w") == values
    assert DBOS.get_result("w") == "written"
    assert reader("w") == values


def test_each_write_is_a_step(launch: Launch, writer: Callable[..., Any], replay: Replay, database_url: str) -> None:
    launch()
    start(writer, "w", ["a", "b"]).get_result()
    names = [(1, "DBOS.writeStream", None), (2, "DBOS.writeStream", None), (3, "DBOS.closeStream", None)]
    assert steps("w") == names
    (step, *_) = DBOS.list_workflow_steps("w")
    assert 0 < step["started_at_epoch_ms"] <= step["completed_at_epoch_ms"]
    assert replay("w").get_result() == "written"
    assert steps("w") == names
    assert read("w") == ["a", "b"]
    stored = run_sql(database_url, 'select "offset", value, serialization, function_id from streams order by "offset"')
    end = (2, '"__DBOS_STREAM_CLOSED__"', "portable_json", 3)  # as readers of other languages know it
    assert [tuple(row) for row in stored] == [(0, '"a"', "json", 1), (1, '"b"', "json", 2), end]


def test_streams_of_a_workflow_are_independent(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        for number in range(3):
            DBOS.write_stream("numbers", number)
            DBOS.write_stream("squares", number * number)
        DBOS.close_stream("numbers")
        DBOS.write_stream("squares", 9)

    launch()
    start(workflow, "w").get_result()
    assert read("w", "numbers") == [0, 1, 2]
    assert read("w", "squares") == [0, 1, 4, 9]
    assert read("w", "unheard of") == []


def test_a_reader_follows_a_workflow_that_is_still_writing(launch: Launch) -> None:
    with Gate() as first, Gate() as second:

        @DBOS.workflow()
        def workflow() -> None:
            first.pass_through()
            DBOS.write_stream("s", "early")
            second.pass_through()
            DBOS.write_stream("s", "late")

        launch()
        start(workflow, "w")
        following = DBOS.read_stream("w", "s")
        first.open()
        assert next(following) == "early"
        second.open()
        assert next(following) == "late"
        with pytest.raises(StopIteration):
            next(following)


def test_async_workflows_write_and_read(launch: Launch) -> None:
    @DBOS.workflow()
    async def workflow() -> None:
        await asyncio.gather(*(DBOS.write_stream_async("s", number) for number in range(100)))
        await DBOS.close_stream_async("s")

    async def main() -> list[Any]:
        with SetWorkflowID("w"):
            await DBOS.start_workflow_async(workflow)
        return await read_async("w")

    launch()
    assert asyncio.run(main()) == list(range(100))
    assert [number for number, _, _ in steps("w")] == list(range(1, 102))


@pytest.mark.parametrize("coroutine", [False, True])
def test_a_step_writes_as_often_as_it_runs(launch: Launch, replay: Replay, database_url: str, coroutine: bool) -> None:
    @DBOS.step(retries_allowed=True, interval_seconds=0, max_attempts=3)
    def flaky() -> None:
        status = DBOS.step_status
        assert status is not None
        DBOS.write_stream("s", status.current_attempt)
        if status.current_attempt != 2:
            raise ConnectionError
        DBOS.close_stream("s")

    @DBOS.step(retries_allowed=True, interval_seconds=0, max_attempts=3)
    async def flaky_async() -> None:
        status = DBOS.step_status
        assert status is not None
        await DBOS.write_stream_async("s", status.current_attempt)
        if status.current_attempt != 2:
            raise ConnectionError
        await DBOS.close_stream_async("s")

    @DBOS.workflow()
    def workflow() -> None:
        flaky()

    @DBOS.workflow()
    async def workflow_async() -> None:
        await flaky_async()

    launch()
    start(workflow_async if coroutine else workflow, "w").get_result()
    assert read("w") == [0, 1, 2]
    assert len(steps("w")) == 1  # the writes are part of it
    replay("w").get_result()
    assert read("w") == [0, 1, 2]
    stored = run_sql(database_url, 'select function_id, step_attempt from streams order by "offset"')
    assert [tuple(row) for row in stored] == [(1, 0), (1, 1), (1, 2), (1, 2)]


def test_parallel_steps_write_one_stream_without_a_gap(launch: Launch, database_url: str) -> None:
    writers, each = 8, 25

    @DBOS.step()
    async def step(number: int) -> None:
        for count in range(each):
            await DBOS.write_stream_async("s", [number, count])

    @DBOS.step()
    def thread(number: int) -> None:
        for count in range(each):
            DBOS.write_stream("s", [number, count])

    @DBOS.workflow()
    async def workflow() -> None:
        await asyncio.gather(
            *(step(number) for number in range(writers)),
            *(asyncio.to_thread(thread, number) for number in range(writers, 2 * writers)),
        )

    launch()
    start(workflow, "w").get_result()
    values = read("w")
    for number in range(2 * writers):
        assert [count for writer, count in values if writer == number] == list(range(each))
    offsets = run_sql(database_url, 'select "offset" from streams order by "offset"')
    assert [offset for (offset,) in offsets] == list(range(2 * writers * each))


# ---------------------------------------------------------------- the end of a stream


@pytest.mark.parametrize("where", ["body", "step"])
def test_nothing_is_written_to_a_closed_stream(launch: Launch, replay: Replay, where: str) -> None:
    caught: list[error.DBOSStreamClosedError] = []

    def write() -> None:
        try:
            DBOS.write_stream("s", "too late")
        except error.DBOSStreamClosedError as problem:
            caught.append(problem)

    @DBOS.step()
    def write_in_step() -> None:
        write()

    @DBOS.workflow()
    def workflow() -> None:
        DBOS.write_stream("s", "in time")
        DBOS.close_stream("s")
        write() if where == "body" else write_in_step()

    launch()
    start(workflow, "w").get_result()
    (problem,) = caught
    assert (problem.workflow_id, problem.key, problem.dbos_error_code) == ("w", "s", 104)
    assert "Stream s of workflow w is closed" in str(problem)
    assert read("w") == ["in time"]
    recorded = DBOS.list_workflow_steps("w")
    if where == "body":
        assert isinstance(recorded[2]["error"], error.DBOSStreamClosedError)
    replay("w").get_result()
    assert len(caught) == (2 if where == "body" else 1)  # a replay of the body meets it again, from the record
    assert repr(DBOS.list_workflow_steps("w")) == repr(recorded)
    assert read("w") == ["in time"]


def test_closing_again_does_nothing(launch: Launch, replay: Replay) -> None:
    @DBOS.step()
    def close() -> None:
        DBOS.close_stream("s")

    @DBOS.workflow()
    def workflow() -> None:
        DBOS.close_stream("s")
        DBOS.close_stream("s")
        close()

    launch()
    start(workflow, "w").get_result()
    assert [name.rpartition(".")[2] for _, name, _ in steps("w")] == ["closeStream", "closeStream", "close"]
    assert read("w") == []
    replay("w").get_result()
    assert read("w") == []


@every_reader
@pytest.mark.parametrize("end", ["fails", "is cancelled", "is given up"])
def test_however_the_workflow_ends_the_reader_ends(
    launch: Launch, database_url: str, reader: Callable[..., list[Any]], end: str
) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            DBOS.write_stream("s", "something")
            gate.pass_through()
            if end == "fails":
                raise RuntimeError("over")
            DBOS.sleep(1000)

        launch()
        start(workflow, "w")
        gate.wait_for_arrival()
        gate.open()
        if end == "is cancelled":
            DBOS.cancel_workflow("w")
        elif end == "is given up":
            status = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
            run_sql(database_url, "update workflow_status set status = ?, completed_at = 1, epoch = epoch + 1", status)
        assert reader("w") == ["something"]


def test_a_reader_goes_on_with_a_resumed_workflow(launch: Launch) -> None:
    fails = [True]

    @DBOS.workflow()
    def workflow() -> None:
        DBOS.write_stream("s", "once")
        if fails[0]:
            raise RuntimeError("not yet")
        DBOS.write_stream("s", "resumed")

    launch()
    handle = start(workflow, "w")
    assert read("w") == ["once"]
    with pytest.raises(RuntimeError):
        handle.get_result()
    fails[0] = False
    DBOS.resume_workflow("w")
    assert read("w") == ["once", "resumed"]


def test_a_stream_is_read_before_its_workflow_begins(
    launch: Launch, database_url: str, writer: Callable[..., Any]
) -> None:
    launch()
    start(writer, "w", ["first"], close=False).get_result()
    run_sql(
        database_url,
        "update workflow_status set status = 'ENQUEUED', completed_at = null, queue_name = 'nobody serves it'",
    )
    run_sql(database_url, "delete from streams")
    with pytest.raises(error.DBOSStreamTimeoutError):
        read("w", timeout_seconds=SHORT)


def test_the_last_value_is_never_missed(launch: Launch) -> None:
    """A value and the end of its workflow in quick succession, while readers are at every point of their loop."""
    rounds, readers = 30, 4
    begun = threading.Barrier(readers + 1)
    seen: list[list[Any]] = []

    @DBOS.workflow()
    def workflow(number: int) -> None:
        DBOS.write_stream("s", number)
        DBOS.write_stream("s", "last")

    def follow() -> None:
        for number in range(rounds):
            begun.wait(PATIENCE_SECONDS)
            seen.append(read(f"w{number}"))

    launch()
    threads = [threading.Thread(target=follow, daemon=True) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for number in range(rounds):
        start(workflow, f"w{number}", number)
        begun.wait(PATIENCE_SECONDS)
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted([number, "last"] for number in range(rounds) for _ in range(readers))


# ---------------------------------------------------------------- from an offset on


@every_reader
def test_reading_from_an_offset_gives_the_same_rest(
    launch: Launch, writer: Callable[..., Any], reader: Callable[..., list[Any]]
) -> None:
    launch()
    values = list(range(100))  # several pages
    start(writer, "w", values).get_result()
    for offset in (0, 1, 15, 16, 17, 48, 99, 100, 101, 10_000):
        assert reader("w", offset=offset) == values[offset:]


def test_behind_the_end_there_is_nothing_though_the_workflow_runs(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            DBOS.write_stream("s", "only")
            DBOS.close_stream("s")
            gate.pass_through()

        launch()
        start(workflow, "w")
        gate.wait_for_arrival()
        for offset, rest in ((0, ["only"]), (1, []), (2, []), (50, [])):
            assert read("w", offset=offset) == rest


@pytest.mark.parametrize("coroutine", [False, True])
def test_one_value_by_its_offset(launch: Launch, writer: Callable[..., Any], coroutine: bool) -> None:
    def at(offset: int, **options: Any) -> Any:
        if coroutine:
            return asyncio.run(DBOS.read_stream_offset_async("w", "s", offset, **options))
        return DBOS.read_stream_offset("w", "s", offset, **options)

    launch()
    start(writer, "w", ["a", None, "c"])
    assert [at(2), at(0), at(1)] == ["c", "a", None]
    DBOS.get_result("w")
    for beyond in (3, 4, 1000):  # the end itself, and behind it
        with pytest.raises(error.DBOSStreamTimeoutError) as caught:
            at(beyond)
        assert (caught.value.workflow_id, caught.value.key) == ("w", "s")


def test_a_value_is_waited_for_by_its_offset(launch: Launch) -> None:
    with Gate() as gate:

        @DBOS.workflow()
        def workflow() -> None:
            gate.pass_through()
            for number in range(20):
                DBOS.write_stream("s", number)
            DBOS.sleep(1000)

        launch()
        start(workflow, "w")
        with pytest.raises(error.DBOSStreamTimeoutError, match=r"within 0\.05 seconds"):
            DBOS.read_stream_offset("w", "s", 19, timeout_seconds=SHORT)
        gate.open()
        assert DBOS.read_stream_offset("w", "s", 19) == 19
        DBOS.cancel_workflow("w")


# ---------------------------------------------------------------- reading in a workflow


@pytest.fixture
def reading() -> dict[str, Callable[..., Any]]:
    @DBOS.workflow()
    def plain(workflow_id: str) -> list[Any]:
        return [*DBOS.read_stream(workflow_id, "s"), DBOS.read_stream_offset(workflow_id, "s", 1)]

    @DBOS.workflow()
    async def coroutine(workflow_id: str) -> list[Any]:
        values = [value async for value in DBOS.read_stream_async(workflow_id, "s")]
        return [*values, await DBOS.read_stream_offset_async(workflow_id, "s", 1)]

    return {"plain": plain, "coroutine": coroutine}


@pytest.mark.parametrize("form", ["plain", "coroutine"])
def test_what_a_workflow_reads_is_recorded(
    launch: Launch, replay: Replay, database_url: str, writer: Callable[..., Any], reading: dict[str, Any], form: str
) -> None:
    launch()
    start(writer, "w", ["a", (1, 2)])
    assert start(reading[form], "r", "w").get_result() == ["a", (1, 2), (1, 2)]
    recorded = [
        (1, "DBOS.readStream", "a"),
        (2, "DBOS.readStream", (1, 2)),
        (3, "DBOS.readStream", "__DBOS_STREAM_CLOSED__"),
        (4, "DBOS.readStreamOffset", (1, 2)),
    ]
    assert steps("r") == recorded
    run_sql(database_url, "delete from streams")  # a replay does not ask again
    assert replay("r").get_result() == ["a", (1, 2), (1, 2)]
    assert steps("r") == recorded


@pytest.mark.parametrize("form", ["plain", "coroutine"])
def test_a_recovered_workflow_reads_on_where_it_was(
    launch: Launch, replay: Replay, database_url: str, writer: Callable[..., Any], reading: dict[str, Any], form: str
) -> None:
    launch()
    values = list(range(40))
    start(writer, "w", values)
    assert start(reading[form], "r", "w").get_result() == [*values, 1]
    run_sql(database_url, "delete from operation_outputs where workflow_uuid = 'r' and function_id > 21")
    run_sql(database_url, "update streams set value = '-1' where \"offset\" < 21")  # what is recorded counts
    assert replay("r").get_result() == [*values, -1]


def test_failures_of_reading_are_recorded(launch: Launch, replay: Replay, database_url: str) -> None:
    @DBOS.workflow()
    def silent() -> None:
        DBOS.sleep(1000)

    @DBOS.workflow()
    def reader() -> list[str]:
        told = []
        for attempt in (
            lambda: list(DBOS.read_stream("nobody", "s")),
            lambda: list(DBOS.read_stream("silent", "s", timeout_seconds=SHORT)),
            lambda: DBOS.read_stream_offset("silent", "s", 3, timeout_seconds=SHORT),
        ):
            try:
                attempt()
            except error.DBOSException as problem:
                told.append(type(problem).__name__)
        return told

    launch()
    start(silent, "silent")
    told = ["DBOSNonExistentWorkflowError", "DBOSStreamTimeoutError", "DBOSStreamTimeoutError"]
    assert start(reader, "r").get_result() == told
    assert [type(step["error"]).__name__ for step in DBOS.list_workflow_steps("r")] == told
    DBOS.cancel_workflow("silent")
    run_sql(database_url, "delete from workflow_status where workflow_uuid = 'silent'")
    assert replay("r").get_result() == told


def test_two_reads_at_once_in_one_workflow_are_refused(
    launch: Launch, writer: Callable[..., Any], replay: Replay
) -> None:
    @DBOS.workflow()
    async def both() -> list[Any]:
        outcomes = await asyncio.gather(read_async("w"), read_async("w", "other"), return_exceptions=True)
        return [outcomes[0], repr(outcomes[1])]

    launch()
    start(writer, "w", [1, 2])
    first, refusal = start(both, "r").get_result()
    assert first == [1, 2]
    assert "DBOSStreamNondeterminismError" in refusal
    assert "Cannot deterministically read stream other in workflow r" in refusal
    assert replay("r").get_result() == [first, refusal]


def test_reads_in_turn_and_in_steps_are_fine(launch: Launch, writer: Callable[..., Any]) -> None:
    @DBOS.step()
    async def in_step() -> list[list[Any]]:
        return await asyncio.gather(read_async("w"), read_async("w"))

    @DBOS.workflow()
    async def alternating() -> list[Any]:
        one, other = DBOS.read_stream_async("w", "s"), DBOS.read_stream_async("w", "s")
        return [await anext(one), await anext(other), await anext(one), await anext(other)]

    @DBOS.workflow()
    async def together() -> list[list[Any]]:
        return await in_step()

    launch()
    start(writer, "w", [1, 2])
    assert start(alternating, "a").get_result() == [1, 1, 2, 2]
    assert start(together, "t").get_result() == [[1, 2], [1, 2]]
    assert [name for _, name, _ in steps("t")] == [in_step.__qualname__]


def test_a_cancelled_workflow_stops_reading(launch: Launch) -> None:
    @DBOS.workflow()
    def silent() -> None:
        DBOS.sleep(1000)

    @DBOS.workflow()
    def reader() -> list[Any]:
        return list(DBOS.read_stream("silent", "s"))

    launch()
    start(silent, "silent")
    handle = start(reader, "r")
    eventually(lambda: waiting("workflow") and "silent" in waiting("workflow"))
    DBOS.cancel_workflow("r")
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    eventually(lambda: "silent" not in waiting("workflow"))
    DBOS.cancel_workflow("silent")


# ---------------------------------------------------------------- waiting costs little, and leaves nothing behind


def waiting(kind: str) -> list[str]:
    engine = launched_engine()
    assert engine is not None
    return engine.waiters.waiting_for(kind)


def queries() -> int:
    engine = launched_engine()
    assert engine is not None
    return engine.store.journal.counters.queries


def test_a_long_stream_is_read_in_pages(launch: Launch) -> None:
    count = 2_000

    @DBOS.workflow()
    async def workflow() -> None:
        await asyncio.gather(*(DBOS.write_stream_async("s", number) for number in range(count)))

    launch()
    start(workflow, "w").get_result()
    before = queries()
    assert read("w") == list(range(count))
    assert queries() - before < 20


def test_heavy_values_come_in_smaller_pages(
    launch: Launch, writer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, limits = Streams.page, list[int]()

    def noted(streams: Streams, workflow_id: str, key: str, offset: int, limit: int) -> StreamPage | None:
        limits.append(limit)
        return page(streams, workflow_id, key, offset, limit)

    monkeypatch.setattr(Streams, "page", noted)
    launch()
    values = ["x" * 900_000 + str(number) for number in range(25)]
    start(writer, "w", values).get_result()
    assert read("w") == values
    assert limits[:3] == [16, 8, 4]


def test_a_write_costs_one_commit_and_no_read(
    launch: Launch, writer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbos.runtime.context.FRESH_SECONDS", 60.0)  # a slow machine asks whether it owns its workflow
    launch()
    engine = current_engine()
    costs = []
    for number in range(10):
        before = engine.store.journal.counters.commits, queries()
        start(writer, f"w{number}", list(range(50))).get_result()
        assert engine.wait_until_idle(PATIENCE_SECONDS)  # a result is there a moment before it is counted
        costs.append((engine.store.journal.counters.commits - before[0], queries() - before[1]))
    assert min(commits for commits, _ in costs) == 50 + 1 + 2  # the writes, the close, start and end
    assert min(reads for _, reads in costs) < 10  # nothing but what the services ask now and then


def test_an_abandoned_reader_leaves_nothing(launch: Launch, writer: Callable[..., Any]) -> None:
    @DBOS.workflow()
    def endless() -> None:
        DBOS.write_stream("s", 1)
        DBOS.sleep(1000)

    async def give_up() -> None:
        async for _ in DBOS.read_stream_async("w", "s"):
            break
        reader = DBOS.read_stream_async("w", "s")
        assert await anext(reader) == 1
        pending = asyncio.ensure_future(anext(reader))
        await eventually_async(lambda: waiting("position"))
        pending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pending
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read_async("w"), SHORT)

    launch()
    start(endless, "w")
    for value in DBOS.read_stream("w", "s"):
        assert value == 1
        break
    closed = DBOS.read_stream("w", "s")
    assert next(closed) == 1
    closed.close()
    dropped = DBOS.read_stream("w", "s")
    next(dropped)
    del dropped
    never_begun = DBOS.read_stream("w", "s")
    del never_begun
    asyncio.run(give_up())
    gc.collect()
    assert waiting("stream") == waiting("position") == []
    DBOS.cancel_workflow("w")


def test_a_reader_in_a_thread_is_woken_by_destroy(launch: Launch) -> None:
    @DBOS.workflow()
    def silent() -> None:
        DBOS.sleep(1000)

    told: list[BaseException] = []

    def follow() -> None:
        try:
            read("w")
        except error.DBOSException as problem:
            told.append(problem)

    launch()
    start(silent, "w")
    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    eventually(lambda: waiting("position"))
    DBOS.destroy()
    thread.join(20)
    assert "destroyed" in str(told[0])


def test_a_local_write_wakes_a_reader_at_once(launch: Launch) -> None:
    arrived: list[float] = []

    @DBOS.workflow()
    def workflow() -> list[float]:
        written = []
        for number in range(50):
            written.append(time.monotonic())
            DBOS.write_stream("s", number)
            eventually(lambda: len(arrived) > number)  # noqa: B023
        return written

    launch(notification_listener_polling_interval_sec=60.0)  # no floor will help
    handle = start(workflow, "w")
    for _ in DBOS.read_stream("w", "s"):
        arrived.append(time.monotonic())  # noqa: PERF401 (the writer looks at it meanwhile)
    delays = sorted(there - here for here, there in zip(handle.get_result(), arrived, strict=True))
    assert delays[25] < 0.5


def test_many_readers_share_one_look(launch: Launch) -> None:
    """The floor beneath lost hints is one query, however many wait."""
    with Gate() as gate:

        @DBOS.workflow()
        async def workflow() -> None:
            await gate.pass_through_async()
            await DBOS.write_stream_async("s", "at last")

        async def main() -> list[Any]:
            with SetWorkflowID("w"):
                await DBOS.start_workflow_async(workflow)
            begun = queries()
            readers = [asyncio.ensure_future(read_async("w", offset=number % 2)) for number in range(500)]
            await eventually_async(lambda: queries() >= begun + 500)  # each has looked for itself once
            before = queries()
            await asyncio.sleep(0.3)  # several rounds of the floor
            asked.append(queries() - before)
            gate.open()
            return await asyncio.gather(*readers)

        asked: list[int] = []
        launch(notification_listener_polling_interval_sec=0.1)
        values = asyncio.run(main())
        assert values == [["at last"], []] * 250
        assert asked[0] < 100


# ---------------------------------------------------------------- bad input


def test_writing_takes_a_workflow(launch: Launch) -> None:
    launch()
    for call, name in (
        (lambda: DBOS.write_stream("s", 1), "write_stream"),
        (lambda: DBOS.close_stream("s"), "close_stream"),
    ):
        with pytest.raises(error.DBOSException, match=rf"DBOS\.{name}\(\) must be called from within a workflow"):
            call()
    with pytest.raises(error.DBOSException, match="within a workflow"):
        asyncio.run(DBOS.write_stream_async("s", 1))


BAD_KEYS = [None, 7, b"s", "a\0b", "\ud800", "x" * 513, "ü" * 257]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_bad_keys_are_refused_before_anything_is_written(launch: Launch, database_url: str, key: Any) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        for call in (lambda: DBOS.write_stream(key, 1), lambda: DBOS.close_stream(key)):
            with pytest.raises(error.DBOSException, match="The key of a stream"):
                call()

    launch()
    start(workflow, "w").get_result()
    assert steps("w") == []
    assert run_sql(database_url, "select * from streams") == []
    for read_it in (DBOS.read_stream, DBOS.read_stream_async):
        with pytest.raises(error.DBOSException, match="The key of a stream"):
            read_it("w", key)
    with pytest.raises(error.DBOSException, match="The key of a stream"):
        DBOS.read_stream_offset("w", key, 0)


@pytest.mark.parametrize("where", ["body", "step"])
def test_a_value_that_cannot_be_stored_is_refused(launch: Launch, where: str, database_url: str) -> None:
    lock = threading.Lock()

    @DBOS.step()
    def step() -> None:
        DBOS.write_stream("s", {"lock": lock})

    @DBOS.workflow()
    def workflow() -> None:
        with pytest.raises(error.DBOSSerializationError, match="a value of stream 's'"):
            step() if where == "step" else DBOS.write_stream("s", {"lock": lock})
        DBOS.write_stream("s", "fine")

    launch()
    start(workflow, "w").get_result()
    assert read("w") == ["fine"]


def test_values_as_pickle_on_request(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        DBOS.write_stream("s", [1], serialization_type=WorkflowSerializationFormat.NATIVE)

    launch()
    start(workflow, "w").get_result()
    assert [tuple(row) for row in run_sql(database_url, "select serialization from streams")] == [("py_pickle",)]
    assert read("w") == [[1]]


@pytest.mark.parametrize(
    "options",
    [
        *({"offset": offset} for offset in (-1, 1.0, True, None, "0", 2**63)),
        *({"polling_interval_sec": seconds} for seconds in (0, -1, 0.0009, float("nan"), float("inf"), "1", True)),
        *({"timeout_seconds": seconds} for seconds in (-1, -0.001, float("nan"), float("inf"), "1", True)),
    ],
    ids=repr,
)
def test_numbers_that_make_no_sense_are_refused_at_the_call(launch: Launch, options: dict[str, Any]) -> None:
    launch()
    (name,) = options
    for call in (DBOS.read_stream, DBOS.read_stream_async):
        with pytest.raises(ValueError, match=name):
            call("w", "s", **options)
    with pytest.raises(ValueError, match=name):
        DBOS.read_stream_offset("w", "s", **{"offset": 0, **options})


@every_reader
def test_an_unknown_workflow_is_an_error_of_the_first_value(launch: Launch, reader: Callable[..., list[Any]]) -> None:
    launch()
    unread = DBOS.read_stream("nobody", "s")
    with pytest.raises(error.DBOSNonExistentWorkflowError):
        next(unread)
    with pytest.raises(StopIteration):
        next(unread)
    with pytest.raises(error.DBOSNonExistentWorkflowError):
        reader("nobody")
    with pytest.raises(error.DBOSNonExistentWorkflowError):
        DBOS.read_stream_offset("nobody", "s", 0)
    with pytest.raises(error.DBOSException, match="workflow ID"):
        reader("")


@every_reader
@pytest.mark.parametrize("seconds", [0, SHORT])
def test_a_value_that_does_not_come_in_time(launch: Launch, reader: Callable[..., list[Any]], seconds: float) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        DBOS.write_stream("s", 1)
        DBOS.sleep(1000)

    launch()
    start(workflow, "w")
    assert DBOS.read_stream_offset("w", "s", 0) == 1
    with pytest.raises(error.DBOSStreamTimeoutError) as caught:
        reader("w", timeout_seconds=seconds, polling_interval_sec=0.01)
    assert (caught.value.workflow_id, caught.value.key, caught.value.timeout_seconds) == ("w", "s", seconds)
    DBOS.cancel_workflow("w")


def test_a_reader_whose_time_was_over_has_ended_and_a_new_one_goes_on(launch: Launch) -> None:
    """By its own timeout, or by one of asyncio around it, which cancels it."""

    @DBOS.workflow()
    def workflow() -> None:
        DBOS.write_stream("s", 0)
        DBOS.recv()
        DBOS.write_stream("s", 1)

    async def give_up() -> None:
        reader = DBOS.read_stream_async("w", "s")
        assert await anext(reader) == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(reader), SHORT)
        with pytest.raises(StopAsyncIteration):
            await anext(reader)

    launch()
    start(workflow, "w")
    asyncio.run(give_up())
    reader = DBOS.read_stream("w", "s", timeout_seconds=SHORT, offset=1)
    with pytest.raises(error.DBOSStreamTimeoutError):
        next(reader)
    with pytest.raises(StopIteration):
        next(reader)
    DBOS.send("w", "go on")
    assert read("w", offset=1) == [1]


def test_the_kinds_of_generators(launch: Launch) -> None:
    launch()
    plain, coroutine = DBOS.read_stream("w", "s"), DBOS.read_stream_async("w", "s")
    assert isinstance(plain, Generator)
    assert isinstance(coroutine, AsyncGenerator)
    assert inspect.isgenerator(plain)


def test_blocking_reads_are_refused_on_a_running_loop(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    @DBOS.workflow()
    async def workflow() -> None:
        DBOS.write_stream("s", 1)  # blocks the loop for a moment

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"Use async for value in DBOS.read_stream_async\(...\)"):
            DBOS.read_stream("w", "s")
        with pytest.raises(RuntimeError, match="read_stream_offset_async"):
            DBOS.read_stream_offset("w", "s", 0)

    launch()
    asyncio.run(main())
    with caplog.at_level(logging.WARNING, logger="dbos"):
        start(workflow, "w").get_result()
    assert read("w") == [1]


def test_the_mark_of_the_end_cannot_be_written_by_hand(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        DBOS.write_stream("s", "__DBOS_STREAM_CLOSED__")  # as plain text it is a value like any other
        DBOS.write_stream("s", "after")

    launch()
    start(workflow, "w").get_result()
    assert read("w") == ["__DBOS_STREAM_CLOSED__", "after"]
