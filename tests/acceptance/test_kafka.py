"""`@DBOS.kafka_consumer`, against the mock cluster of the client library."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbos import DBOS, KafkaMessage, Queue, error
from dbos.services.kafka import KafkaConsumer
from tests.support.kafka import MockCluster
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

Launch = Callable[..., type[DBOS]]
ROOT = Path(__file__).parents[2]
NOWHERE: dict[str, Any] = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0}


@pytest.fixture
def kafka() -> MockCluster:
    return MockCluster()


@pytest.fixture(autouse=True)
def no_service_fails() -> None:
    """One test here makes a consumer fail; what may not fail is looked at by its outcome."""
    return


# ---------------------------------------------------------------- messages


def test_every_message_is_a_workflow(launch: Launch, kafka: MockCluster, caplog: pytest.LogCaptureFixture) -> None:
    seen: dict[str, list[tuple[int, bytes | None]]] = {name: [] for name in ("plain", "partition", "topic", "queued")}
    running, overlaps, lock = set[str](), set[str](), threading.Lock()
    Queue("own", worker_concurrency=2)

    def consume(name: str, topics: list[str], **options: Any) -> None:
        @DBOS.kafka_consumer(kafka.config(f"group of {name}"), topics, **options)
        @DBOS.workflow(name=name)
        def work(message: KafkaMessage) -> str | None:
            lane = f"{name}{message.partition if name == 'partition' else ''}"
            with lock:
                overlaps.update({lane} & running)
                running.add(lane)
                seen[name].append((message.partition, message.value))
            time.sleep(0.003)  # it works, long enough to meet others who do
            with lock:
                running.discard(lane)
            return DBOS.authenticated_user

    consume("plain", ["plain", "nobody-writes-here"])
    consume("partition", ["ordered"], ordering="partition", batch_size=1)
    consume("topic", ["ordered"], in_order=True)
    consume("queued", ["^plai."], queue_name="own", batch_size=7)
    kafka.send("plain", b"first", key=b"key", headers=[("trace", b"1")])
    values = [f"{number:02}".encode() for number in range(12)]
    for partition in range(2):
        kafka.send("ordered", *values, partition=partition)
    launch()
    eventually(lambda: [len(each) for each in seen.values()] == [1, 24, 24, 1])

    (row,) = DBOS.list_workflows(name="plain")
    assert row.workflow_id == "kafka:plain:0:0:group of plain"
    (message,) = DBOS.list_workflows(name="plain", load_input=True)[0].input["args"]
    assert (message.topic, message.partition, message.offset) == ("plain", 0, 0)
    assert (message.key, message.value, message.headers) == (b"key", b"first", [("trace", b"1")])
    assert message.timestamp[1] > 0
    assert row.queue_name == "_dbos_kafka_queue"
    assert [row.queue_name for row in DBOS.list_workflows(name="queued")] == ["own"]
    ordered = {row.queue_name for row in DBOS.list_workflows(name=["partition", "topic"])}
    assert ordered == {"_dbos_kafka_ordered_queue"}
    for name in ("partition", "topic"):
        for partition in range(2):
            assert [value for place, value in seen[name] if place == partition] == values, name
    assert not overlaps & {"topic", "partition0", "partition1"}
    eventually(lambda: any("nobody-writes-here" in message for message in caplog.messages))
    kafka.send("plain", b"second", partition=3)  # while everything runs
    eventually(lambda: seen["plain"][1:] == seen["queued"][1:] == [(3, b"second")])


def test_messages_that_come_again_change_nothing(
    kafka: MockCluster, monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    DBOS.destroy(destroy_registry=True)
    kafka.send("again", b"1", b"2")
    seen = []
    commits = 0
    commit = KafkaConsumer._commit

    def fail_once(consumer: KafkaConsumer, *arguments: Any) -> None:
        nonlocal commits
        commits += 1
        if commits == 1:
            raise ConnectionError("the broker went away")
        commit(consumer, *arguments)

    monkeypatch.setattr(KafkaConsumer, "_commit", fail_once)

    @DBOS.kafka_consumer(kafka.config(), ["again"])
    @DBOS.workflow(name="read")
    def read(message: KafkaMessage) -> None:
        seen.append(message.value)

    DBOS(config={"name": "test-app", "system_database_url": sqlite_url})
    DBOS.launch()
    eventually(lambda: commits == 2)  # read, recorded, not committed; read once more
    kafka.send("again", b"3")
    eventually(lambda: len(seen) == 3)
    assert sorted(seen) == [b"1", b"2", b"3"]
    ids = [f"kafka:again:0:{offset}:test-app.read" for offset in range(3)]
    assert sorted(row.workflow_id for row in DBOS.list_workflows()) == ids
    DBOS.destroy(destroy_registry=True)


def test_a_process_killed_before_it_commits_has_lost_nothing_and_repeats_nothing(
    kafka: MockCluster, postgres_url: str, tmp_path: Path
) -> None:
    kafka.send("killed", b"1", b"2", b"3")
    command = [sys.executable, "-m", "tests.support.kafka_consumer", kafka.address, postgres_url, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        assert process.wait(30) == -9
    assert not (tmp_path / "ledger").exists()
    ids = [f"kafka:killed:0:{offset}:killed-group" for offset in range(3)]
    rows = "select workflow_uuid, status from workflow_status order by 1"
    recorded = run_sql(postgres_url, rows)  # of the first batch, which need not be all three
    assert recorded, "recorded first"
    assert recorded == [(workflow_id, "ENQUEUED") for workflow_id in ids][: len(recorded)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        eventually((tmp_path / "committed").exists)
        eventually(lambda: run_sql(postgres_url, rows) == [(workflow_id, "SUCCESS") for workflow_id in ids])
        process.kill()
    assert sorted((tmp_path / "ledger").read_text().split()) == ["1", "2", "3"]


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "options", "complaint"),
    [
        ((NOWHERE, "topic"), {}, "list of names"),
        ((NOWHERE, []), {}, "list of names"),
        ((NOWHERE, [7]), {}, "list of names"),
        (("broker:9092", ["t"]), {}, "must be a dict"),
        (({"group.id": 7}, ["t"]), {}, "group.id"),
        ((NOWHERE, ["t"]), {"ordering": "global"}, "Unknown ordering"),
        ((NOWHERE, ["t"]), {"in_order": True, "ordering": "partition"}, "in_order"),
        ((NOWHERE, ["t"]), {"batch_size": 0}, "batch_size"),
        ((NOWHERE, ["t"]), {"queue_name": "q", "in_order": True}, "leave out queue_name"),
        ((NOWHERE, ["t"]), {"queue_name": "_dbos_mine"}, "reserved"),
    ],
)
def test_wrong_arguments_are_refused_at_decoration(
    arguments: tuple[Any, ...], options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(error.DBOSException, match=complaint):
        DBOS.kafka_consumer(*arguments, **options)


def test_wrong_functions_are_refused_at_decoration(launch: Launch) -> None:
    consumer = DBOS.kafka_consumer(NOWHERE, ["t"])
    with pytest.raises(error.DBOSException, match=r"above @DBOS\.workflow"):
        consumer(print)
    with pytest.raises(error.DBOSException, match="of one message"):
        consumer(DBOS.workflow()(lambda one, two: None))
    late = DBOS.workflow(name="late")(lambda message: None)
    launch()
    with pytest.raises(error.DBOSException, match=r"before DBOS\.launch"):
        consumer(late)


@pytest.mark.parametrize(
    ("consumers", "config", "complaint"),
    [
        ([({**NOWHERE, "no.such.option": "1"}, {})], {}, "No such configuration property"),
        ([({**NOWHERE, "group.id": "g" * 300}, {})], {}, "512 bytes"),
        ([(NOWHERE, {"queue_name": "parts"})], {}, "partitioned"),
        ([(NOWHERE, {})], {"allow_pickle": False}, "hold bytes"),
        ([(NOWHERE, {}), (NOWHERE, {})], {}, "both read 't1'"),
        ([(NOWHERE, {}), (NOWHERE, {"topics": ["^t.*"]})], {}, "both read 't1'"),
    ],
)
def test_what_cannot_work_does_not_launch(
    consumers: list[tuple[dict[str, Any], dict[str, Any]]], config: dict[str, Any], complaint: str, sqlite_url: str
) -> None:
    DBOS.destroy(destroy_registry=True)
    Queue("parts", partition_queue=True)
    for number, (settings, options) in enumerate(consumers):
        decorate = DBOS.kafka_consumer(settings, options.pop("topics", ["t1"]), **options)
        decorate(DBOS.workflow(name=f"consumer-{number}")(lambda message: None))
    DBOS(config={"name": "test-app", "system_database_url": sqlite_url, **config})
    with pytest.raises(error.DBOSInitializationError, match=complaint):
        DBOS.launch()
    DBOS.destroy(destroy_registry=True)


def test_groups_of_their_own_may_share_a_topic_and_a_missing_broker_does_not_stop_a_launch(
    sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    DBOS.destroy(destroy_registry=True)
    ran = []
    for number in range(2):
        settings = {**NOWHERE, "group.id": f"group-{number}", "enable.auto.commit": True}
        DBOS.kafka_consumer(settings, ["t1"])(DBOS.workflow(name=f"consumer-{number}")(ran.append))
    assert caplog.text.count("enable.auto.commit has no effect") == 2
    with caplog.at_level(logging.CRITICAL, logger="dbos"):
        DBOS(config={"name": "test-app", "system_database_url": sqlite_url})
        DBOS.launch()
        DBOS.destroy(destroy_registry=True)
    assert ran == []
