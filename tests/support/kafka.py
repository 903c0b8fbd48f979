"""A Kafka cluster inside this process: the mock that the client library brings along. It needs nothing else."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Producer

# The mock lets a group form for three seconds; members that show no sign of life for less are gone before that.
IMPATIENT = {"session.timeout.ms": 3500, "heartbeat.interval.ms": 200}


class MockCluster:
    """One broker on this machine. A topic comes to be, with four partitions, when something is sent to it."""

    def __init__(self) -> None:
        self._producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        (broker,) = self._producer.list_topics(timeout=10).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def send(self, topic: str, *values: bytes, partition: int = 0, **fields: Any) -> None:
        """Send messages; they are there once this returns."""
        for value in values:
            self._producer.produce(topic, value=value, partition=partition, **fields)
        assert self._producer.flush(10) == 0

    def config(self, group: str | None = None) -> dict[str, Any]:
        """How a consumer of it is configured."""
        named = {} if group is None else {"group.id": group}
        return {"bootstrap.servers": self.address, **IMPATIENT, **named}
