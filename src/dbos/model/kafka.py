"""Messages from Kafka: what a workflow is given, and under which id, so that each message starts one workflow.

A message is known by its topic, its partition, its offset there, and the group that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from dbos.fields import NamedTuple, dataclass, replace
from dbos.model.queue import QueueSpec

Ordering = Literal["none", "partition", "topic"]

LONGEST_TOPIC = "t" * 249  # as Kafka has it
LAST_PARTITION = 2**31 - 1
LAST_OFFSET = 2**63 - 1

UNORDERED_QUEUE = QueueSpec("_dbos_kafka_queue")
ORDERED_QUEUE = QueueSpec("_dbos_kafka_ordered_queue", partition_concurrency=1)


@dataclass(frozen=True)
class KafkaMessage:
    """A message as the workflow of a `@DBOS.kafka_consumer` gets it; the fields are those of `confluent_kafka`.

    `timestamp` is a pair of the type of time and milliseconds since the epoch, `latency` is in seconds.
    """

    headers: list[tuple[str, bytes | None]] | None
    key: bytes | None
    latency: float | None
    leader_epoch: int | None
    offset: int
    partition: int
    timestamp: tuple[int, int]
    topic: str
    value: bytes | None


KafkaMessage.__module__ = "dbos"  # pickles name it so: it can move in here


class Subscription(NamedTuple):
    """What a consumer reads, and how the workflows of its messages follow each other."""

    config: Mapping[str, Any]  # of confluent_kafka
    topics: tuple[str, ...]  # names, or regular expressions that begin with ^
    ordering: Ordering = "none"
    batch_size: int = 250  # messages that are recorded together, at most
    queue_name: str | None = None  # None: a queue of ours


def message_id(topic: str, partition: int, offset: int, group: str) -> str:
    """The id of a message's workflow. No name of a topic holds a colon, so no two messages share one."""
    return f"kafka:{topic}:{partition}:{offset}:{group}"


def longest_id(group: str) -> str:
    """No id of this group is longer."""
    return message_id(LONGEST_TOPIC, LAST_PARTITION, LAST_OFFSET, group)


def partition_key(ordering: Ordering, topic: str, partition: int, group: str) -> str | None:
    """Workflows of one key run one after the other."""
    if ordering == "none":
        return None
    return f"{topic}:{group}" if ordering == "topic" else f"{topic}:{partition}:{group}"


def kafka_queues(polling_interval_seconds: float) -> tuple[QueueSpec, QueueSpec]:
    """The queues of ours that messages go through."""
    return (
        replace(UNORDERED_QUEUE, polling_interval_seconds=polling_interval_seconds),
        replace(ORDERED_QUEUE, polling_interval_seconds=polling_interval_seconds),
    )
