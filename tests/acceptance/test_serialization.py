"""api.md §13: how values are stored, by which codec, and what a custom serializer changes."""

import json
import pickle
from typing import Any

import pytest

from dbos import DBOS, Serializer, SetWorkflowID, WorkflowSerializationFormat, error
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import run_sql


class Seed(Serializer):
    """As in the reference: no name."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data)


class Rot13(Serializer):
    """Named, and able to store anything."""

    def name(self) -> str:
        return "rot13"

    def serialize(self, data: Any) -> str:
        return pickle.dumps(data).hex()

    def deserialize(self, serialized_data: str) -> Any:
        return pickle.loads(bytes.fromhex(serialized_data))


def stored(database_url: str) -> dict[str, tuple[Any, ...]]:
    """Of each workflow: inputs, their codec, output, error, their codec."""
    rows = run_sql(
        database_url,
        "select workflow_uuid, inputs, serialization, output, error, outcome_serialization from workflow_status",
    )
    return {workflow_id: tuple(rest) for workflow_id, *rest in rows}


def test_plain_data_is_json_and_the_rest_is_pickle(launch: Launch, database_url: str) -> None:
    @DBOS.step()
    def step(value: Any) -> Any:
        return value

    @DBOS.workflow()
    def workflow(value: Any, *, key: str = "k") -> Any:
        return step(value)

    launch()
    with SetWorkflowID("plain"):
        assert workflow({"a": [1, 2.5, None, True, "ü"]}, key="x") == {"a": [1, 2.5, None, True, "ü"]}
    with SetWorkflowID("rich"):
        assert workflow((1, 2)) == (1, 2)
    rows = stored(database_url)
    inputs, codec, output, failure, outcome_codec = rows["plain"]
    assert json.loads(inputs) == {"args": [{"a": [1, 2.5, None, True, "ü"]}], "kwargs": {"key": "x"}}
    assert json.loads(output) == {"a": [1, 2.5, None, True, "ü"]}
    assert "ü" in output
    assert (failure, codec) == (None, outcome_codec)
    pickled = rows["rich"]
    assert (pickled[1], pickled[4]) == ("py_pickle", "py_pickle")
    assert codec not in (None, "py_pickle")
    steps = run_sql(database_url, "select serialization from operation_outputs order by workflow_uuid")
    assert steps == [(codec,), ("py_pickle",)]


def test_the_native_format_is_pickle_for_everything(launch: Launch, database_url: str) -> None:
    @DBOS.workflow(serialization_type=WorkflowSerializationFormat.NATIVE)
    def workflow(value: int) -> int:
        return value

    launch()
    with SetWorkflowID("w"):
        assert workflow(1) == 1
    assert stored(database_url)["w"][1] == "py_pickle"


@pytest.mark.parametrize("serializer", [Seed(), Rot13()])
def test_a_custom_serializer_replaces_both(
    launch: Launch, replay: Replay, database_url: str, serializer: Serializer
) -> None:
    @DBOS.step()
    def step(value: Any) -> Any:
        return value

    @DBOS.step()
    def failing() -> None:
        raise KeyError("stored somehow")

    @DBOS.workflow()
    def child(value: Any) -> Any:
        return value

    @DBOS.workflow()
    def workflow(value: Any, *, key: str) -> Any:
        DBOS.sleep(0)
        try:
            failing()
        except Exception as caught:
            return [step(value), child(key), "stored somehow" in str(caught)]

    launch(serializer=serializer)
    with SetWorkflowID("w"):
        assert workflow({"a": [1]}, key="x") == [{"a": [1]}, "x", True]
    assert replay("w").get_result() == [{"a": [1]}, "x", True]
    status = DBOS.retrieve_workflow("w").get_status()
    assert status.input == {"args": ({"a": [1]},), "kwargs": {"key": "x"}}
    assert status.output == [{"a": [1]}, "x", True]
    row = stored(database_url)["w"]
    assert row[1] == row[4] not in (None, "py_pickle")
    if isinstance(serializer, Rot13):
        assert row[1] == "rot13"
        assert serializer.deserialize(row[2]) == [{"a": [1]}, "x", True]


def test_values_stay_readable_when_the_serializer_changes(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow(value: Any) -> Any:
        return value

    launch(application_version="v")
    with SetWorkflowID("plain"):
        workflow([1])
    with SetWorkflowID("rich"):
        workflow({1, 2})
    launch(application_version="v", serializer=Rot13())
    assert [DBOS.get_result("plain"), DBOS.get_result("rich")] == [[1], {1, 2}]
    with SetWorkflowID("custom"):
        workflow((3,))
    launch(application_version="v")
    with pytest.raises(error.DBOSDeserializationError, match="rot13"):
        DBOS.get_result("custom")
    assert DBOS.retrieve_workflow("custom").get_status().status == "SUCCESS"


def test_what_a_serializer_cannot_store_is_refused(launch: Launch) -> None:
    @DBOS.workflow()
    def workflow(value: Any) -> Any:
        return {1, 2}

    launch(serializer=Seed())
    with pytest.raises(error.DBOSSerializationError):
        workflow({1, 2})
    assert DBOS.list_workflows() == []
    with SetWorkflowID("w"), pytest.raises(error.DBOSSerializationError):
        workflow(1)
    assert DBOS.retrieve_workflow("w").get_status().status == "ERROR"


def test_pickle_can_be_refused_altogether(launch: Launch, database_url: str) -> None:
    @DBOS.step()
    def step() -> Any:
        return (1, 2)

    @DBOS.workflow()
    def workflow(value: Any) -> Any:
        if value == "step":
            return step()
        if value == "error":
            raise KeyError("text survives")
        return value

    launch(application_version="v")
    with SetWorkflowID("pickled"):
        workflow({1})
    launch(application_version="v", allow_pickle=False)
    with pytest.raises(error.DBOSSerializationError):
        workflow({1})
    assert [status.workflow_id for status in DBOS.list_workflows()] == ["pickled"]
    assert workflow({"plain": [1, None]}) == {"plain": [1, None]}
    with pytest.raises(error.DBOSSerializationError):
        workflow("step")
    for _ in range(2):
        with SetWorkflowID("error"), pytest.raises(Exception, match="text survives"):
            workflow("error")
    with pytest.raises(error.DBOSDeserializationError):
        DBOS.get_result("pickled")
    assert len(DBOS.list_workflows()) == 4
    codecs = run_sql(database_url, "select outcome_serialization from workflow_status where workflow_uuid <> 'pickled'")
    assert "py_pickle" not in {codec for (codec,) in codecs}


@pytest.mark.parametrize(
    "rotten",
    [
        ("not json", "json"),
        ("AAAA", "py_pickle"),
        ("gASVKQAAAAAAAACMCGJ1aWx0aW5zlIwEZXZhbJSTlIwNMSAvIDAgIyBoZWxsb5SFlFKULg==", "py_pickle"),
        ("text", "unknown-codec"),
    ],
)
def test_listing_never_fails_on_rotten_values(launch: Launch, database_url: str, rotten: tuple[str, str]) -> None:
    @DBOS.step()
    def step() -> int:
        return 1

    @DBOS.workflow()
    def workflow(value: int) -> int:
        return step() + value

    launch()
    with SetWorkflowID("rotten"):
        workflow(1)
    with SetWorkflowID("sound"):
        workflow(2)
    where = "where workflow_uuid = 'rotten'"
    text, codec = rotten
    run_sql(database_url, f"update workflow_status set inputs = ?, serialization = ? {where}", text, codec)
    run_sql(database_url, f"update workflow_status set output = ?, outcome_serialization = ? {where}", text, codec)
    run_sql(database_url, f"update operation_outputs set output = ?, serialization = ? {where}", text, codec)
    bad, good = DBOS.list_workflows()
    assert (bad.workflow_id, good.workflow_id) == ("rotten", "sound")
    assert (good.input, good.output) == ({"args": (2,), "kwargs": {}}, 3)
    assert bad.output == text
    assert bad.status == "SUCCESS"
    assert DBOS.list_workflow_steps("rotten")[0]["output"] == text
    run_sql(database_url, f"update workflow_status set output = null, error = ?, status = 'ERROR' {where}", text)
    run_sql(database_url, f"update operation_outputs set output = null, error = ? {where}", text)
    assert text in str(DBOS.list_workflows()[0].error)
    assert text in str(DBOS.list_workflow_steps("rotten")[0]["error"])
    assert DBOS.get_workflow_status("rotten") is not None
    with pytest.raises(error.DBOSException):
        DBOS.get_result("rotten")


def test_validation_of_recovered_arguments(launch: Launch, replay: Replay) -> None:
    def to_text(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args == (13,):
            raise ValueError("unlucky")
        return tuple(map(str, args)), kwargs

    @DBOS.workflow(validate_args=to_text)
    def plain(value: Any) -> Any:
        return value

    @DBOS.workflow(validate_args=to_text)
    async def coroutine(value: Any) -> Any:
        return value

    launch()
    for func in (plain, coroutine):
        for number in (2, 13):
            with SetWorkflowID(f"{func.__name__}-{number}"):
                assert DBOS.start_workflow(func, number).get_result() == number
        assert replay(f"{func.__name__}-2").get_result() == "2"
        with pytest.raises(ValueError, match="unlucky"):
            replay(f"{func.__name__}-13").get_result()
        assert DBOS.retrieve_workflow(f"{func.__name__}-2").get_status().input == {"args": (2,), "kwargs": {}}
