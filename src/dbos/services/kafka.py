"""Messages of Kafka -> enqueued workflows: each message one, however often the broker hands it out.

A batch is recorded before its offsets are committed, under ids that are made of the places of its messages. So a crash
in between reads messages again, which changes nothing, and loses none. If a batch cannot be recorded, its consumer is
closed, and a fresh one goes on from what is committed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from dbos.error import DBOSException, DBOSInitializationError
from dbos.model.ids import validate_workflow_id
from dbos.model.kafka import (
    ORDERED_QUEUE,
    UNORDERED_QUEUE,
    KafkaMessage,
    Subscription,
    longest_id,
    message_id,
    partition_key,
)
from dbos.runtime.executor import Executor
from dbos.runtime.registry import Function, Target
from dbos.runtime.unattended import announce_runs, enqueued, latest_version
from dbos.services.service import Service
from dbos.store.records import StartWorkflow

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

logger = logging.getLogger("dbos")

POLL_SECONDS = 0.2  # for the first message of a batch; also how long stopping may take
SAMPLE = KafkaMessage([("name", b"\xff")], b"\xff", 0.5, 0, 0, 0, (1, 0), "topic", b"\xff")


class KafkaConsumer(Service):
    """Reads the topics of one decorated function."""

    engine: Executor

    def __init__(self, engine: Executor, function: Function, subscription: Subscription) -> None:
        self.group = subscription.config.get("group.id") or f"{engine.owner.application_name}.{function.workflow_name}"
        self.name = f"kafka-{self.group}"
        super().__init__(engine)
        self.subscription = subscription
        self._function = function
        self._target = Target(function)
        ours = UNORDERED_QUEUE if subscription.ordering == "none" else ORDERED_QUEUE
        self._queue_name = subscription.queue_name or ours.name
        self._reported: set[str] = set()
        self._consumer: Consumer | None = None

    def __str__(self) -> str:
        return f"Kafka consumer {self._function.name} (group {self.group})"

    def connect(self) -> Consumer:
        """Join the group, if that is not done. Raises DBOSInitializationError for a configuration that cannot be."""
        if self._consumer is None:
            from confluent_kafka import Consumer, KafkaException

            config = {
                "auto.offset.reset": "earliest",
                "logger": logger,
                **self.subscription.config,
                "group.id": self.group,
                "enable.auto.commit": False,  # it would commit what is not recorded yet
            }
            try:
                consumer = Consumer(config)
                consumer.subscribe(list(self.subscription.topics))
            except (KafkaException, TypeError, ValueError) as refusal:
                raise DBOSInitializationError(f"{self} cannot be configured so: {refusal}") from None
            self._consumer = consumer
        return self._consumer

    def check(self) -> None:
        """Raises DBOSInitializationError for what can never work."""
        try:
            validate_workflow_id(longest_id(self.group))
        except DBOSException as refusal:
            raise DBOSInitializationError(f"{self}: its group.id makes no ids of workflows: {refusal}") from None
        queue = self.engine.declared_queue(self.subscription.queue_name or "")
        if queue is not None and queue.partitioned:
            raise DBOSInitializationError(f"{self}: queue {queue.name} is partitioned, and messages have no key for it")
        try:
            self._row(SAMPLE, None)
        except DBOSException as refusal:
            raise DBOSInitializationError(
                f"{self}: messages hold bytes, which the configured serializer does not store: {refusal}"
            ) from None

    def poll(self) -> float:
        """Record a batch of messages, if there are any."""
        consumer = self.connect()
        try:
            messages = self._receive(consumer)
            if messages:
                self._record(messages)
                self._commit(consumer, messages)
        except BaseException:
            self.disconnect()  # what was received and not recorded, the next one receives again
            raise
        return 0.0

    def stop(self) -> None:
        """Leave the group, too."""
        super().stop()
        self.disconnect()

    def disconnect(self) -> None:
        """Leave the group; the broker gives the partitions to others."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    # ------------------------------------------------------------ a batch

    def _receive(self, consumer: Consumer) -> list[KafkaMessage]:
        first = consumer.poll(POLL_SECONDS)
        if first is None:
            return []
        rest = self.subscription.batch_size - 1
        received = [first, *(consumer.consume(rest, 0) if rest else ())]
        return [_message(each) for each in received if not self._is_error(each)]

    def _is_error(self, message: Message) -> bool:
        """Is it news from the client library in the guise of a message? Most of them pass by themselves."""
        from confluent_kafka import KafkaError, KafkaException

        error = message.error()
        if error is None:
            return False
        if error.fatal():
            raise KafkaException(error)
        if error.code() != KafkaError._PARTITION_EOF:
            self._report(logging.WARNING, f"{self}: {error.str()}")
        return True

    def _record(self, messages: Sequence[KafkaMessage]) -> None:
        """Make their workflows durable. Those that are there already stay as they are."""
        version = latest_version(self.engine, self.engine.application_name)
        rows = []
        for message in messages:
            try:
                rows.append(self._row(message, version))
            except Exception as error:  # a serializer of the user's may raise anything
                place = f"offset {message.offset} of {message.topic}[{message.partition}]"
                logger.error("%s: the message at %s cannot be stored, and starts nothing: %s", self, place, error)
        if rows:
            self.engine.store.journal.write(rows)
            announce_runs(self.engine, rows)

    def _row(self, message: KafkaMessage, version: str | None) -> StartWorkflow:
        place = message.topic, message.partition
        return enqueued(
            self.engine,
            message_id(*place, message.offset, self.group),
            self._target.names,
            (message,),
            version,
            self._queue_name,
            partition_key(self.subscription.ordering, *place, self.group),
        )

    def _commit(self, consumer: Consumer, messages: Sequence[KafkaMessage]) -> None:
        """Tell the broker how far we are. Should that not arrive, the same messages come once more."""
        from confluent_kafka import TopicPartition

        reached: dict[tuple[str, int], int] = {}
        for message in messages:
            reached[message.topic, message.partition] = message.offset + 1
        offsets = [TopicPartition(*place, offset) for place, offset in reached.items()]
        consumer.commit(offsets=offsets, asynchronous=True)

    def _report(self, level: int, problem: str) -> None:
        """Say it once."""
        if problem not in self._reported:
            self._reported.add(problem)
            logger.log(level, "%s", problem)


def connect_consumers(engine: Executor) -> tuple[KafkaConsumer, ...]:
    """Make the consumers of all decorated functions, and join their groups.

    Raises DBOSInitializationError for what cannot work, and without confluent-kafka.
    """
    consumers = tuple(KafkaConsumer(engine, *each) for each in engine.registry.kafka_consumers)
    if consumers:
        try:
            import confluent_kafka  # noqa: F401
        except ImportError:
            raise DBOSInitializationError(
                "@DBOS.kafka_consumer() needs confluent-kafka: pip install 'dbos[kafka]'"
            ) from None
    for one, other in combinations(consumers, 2):
        shared = _shared_topic(one.subscription.topics, other.subscription.topics)
        if one.group == other.group and shared is not None:
            raise DBOSInitializationError(
                f"{one} and {other} both read {shared!r}: each message would reach one of them, by chance. "
                "Give each a group.id of its own"
            )
    try:
        for consumer in consumers:
            consumer.check()
            consumer.connect()
    except BaseException:
        for consumer in consumers:
            consumer.disconnect()
        raise
    return consumers


def _shared_topic(some: Sequence[str], others: Sequence[str]) -> str | None:
    """A topic that both subscribe to, as far as can be told: two expressions may meet in one that is yet to come."""
    for one in some:
        for other in others:
            if one == other or _is_matched(one, other) or _is_matched(other, one):
                return one
    return None


def _is_matched(topic: str, expression: str) -> bool:
    if not expression.startswith("^"):
        return False
    try:
        return re.match(expression, topic) is not None
    except re.error:  # the client library says so when it subscribes
        return False


def _message(message: Message) -> KafkaMessage:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    headers = message.headers()
    return KafkaMessage(
        headers=None if headers is None else list(headers),  # type: ignore[arg-type]
        key=message.key(),
        latency=message.latency(),
        leader_epoch=message.leader_epoch(),
        offset=offset,
        partition=partition,
        timestamp=message.timestamp(),
        topic=topic,
        value=message.value(),
    )
