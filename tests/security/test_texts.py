"""Every parameter that is a text takes every text: as it is, or by a typed refusal, and nothing else happens.

The parameters are found by the signatures of the client and of the application, so that no new one is forgotten.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dbos import (
    DBOS,
    DBOSClient,
    DBOSContextSetAuth,
    Queue,
    SetEnqueueOptions,
    SetWorkflowID,
    error,
)
from tests.security.hostile_texts import CORPUS
from tests.support.fixture_types import Launch
from tests.support.raw_sql import Sql

LEAST = 500
SAMPLE = 6  # of the corpus for each parameter, unless `--all-points` asks for all

Count = Callable[[str, object], None]  # `record_property` of pytest

VALID: dict[str, Any] = {
    "workflow_id": "w", "workflow_ids": ["w"], "destination_id": "w", "key": "k", "message": 1, "name": "q", "value": 1,
    "schedule_name": "s", "schedule": "0 0 1 1 *", "workflow_name": "work", "start": None, "end": None, "offset": 0,
    "start_step": 1, "attributes": {}, "old": "nobody-1", "new": "nobody-2", "queue_name": None, "version_name": "v1",
    "delay_seconds": 1, "start_sequence": 1,
}  # fmt: skip
"""What the other parameters are, where they must be something."""
BRIEFLY: dict[str, dict[str, Any]] = {
    "get_event": {"timeout_seconds": 0},
    "get_result": {},
    "read_stream": {"timeout_seconds": 0},
    "read_stream_offset": {"timeout_seconds": 0},
    "set_workflow_delay": {"delay_seconds": 1},
    "create_schedule": {"schedule_name": "new"},
    "fork_from_failure": {"workflow_ids": ["failed"]},
}
BEFOREHAND: dict[str, Callable[[DBOSClient], object]] = {
    "create_schedule": lambda client: client.delete_schedule("new"),
    "rewind_workflow": lambda client: client.cancel_workflow("w"),
}
"""What makes a call possible again that was taken before."""
HARMLESS = {"application_name": "test-app"}
"""Where not just any name is one that can be meant."""
OUT_OF_PLACE = {
    "backfill_schedule",  # asks for times; `trigger_schedule` takes the same name
    "send_in_transaction",  # wants a connection of the caller's; `send` takes the same texts
}
REFUSALS = error.DBOSException, ValueError, TypeError, KeyError


def parameters() -> Iterator[tuple[str, str]]:
    """Methods of the client, and which of their parameters are texts, or lists of them."""
    for name, method in inspect.getmembers(DBOSClient, callable):
        if name.startswith("_") or name.endswith("_async") or name in OUT_OF_PLACE:
            continue
        for parameter in inspect.signature(method).parameters.values():
            annotation = str(parameter.annotation)
            if annotation.startswith(("str", "OneOrMany", "Sequence[str]", "list[str]", "Iterable[str]")):
                yield name, parameter.name


PARAMETERS = tuple(parameters())


def perform(client: DBOSClient, name: str, parameter: str, text: str) -> Exception | None:
    """Call the method with the text; how it was refused, if it was."""
    method = getattr(client, name)
    signature = inspect.signature(method)
    arguments = {
        each.name: VALID[each.name]
        for each in signature.parameters.values()
        if each.default is inspect.Parameter.empty and each.name in VALID and each.name != parameter
    }
    is_list = "OneOrMany" not in str(signature.parameters[parameter].annotation) and parameter.endswith("_ids")
    if parameter == "queue_partition_key" and "queue_name" in signature.parameters:
        arguments["queue_name"] = "parts"
    arguments |= {**BRIEFLY.get(name, {}), parameter: [text] if is_list else text}
    BEFOREHAND.get(name, lambda client: None)(client)
    refusal: Exception | None = None
    try:
        answer = method(**arguments)
        if inspect.isgenerator(answer):
            list(answer)
    except REFUSALS as refused:
        refusal = refused
    assert not isinstance(refusal, UnicodeError), f"{name}({parameter}={text!r}) raised {refusal!r}"
    return refusal


def picture(sql: Sql) -> list[Any]:
    """What hostile texts must leave as it is: the tables, and the workflow that is there."""
    columns = "workflow_uuid, name, inputs, output, application_version"
    return [
        sql(f"select {columns} from workflow_status where workflow_uuid = 'bystander'"),
        sql("select 1 from streams"),
    ]


@pytest.fixture
def client(launch: Launch, database_url: str) -> Iterator[DBOSClient]:
    """Of an application that has done something and is not there any more."""

    @DBOS.workflow(name="work")
    def work() -> int:
        DBOS.write_stream("k", 1)
        DBOS.close_stream("k")
        DBOS.set_event("k", 1)
        return 1

    @DBOS.workflow()
    def fail() -> float:
        return 1 / 0

    launch(application_version="v1")
    for workflow_id in ("w", "bystander"):
        with SetWorkflowID(workflow_id):
            work()
    with SetWorkflowID("failed"), pytest.raises(ZeroDivisionError):
        fail()
    DBOS.destroy()
    with DBOSClient(system_database_url=database_url, retry_connection_errors=False) as client:
        client.register_queue("q")
        client.register_queue("parts", partition_queue=True)
        client.create_schedule(schedule_name="s", workflow_name="work", schedule="0 0 1 1 *")
        yield client


def test_there_are_enough() -> None:
    assert len(CORPUS) >= LEAST
    assert len(PARAMETERS) >= 70


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_the_other_parameters_let_the_text_be_looked_at(client: DBOSClient, name: str, parameter: str) -> None:
    """What is refused for another reason would say nothing about hostile texts."""
    text = HARMLESS.get(parameter, "harmless")
    for _ in range(2):  # the second time it is what the first one left
        refusal = perform(client, name, parameter, text)
        assert refusal is None or text in str(refusal)


def test_every_text_parameter_takes_or_refuses_every_text(
    client: DBOSClient, database_url: str, all_texts: bool, record_property: Count, request: pytest.FixtureRequest
) -> None:
    dice = random.Random(int(request.config.getoption("randomly_seed", 0)))
    counts = {"refused": 0, "taken": 0}
    with Sql(database_url) as sql:
        before = picture(sql)
        for name, parameter in PARAMETERS:
            for text in CORPUS if all_texts else dice.sample(CORPUS, SAMPLE):
                counts["taken" if perform(client, name, parameter, text) is None else "refused"] += 1
            assert picture(sql)[0] == before[0], f"{name}({parameter})"
    assert counts["refused"] > 0
    assert counts["taken"] > 0
    record_property("text parameters", len(PARAMETERS))
    record_property("hostile texts taken", counts["taken"])
    record_property("hostile texts refused", counts["refused"])


# ---------------------------------------------------------------- there and back


Place = Callable[[str], Any]
"""Hands a text over, and gives what came back."""


def places() -> tuple[Place, ...]:
    """Declare an application, and where it takes texts."""
    queue = Queue("plain")
    parts = Queue("parts", partition_queue=True)

    @DBOS.workflow()
    def work(text: str) -> str:
        DBOS.set_event(text, text)
        DBOS.write_stream(text, text)
        return text

    @DBOS.workflow()
    def receive(topic: str) -> Any:
        return DBOS.recv(topic, timeout_seconds=20)

    @DBOS.workflow()
    def repeat(text: str) -> str:
        return text

    def by_id(text: str) -> str:
        with SetWorkflowID(text):
            return DBOS.start_workflow(repeat, "x").workflow_id

    def by_slot(text: str) -> str | None:
        with SetEnqueueOptions(deduplication_id=text, delay_seconds=3_600):  # it is free again when the workflow ends
            return queue.enqueue(repeat, "x").get_status().deduplication_id

    def by_partition(text: str) -> str | None:
        with SetEnqueueOptions(queue_partition_key=text):
            return parts.enqueue(repeat, "x").get_status().queue_partition_key

    def by_user(text: str) -> list[str] | str | None:
        with DBOSContextSetAuth(text, [text]):
            status = DBOS.start_workflow(repeat, "x").get_status()
        return status.authenticated_user if status.authenticated_roles == [text] else status.authenticated_roles

    def by_value(text: str) -> str:
        return DBOS.start_workflow(repeat, text).get_result()

    def by_key(text: str) -> Any:
        handle = DBOS.start_workflow(work, text)
        handle.get_result()
        streamed = list(DBOS.read_stream(handle.workflow_id, text))
        event = DBOS.get_event(handle.workflow_id, text, timeout_seconds=0)
        return event if streamed == [text] else streamed

    def by_topic(text: str) -> Any:
        handle = DBOS.start_workflow(receive, text)
        DBOS.send(handle.workflow_id, text, text)
        return handle.get_result()

    return by_id, by_slot, by_partition, by_user, by_value, by_key, by_topic


def test_what_is_taken_comes_back_as_it_was(
    launch: Launch, all_texts: bool, record_property: Count, request: pytest.FixtureRequest
) -> None:
    everywhere = places()
    launch(console_log_level="CRITICAL")
    dice = random.Random(int(request.config.getoption("randomly_seed", 0)))
    there_and_back = 0
    for place in everywhere:
        for text in CORPUS if all_texts else dice.sample(CORPUS, SAMPLE):
            try:
                again = place(text)
            except error.DBOSException:
                continue  # refused by name
            assert again == text, f"{place.__name__}({text!r})"
            there_and_back += 1
    assert there_and_back > 0
    record_property("hostile texts that came back", there_and_back)
