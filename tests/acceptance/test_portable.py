"""api.md §13 and §20: workflows in the portable format, what they leave in the database, and what is refused."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from dbos import (
    DBOS,
    DBOSClient,
    DBOSPortableJSONSerializer,
    Debouncer,
    PortableWorkflowError,
    Queue,
    SendMessage,
    SetWorkflowID,
    WorkflowSerializationFormat,
    error,
)
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql

PORTABLE = WorkflowSerializationFormat.PORTABLE
CODEC = "portable_json"


def row(database_url: str, workflow_id: str) -> tuple[Any, ...]:
    """Inputs, their codec, output, error, their codec."""
    (found,) = run_sql(
        database_url,
        "select inputs, serialization, output, error, outcome_serialization from workflow_status "
        "where workflow_uuid = ?",
        workflow_id,
    )
    return tuple(found)


def count(database_url: str, table: str) -> int:
    return int(run_sql(database_url, f"select count(*) from {table}")[0][0])


def test_arguments_and_results_are_portable_json(launch: Launch, replay: Replay, database_url: str) -> None:
    @DBOS.step()
    def step(value: Any) -> Any:
        return value

    @DBOS.workflow(serialization_type=PORTABLE)
    def workflow(when: Any, *more: Any, key: Any) -> Any:
        return {"step": step((when, *more)), "key": key}

    @DBOS.workflow(serialization_type=PORTABLE)
    async def coroutine(when: Any, *more: Any, key: Any) -> Any:
        return {"step": step((when, *more)), "key": key}

    launch()
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for workflow_id, call in (
        ("w", workflow),
        ("a", lambda *args, **kwargs: asyncio.run(coroutine(*args, **kwargs))),
    ):
        with SetWorkflowID(workflow_id):
            live = call(moment, (1, 2), key={3})
        assert live == {"step": (moment, (1, 2)), "key": {3}}  # the caller gets what was returned
        inputs, codec, output, failure, outcome_codec = row(database_url, workflow_id)
        assert inputs == '{"namedArgs":{"key":[3]},"positionalArgs":["2026-01-02T03:04:05.000Z",[1,2]]}'
        assert output == '{"step":["2026-01-02T03:04:05.000Z",[1,2]],"key":[3]}'
        assert (codec, failure, outcome_codec) == (CODEC, None, CODEC)
        assert DBOS.list_workflow_steps(workflow_id)[0]["output"] == (moment, (1, 2))  # steps stay native
        status = DBOS.retrieve_workflow(workflow_id).get_status()
        assert status.input == {"args": ("2026-01-02T03:04:05.000Z", [1, 2]), "kwargs": {"key": [3]}}
        assert status.output == DBOS.get_result(workflow_id) == json.loads(output)
        assert replay(workflow_id).get_result() == json.loads(output)


def test_errors_are_portable_records(launch: Launch, replay: Replay, database_url: str) -> None:
    @DBOS.workflow(serialization_type=PORTABLE)
    def fail(problem: str) -> None:
        raise {
            "key": KeyError("a", 1),
            "own": PortableWorkflowError("no stock", "OutOfStock", "E7", {"left": (0, 1)}),
            "ours": error.DBOSNotAuthorizedError("no"),
        }[problem]

    launch()
    expected = {
        "key": (KeyError, {"name": "KeyError", "message": "('a', 1)", "code": None}),
        "own": (
            PortableWorkflowError,
            {"name": "OutOfStock", "message": "no stock", "code": "E7", "data": {"left": [0, 1]}},
        ),
        "ours": (
            error.DBOSNotAuthorizedError,
            {"name": "DBOSNotAuthorizedError", "message": "DBOS Error 8: no", "code": 8},
        ),
    }
    for problem, (kind, record) in expected.items():
        with SetWorkflowID(problem), pytest.raises(kind):  # the live caller gets the exception itself
            fail(problem)
        _, _, output, failure, codec = row(database_url, problem)
        assert (output, json.loads(failure), codec) == (None, record, CODEC)
        for ask in (DBOS.get_result, lambda workflow_id: replay(workflow_id).get_result()):
            with pytest.raises(PortableWorkflowError) as caught:
                ask(problem)
            again = caught.value
            assert (again.name, str(again), again.code) == (record["name"], record["message"], record["code"])
            assert again.data == record.get("data")
        assert isinstance(DBOS.retrieve_workflow(problem).get_status().error, PortableWorkflowError)


def test_what_a_portable_workflow_publishes_is_portable_and_what_it_sends_or_starts_is_not(
    launch: Launch, database_url: str
) -> None:
    native = WorkflowSerializationFormat.NATIVE

    @DBOS.workflow()
    def child(value: Any) -> Any:
        DBOS.set_event("of the child", (1,))
        return value

    @DBOS.step()
    def step() -> None:
        DBOS.set_event("from a step", (2,))
        DBOS.write_stream("stream", (2,))

    @DBOS.workflow(serialization_type=PORTABLE)
    def parent() -> Any:
        DBOS.set_event("event", (1,))
        DBOS.set_event("native", (1,), serialization_type=native)
        DBOS.write_stream("stream", (1,))
        step()
        DBOS.write_stream("stream", (3,), serialization_type=native)
        DBOS.close_stream("stream")
        DBOS.send(DBOS.workflow_id or "", (1,), "default")
        DBOS.send(DBOS.workflow_id or "", (1,), "portable", serialization_type=PORTABLE)
        DBOS.send_bulk([SendMessage(DBOS.workflow_id or "", (2,), "bulk")], serialization_type=PORTABLE)
        received = [DBOS.recv(topic, 0) for topic in ("default", "portable", "bulk")]
        return received, child((4,))

    launch()
    with SetWorkflowID("p"):
        assert parent() == ([(1,), [1], [2]], (4,))
    events = run_sql(database_url, "select key, value, serialization from workflow_events order by key")
    assert events[0] == ("event", "[1]", CODEC)
    assert events[1] == ("from a step", "[2]", CODEC)
    assert [(key, codec) for key, _, codec in events[2:]] == [("native", "py_pickle"), ("of the child", "py_pickle")]
    values = run_sql(database_url, 'select value, serialization from streams order by "offset"')
    assert values[:2] == [("[1]", CODEC), ("[2]", CODEC)]
    assert [codec for _, codec in values[2:]] == ["py_pickle", CODEC]  # the last one is the end
    assert list(DBOS.read_stream("p", "stream")) == [[1], [2], (3,)]
    assert DBOS.get_all_events("p") == {"event": [1], "from a step": [2], "native": (1,)}
    assert {codec for _, codec, *_ in (row(database_url, step["child_workflow_id"]) for step in
            DBOS.list_workflow_steps("p") if step["child_workflow_id"])} == {"py_pickle"}  # fmt: skip


def test_any_workflow_can_be_enqueued_portably_and_answers_like_that(launch: Launch, database_url: str) -> None:
    queue = Queue("q")

    @DBOS.workflow(name="plain")
    def plain(*args: Any, **kwargs: Any) -> Any:
        DBOS.set_event("event", args)
        if not args:
            raise LookupError("no arguments")
        return args

    @DBOS.workflow(name="declared", serialization_type=PORTABLE)
    def declared(value: Any) -> Any:
        return (value,)

    launch()
    client = DBOSClient(system_database_url=database_url)
    options: Any = {"workflow_name": "plain", "queue_name": "q", "serialization_type": PORTABLE}
    try:
        handle = client.enqueue({**options, "workflow_id": "w"}, 1, key="k")
        assert handle.get_result() == [1]
        assert row(database_url, "w") == ('{"namedArgs":{"key":"k"},"positionalArgs":[1]}', CODEC, "[1]", None, CODEC)
        assert client.get_event("w", "event") == [1]
        with pytest.raises(PortableWorkflowError, match="no arguments") as caught:
            client.enqueue(options).get_result()
        assert caught.value.name == "LookupError"
        # A function that says so answers portably, however it was enqueued.
        named: Any = {"workflow_name": "declared", "queue_name": "q", "workflow_id": "d"}
        assert client.enqueue(named, (1, 2)).get_result() == [[1, 2]]
        assert row(database_url, "d")[1::3] == ("py_pickle", CODEC)
        assert queue.enqueue(declared, 5).get_result() == [5]
        client.send("w", (1,), serialization_type="portable")
        assert run_sql(database_url, "select message, serialization from notifications") == [("[1]", CODEC)]
    finally:
        client.destroy()


def test_a_debounced_workflow_keeps_its_format(launch: Launch, database_url: str) -> None:
    @DBOS.workflow(serialization_type=PORTABLE)
    def workflow(value: Any) -> Any:
        return value

    launch()
    debouncer = Debouncer.create(workflow)
    debouncer.debounce("key", 60, (1,))
    handle = debouncer.debounce("key", 0, (2,))
    assert handle.get_result() == [2]
    assert row(database_url, handle.workflow_id)[:2] == ('{"namedArgs":{},"positionalArgs":[[2]]}', CODEC)


def test_a_fork_is_as_portable_as_its_original(launch: Launch, database_url: str) -> None:
    @DBOS.workflow(name="plain")
    def plain(value: Any) -> Any:
        return (value,)

    Queue("q")
    launch()
    options: Any = {"workflow_name": "plain", "queue_name": "q", "serialization_type": PORTABLE, "workflow_id": "w"}
    DBOS.enqueue_workflow_with_options(options, 1).get_result()
    fork = DBOS.fork_workflow("w", 1)
    assert fork.get_result() == [1]
    assert row(database_url, fork.workflow_id)[1::3] == (CODEC, CODEC)


def test_a_row_that_another_language_wrote_runs(launch: Launch, database_url: str) -> None:
    queue = Queue("q")

    @DBOS.workflow(name="foreign")
    def foreign(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("fail"):
            raise ValueError("as wished")
        return [args, kwargs]

    launch()
    for workflow_id, inputs, expected in (
        ("both", '{"positionalArgs":[1,"x"],"namedArgs":{"k":null}}', [[1, "x"], {"k": None}]),
        ("positional", '{ "positionalArgs" : [{"a": [1.5]}] }', [[{"a": [1.5]}], {}]),
        ("fail", '{"positionalArgs":[],"namedArgs":{"fail":true}}', None),
    ):
        options: Any = {"workflow_name": "foreign", "queue_name": "q", "workflow_id": workflow_id, "delay_seconds": 60}
        DBOS.enqueue_workflow_with_options({**options, "serialization_type": PORTABLE})
        run_sql(database_url, "update workflow_status set inputs = ? where workflow_uuid = ?", inputs, workflow_id)
        DBOS.set_workflow_delay(workflow_id, delay_seconds=0)
        if expected is not None:
            assert DBOS.get_result(workflow_id) == expected
            continue
        with pytest.raises(PortableWorkflowError):
            DBOS.get_result(workflow_id)
        assert json.loads(row(database_url, workflow_id)[3]) == {
            "name": "ValueError",
            "message": "as wished",
            "code": None,
        }
    assert queue.name == "q"


@pytest.mark.parametrize("value", [b"x", {1: 2}, float("nan"), [object()]], ids=["bytes", "key", "nan", "object"])
def test_what_json_cannot_hold_is_refused_before_anything_is_written(
    launch: Launch, database_url: str, value: Any
) -> None:
    queue = Queue("q")

    @DBOS.workflow(serialization_type=PORTABLE)
    def workflow(*args: Any, **kwargs: Any) -> None: ...

    @DBOS.workflow(serialization_type=PORTABLE)
    async def coroutine(*args: Any, **kwargs: Any) -> None: ...

    @DBOS.workflow()
    def target() -> None: ...

    launch()
    client = DBOSClient(system_database_url=database_url)
    options: Any = {"workflow_name": "w", "queue_name": "q", "serialization_type": PORTABLE}
    calls: dict[str, Callable[[], Any]] = {
        "args[1]": lambda: workflow(1, value),
        "args[0]": lambda: DBOS.start_workflow(workflow, value),
        "kwargs['key']": lambda: asyncio.run(coroutine(key=value)),
        "args[2]": lambda: queue.enqueue(workflow, 1, 2, value),
        "args[3]": lambda: client.enqueue(options, 1, 2, 3, value),
    }
    try:
        for path, call in calls.items():
            with pytest.raises(error.DBOSSerializationError) as refusal:
                call()
            assert refusal.value.path.startswith(path)
        assert count(database_url, "workflow_status") == 0
        with SetWorkflowID("t"):
            target()
        for send in (DBOS.send, client.send):
            with pytest.raises(error.DBOSSerializationError, match="message"):
                send("t", value, serialization_type=PORTABLE)
        with pytest.raises(error.DBOSSerializationError, match=r"messages\[1\]"):
            DBOS.send_bulk([SendMessage("t", 1), SendMessage("t", value)], serialization_type=PORTABLE)
        assert count(database_url, "notifications") == 0
    finally:
        client.destroy()


def test_what_json_cannot_hold_fails_where_it_is_produced(launch: Launch, database_url: str) -> None:
    @DBOS.workflow(serialization_type=PORTABLE)
    def publish() -> list[str]:
        paths = []
        publishers: list[Callable[[], None]] = [
            lambda: DBOS.set_event("e", [b"x"]),
            lambda: DBOS.write_stream("s", {"k": b"x"}),
        ]
        for call in publishers:
            try:
                call()
            except error.DBOSSerializationError as refusal:
                paths.append(refusal.path)
        return paths

    @DBOS.workflow(serialization_type=PORTABLE)
    def bad_result() -> Any:
        return {"a": b"x"}

    launch()
    assert publish() == ["event 'e'[0]", "a value of stream 's'['k']"]
    assert count(database_url, "workflow_events") == count(database_url, "streams") == 0
    with SetWorkflowID("w"), pytest.raises(error.DBOSSerializationError) as refusal:
        bad_result()
    assert refusal.value.path == "result['a']"
    assert json.loads(row(database_url, "w")[3])["name"] == "DBOSSerializationError"
    assert DBOS.retrieve_workflow("w").get_status().status == "ERROR"


def test_the_portable_serializer_makes_everything_portable(launch: Launch, replay: Replay, database_url: str) -> None:
    @DBOS.step()
    def step(value: Any) -> Any:
        return value

    @DBOS.step()
    def failing() -> None:
        raise KeyError("k")

    @DBOS.workflow()
    def workflow(value: Any) -> Any:
        try:
            failing()
        except Exception as problem:
            return [step(value), str(problem)]

    launch(serializer=DBOSPortableJSONSerializer())
    with SetWorkflowID("w"):
        assert workflow((1,)) == [(1,), "'k'"]
    assert row(database_url, "w") == ('{"namedArgs":{},"positionalArgs":[[1]]}', CODEC, "[[1],\"'k'\"]", None, CODEC)
    assert {codec for (codec,) in run_sql(database_url, "select serialization from operation_outputs")} == {CODEC}
    assert replay("w").get_result() == [[1], "'k'"]


@pytest.mark.parametrize("wrong", ["json", 3, object(), "PORTABLE"])
def test_formats_that_do_not_exist_are_refused(launch: Launch, wrong: Any) -> None:
    refusals: list[str] = []

    @DBOS.workflow()
    def workflow() -> None:
        calls: list[Callable[[], None]] = [
            lambda: DBOS.set_event("e", 1, serialization_type=wrong),
            lambda: DBOS.write_stream("s", 1, serialization_type=wrong),
            lambda: DBOS.send(DBOS.workflow_id or "", 1, serialization_type=wrong),
        ]
        for call in calls:
            try:
                call()
            except error.DBOSException as refusal:
                refusals.append(str(refusal))

    with pytest.raises(error.DBOSException, match="serialization_type"):
        DBOS.workflow(serialization_type=wrong)
    launch()
    workflow()
    assert len(refusals) == 3
    assert all("serialization_type" in refusal for refusal in refusals)
    options: Any = {"workflow_name": "w", "queue_name": "q", "serialization_type": wrong}
    with pytest.raises(error.DBOSException, match="serialization_type"):
        DBOS.enqueue_workflow_with_options(options)


def test_a_scheduled_portable_workflow_is_given_times(launch: Launch) -> None:
    """The arguments of a schedule are the library's own, and promised to be datetimes."""

    @DBOS.workflow(serialization_type=PORTABLE)
    def workflow(scheduled: datetime, context: Any) -> Any:
        return [type(scheduled).__name__, context, date(2026, 1, 2)]

    launch()
    DBOS.create_schedule(schedule_name="s", workflow_fn=workflow, schedule="0 0 1 1 *", context=(1,))
    assert DBOS.trigger_schedule("s").get_result() == ["datetime", [1], "2026-01-02"]
