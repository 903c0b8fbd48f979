"""Where a queue that was full may have room again.

Whoever ends a workflow of a limited queue tells, and so does the listener for other processes; the dispatcher reads.
"""

from __future__ import annotations

import threading

from dbos.fields import dataclass, field


@dataclass(slots=True)
class Opening:
    """News of one queue."""

    ended_here: int = 0  # workflows, whose slots are free for anybody
    partitions: set[str] | None = field(default_factory=set)  # those concerned; None: any


class Openings:
    """News of queues, gathered until the dispatcher takes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the two below
        self._by_queue: dict[str, Opening] = {}
        self._everywhere = False

    def ended(self, queue_name: str, partition: str | None) -> None:
        """A workflow of a limited queue has ended in this process."""
        with self._lock:
            opening = self._by_queue.setdefault(queue_name, Opening())
            opening.ended_here += 1
            if partition is not None and opening.partitions is not None:
                opening.partitions.add(partition)
            else:
                opening.partitions = None

    def told(self, queue_name: str | None) -> None:
        """Something changed on a queue; None: on whichever."""
        with self._lock:
            if queue_name is None:
                self._everywhere = True
            else:
                self._by_queue.setdefault(queue_name, Opening()).partitions = None

    def put_back(self, queue_name: str, opening: Opening) -> None:
        """Nothing could be made of this news just now."""
        with self._lock:
            later = self._by_queue.setdefault(queue_name, Opening())
            later.ended_here += opening.ended_here
            if later.partitions is not None and opening.partitions is not None:
                later.partitions |= opening.partitions
            else:
                later.partitions = None

    def take(self) -> tuple[dict[str, Opening], bool]:
        """The news since the last time, by queue; and whether there may be some of any queue."""
        with self._lock:
            news, self._by_queue = self._by_queue, {}
            everywhere, self._everywhere = self._everywhere, False
        return news, everywhere
