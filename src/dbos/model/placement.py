"""The place of a workflow in a queue: before or behind whom, how late, in which partition, and beside whom not."""

from __future__ import annotations

from math import ceil
from typing import Literal, get_args

from dbos.error import DBOSException
from dbos.fields import dataclass
from dbos.model.queue import QueueSpec
from dbos.model.seconds import LONGEST_SECONDS, is_seconds

DuplicationPolicy = Literal["return-existing", "reject"]

HIGHEST_PRIORITY = 1
LOWEST_PRIORITY = 2**31 - 1
MAX_KEY_BYTES = 512  # index entries stay far below a third of a database page


@dataclass(frozen=True, slots=True)
class Placement:
    """What may be asked of a place in a queue; None asks nothing. Raises DBOSException for what no queue can do."""

    deduplication_id: str | None = None
    duplication_policy: DuplicationPolicy | None = None  # None rejects
    priority: int | None = None  # None comes before all
    app_version: str | None = None
    queue_partition_key: str | None = None
    delay_seconds: float | None = None

    def __post_init__(self) -> None:
        for what in ("deduplication_id", "app_version", "queue_partition_key"):
            _require_key(what, getattr(self, what))
        if self.duplication_policy is not None and self.duplication_policy not in get_args(DuplicationPolicy):
            raise DBOSException(
                f"Unknown duplication_policy {self.duplication_policy!r}: use 'return-existing' or 'reject'"
            )
        _require_priority(self.priority)
        if self.delay_seconds is not None:
            require_delay(self.delay_seconds)

    @property
    def delay_ms(self) -> int | None:
        """For how long it must wait, if it must."""
        return ceil(self.delay_seconds * 1000) if self.delay_seconds else None

    @property
    def returns_existing(self) -> bool:
        """Is whoever holds the deduplication id as good?"""
        return self.duplication_policy == "return-existing"

    def asked_of_a_queue(self) -> list[str]:
        """The names of what only a queue can give."""
        names = "deduplication_id", "duplication_policy", "priority", "queue_partition_key", "delay_seconds"
        return [name for name in names if getattr(self, name) is not None]

    def require_fit(self, queue_name: str, spec: QueueSpec | None, declared_in_code: bool) -> None:
        """Does the queue have such places? Raises DBOSException.

        `spec` is what is known of the queue, None for nothing. One that is declared in code, `declared_in_code`, takes
        partition keys only if it has partitions; others may get partitions later.
        """
        partitioned = spec is not None and spec.partitioned
        if self.deduplication_id is None:
            if self.duplication_policy is not None:
                raise DBOSException("A duplication_policy says what becomes of a deduplication_id: give that as well")
        elif partitioned or self.queue_partition_key is not None:
            raise DBOSException("Deduplication is not supported for partitioned queues")
        if partitioned and self.queue_partition_key is None:
            raise DBOSException(
                f"A workflow cannot be enqueued on partitioned queue {queue_name} without a partition key: "
                "use SetEnqueueOptions(queue_partition_key=...)"
            )
        if declared_in_code and not partitioned and self.queue_partition_key is not None:
            raise DBOSException(
                f"Queue {queue_name} is not partitioned: a workflow cannot be enqueued on it with a partition key"
            )


def require_delay(seconds: object) -> float:
    """A delay as it can be waited for. Raises DBOSException."""
    if not is_seconds(seconds):
        raise DBOSException(f"Invalid delay {seconds!r}. Delays are seconds from 0 to {LONGEST_SECONDS}.")
    return seconds


def _require_priority(priority: object) -> None:
    if priority is None:
        return
    number = isinstance(priority, int) and not isinstance(priority, bool)
    if not number or not HIGHEST_PRIORITY <= priority <= LOWEST_PRIORITY:  # type: ignore[operator]
        raise DBOSException(
            f"Invalid priority {priority}. Priority must be between {HIGHEST_PRIORITY}~{LOWEST_PRIORITY}."
        )


def _require_key(what: str, key: object) -> None:
    if key is None:
        return
    if not isinstance(key, str) or not key:
        raise DBOSException(f"The {what} must be a non-empty string, not {key!r}")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        size = None
    if size is None or "\0" in key:
        raise DBOSException(f"The {what} {key!r} holds a NUL character or a lone surrogate, which is never stored")
    if size > MAX_KEY_BYTES:
        raise DBOSException(f"The {what} takes at most {MAX_KEY_BYTES} bytes, not {size}: {key[:32]!r}...")


NO_PLACEMENT = Placement()
