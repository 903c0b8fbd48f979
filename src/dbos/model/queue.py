"""What a queue is: its limits, and what may be asked of it.

A queue bounds how many of its workflows run at once (everywhere, and in one executor) and how many may start within a
period. It does so as a whole, per partition, or both. Two notations say that: with `partition_queue` the plain limits
hold for each partition; otherwise they hold for the queue, and `partition_*` limits for each partition beside them.
"""

from __future__ import annotations

from math import ceil

from dbos.fields import NamedTuple, dataclass
from dbos.model.seconds import LONGEST_SECONDS, is_seconds
from dbos.model.workflow import INTERNAL_QUEUE

RESERVED_PREFIX = "_dbos_"
MAX_NAME_BYTES = 512
MAX_LIMIT = 2**31 - 1
DEFAULT_POLLING_SECONDS = 1.0
MIN_POLLING_SECONDS = 0.001


class RateLimit(NamedTuple):
    """At most `limit` starts in any window of `period_seconds`, over all executors."""

    limit: int
    period_seconds: float

    @property
    def period_ms(self) -> int:
        """The window, rounded up: a start too late is allowed, one too early is not."""
        return ceil(self.period_seconds * 1000)


class Usage(NamedTuple):
    """How much of its limits a queue uses."""

    running: int = 0  # over all executors
    running_here: int = 0  # in this one
    starts: int = 0  # within the last period


class Limits(NamedTuple):
    """Bounds of one thing, a queue or a partition; None does not bound."""

    concurrency: int | None = None  # running at once, over all executors
    worker_concurrency: int | None = None  # running at once in one executor
    rate: RateLimit | None = None

    def __bool__(self) -> bool:
        return self != UNLIMITED

    @property
    def shared(self) -> bool:
        """Do executors have to agree about it?"""
        return self.concurrency is not None or self.rate is not None

    def free(self, usage: Usage) -> int:
        """How many more may start. Never below 0: a limit that was lowered kills nothing."""
        room = [MAX_LIMIT]
        if self.concurrency is not None:
            room.append(self.concurrency - usage.running)
        if self.worker_concurrency is not None:
            room.append(self.worker_concurrency - usage.running_here)
        if self.rate is not None:
            room.append(self.rate.limit - usage.starts)
        return max(0, min(room))


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """The definition of a queue. Raises ValueError for one that cannot work."""

    name: str
    concurrency: int | None = None
    worker_concurrency: int | None = None
    limiter: RateLimit | None = None
    partition_concurrency: int | None = None
    partition_worker_concurrency: int | None = None
    partition_limiter: RateLimit | None = None
    priority_enabled: bool = False
    partition_queue: bool = False
    polling_interval_seconds: float = DEFAULT_POLLING_SECONDS
    application_name: str | None = None  # None: served by everybody

    def __post_init__(self) -> None:
        _require_name(self.name)
        for scope in ("", "partition_"):
            concurrency = getattr(self, f"{scope}concurrency")
            worker = getattr(self, f"{scope}worker_concurrency")
            _require_count(f"{scope}concurrency", concurrency)
            _require_count(f"{scope}worker_concurrency", worker)
            if concurrency is not None and worker is not None and worker > concurrency:
                raise ValueError(
                    f"{scope}worker_concurrency of queue {self.name!r} must not exceed its {scope}concurrency: "
                    f"{worker} > {concurrency}"
                )
            _require_rate(f"{scope}limiter", getattr(self, f"{scope}limiter"))
        if self.partition_queue and self.per_partition_given:
            raise ValueError(
                f"Queue {self.name!r} has partition_queue=True, which makes every limit one per partition: "
                "use either that or partition_* limits"
            )
        interval = self.polling_interval_seconds
        if not is_seconds(interval, MIN_POLLING_SECONDS):
            raise ValueError(
                f"polling_interval_sec must be a number of seconds from {MIN_POLLING_SECONDS} to {LONGEST_SECONDS}, "
                f"not {interval!r}"
            )

    @property
    def per_partition_given(self) -> bool:
        """Is any `partition_*` limit set?"""
        given = self.partition_concurrency, self.partition_worker_concurrency, self.partition_limiter
        return any(each is not None for each in given)

    @property
    def partitioned(self) -> bool:
        """Does every workflow on it need a partition key?"""
        return self.partition_queue or self.per_partition_given

    @property
    def as_a_whole(self) -> Limits:
        """What bounds the queue over all its partitions."""
        if self.partition_queue:
            return UNLIMITED
        return Limits(self.concurrency, self.worker_concurrency, self.limiter)

    @property
    def per_partition(self) -> Limits:
        """What bounds each partition."""
        if self.partition_queue:
            return Limits(self.concurrency, self.worker_concurrency, self.limiter)
        return Limits(self.partition_concurrency, self.partition_worker_concurrency, self.partition_limiter)


def require_unreserved(name: str) -> str:
    """A name that users may give to a queue. Raises ValueError."""
    if isinstance(name, str) and name.startswith(RESERVED_PREFIX):
        raise ValueError(f"Queue names that begin with {RESERVED_PREFIX!r} are reserved: {name!r}")
    return _require_name(name)


def _require_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"The name of a queue must be a non-empty string, not {name!r}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = None
    if size is None or "\0" in name:
        raise ValueError(f"The name of queue {name!r} holds a NUL character or a lone surrogate, which is never stored")
    if size > MAX_NAME_BYTES:
        raise ValueError(f"The name of a queue takes at most {MAX_NAME_BYTES} bytes, not {size}")
    return name


def _require_count(what: str, value: object) -> None:
    if value is not None and (not _is_int(value) or not 1 <= value <= MAX_LIMIT):  # type: ignore[operator]
        raise ValueError(f"{what} must be a whole number from 1 to {MAX_LIMIT}, or None, not {value!r}")


def _require_rate(what: str, rate: RateLimit | None) -> None:
    if rate is None:
        return
    _require_count(f"{what}['limit']", rate.limit)
    if not is_seconds(rate.period_seconds) or rate.period_seconds == 0:
        raise ValueError(
            f"{what}['period'] must be a positive number of seconds, at most {LONGEST_SECONDS}, "
            f"not {rate.period_seconds!r}"
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


INTERNAL = QueueSpec(INTERNAL_QUEUE)
"""Where recovered, resumed, scheduled and debounced workflows go that have no queue of the user's. No limits."""
