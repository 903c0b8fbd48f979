"""`@DBOS.kafka_consumer`: a workflow for every message of a topic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, get_args

from dbos.api.launched import launched_engine
from dbos.error import DBOSException
from dbos.model.kafka import Ordering, Subscription
from dbos.runtime.queues import require_queue_name
from dbos.runtime.registry import Target, registered

logger = logging.getLogger("dbos")

P = ParamSpec("P")
R = TypeVar("R")


def kafka_consumer(
    config: Mapping[str, Any],
    topics: Sequence[str],
    in_order: bool = False,
    *,
    ordering: Ordering | None = None,
    batch_size: int = 250,
    queue_name: str | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run a workflow for every message of some topics, exactly once, while this application is launched.

    Args:
        config: Of a `confluent_kafka.Consumer`. Without `group.id` the group is called after the application and the
            workflow; a new group begins with the earliest message, unless `auto.offset.reset` says otherwise. Offsets
            are committed when messages are recorded, whatever `enable.auto.commit` says.
        topics: Names of topics; those that begin with `^` are regular expressions.
        in_order: The old way to say `ordering="topic"`.
        ordering: "none" runs the workflows in parallel. "partition" runs those of a partition one after the other, in
            the order of their messages; "topic" does so for all messages of a topic, as they arrive.
        batch_size: How many messages are recorded together, at most.
        queue_name: A queue of yours that the workflows go through; only without an ordering.

    Stands above `@DBOS.workflow()`. The function takes one `KafkaMessage`. Raises DBOSException at decoration for what
    cannot work, and after launch; what only shows when it connects is raised by `DBOS.launch()`.
    """
    order = _require_ordering(in_order, ordering)
    if not isinstance(config, Mapping):
        raise DBOSException(f"The configuration of a Kafka consumer must be a dict, not {config!r}")
    group = config.get("group.id")
    if group is not None and (not isinstance(group, str) or not group):
        raise DBOSException(f"The group.id of a Kafka consumer must be a non-empty string, not {group!r}")
    if config.get("enable.auto.commit") in (True, "true"):
        logger.warning("enable.auto.commit has no effect: offsets are committed when their messages are recorded")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise DBOSException(f"batch_size must be a whole number of at least 1, not {batch_size!r}")
    if queue_name is not None:
        require_queue_name(queue_name)
        if order != "none":
            raise DBOSException(f"A consumer with ordering={order!r} has a queue of ours: leave out queue_name")
    subscription = Subscription(dict(config), _require_topics(topics), order, batch_size, queue_name)

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        function = registered(func)
        if function is None:
            raise DBOSException(f"Put @DBOS.kafka_consumer() above @DBOS.workflow(), not on {func!r}")
        try:
            Target(function).check((None,), {})
        except TypeError as refusal:
            raise DBOSException(
                f"@DBOS.kafka_consumer() takes a function or static method of one message: {refusal}"
            ) from None
        engine = launched_engine()
        if engine is not None and engine.registry is function.registry:
            raise DBOSException(f"{function.name} must be decorated as a Kafka consumer before DBOS.launch()")
        function.registry.add_kafka_consumer(function, subscription)
        return func

    return decorate


def _require_ordering(in_order: bool, ordering: Ordering | None) -> Ordering:
    if ordering is not None and ordering not in get_args(Ordering):
        raise DBOSException(f"Unknown ordering {ordering!r}: use 'none', 'partition' or 'topic'")
    if in_order and ordering not in (None, "topic"):
        raise DBOSException(f"in_order=True means ordering='topic', not {ordering!r}: leave in_order out")
    return "topic" if in_order else ordering or "none"


def _require_topics(topics: Iterable[str]) -> tuple[str, ...]:
    listed = not isinstance(topics, (str, bytes)) and isinstance(topics, Iterable)
    checked = tuple(topics) if listed else ()
    if not checked or not all(isinstance(topic, str) and topic for topic in checked):
        raise DBOSException(f"A Kafka consumer takes a list of names of topics, not {topics!r}")
    return checked
