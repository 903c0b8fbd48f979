"""What is measured: one entry per question, in the order of the printed table.

Each workload is a script of the same name in `workloads/`, run in a fresh process on a fresh database. To add one,
write the script, describe it here, and give it a target in `targets.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

DatabaseKind = Literal["postgres", "sqlite"]

BOTH: tuple[DatabaseKind, ...] = ("postgres", "sqlite")
FRESH_INTERPRETERS = 7  # a start-up is over in a fraction of a second: take the median of as many


@dataclass(frozen=True, slots=True)
class Workload:
    """One question and how to ask it. `runs` are made per round; their median is what the round says.

    `count` is handed to the script, which says what it counts; the title names it too.
    """

    name: str
    title: str
    unit: str
    count: int = 0
    quick_count: int = 0
    runs: int = 1
    databases: tuple[DatabaseKind, ...] = BOTH
    less_is_better: bool = False
    on_history: bool = True  # worth asking again when the database holds many finished workflows
    touches_database: bool = True

    def sized(self, *, quick: bool) -> Workload:
        """The workload as it will run."""
        count = self.quick_count if quick else self.count
        return replace(self, count=count, title=self.title.format(count=count))


def _start_up(name: str, title: str, unit: str, *, touches_database: bool = True) -> Workload:
    return Workload(
        name,
        title,
        unit,
        runs=FRESH_INTERPRETERS,
        databases=BOTH if touches_database else ("sqlite",),
        less_is_better=True,
        on_history=False,
        touches_database=touches_database,
    )


def _latency(name: str, title: str) -> Workload:
    return Workload(name, title, "ms", 20, 10, less_is_better=True, on_history=False)


WORKLOADS: tuple[Workload, ...] = (
    Workload("sequential_steps", "one workflow, {count:,} sequential steps, sync", "steps/s", 1000, 300),
    Workload("sequential_steps_async", "one workflow, {count:,} sequential steps, async", "steps/s", 1000, 300),
    Workload("direct_calls", "{count:,} direct calls of a 2-step workflow, sync", "workflows/s", 500, 100),
    Workload("direct_calls_async", "{count:,} direct calls of a 2-step workflow, async", "workflows/s", 500, 100),
    Workload("concurrent_async", "{count:,} async workflows x 10 steps, 100 at a time", "steps/s", 300, 150),
    Workload("burst_async", "{count:,} async workflows x 10 steps, all at once", "steps/s", 1000, 200),
    Workload("started_sync", "{count:,} sync workflows x 10 steps, `start_workflow`", "steps/s", 300, 100),
    Workload("enqueue_client", "enqueue {count:,} no-op workflows from a client, one by one", "workflows/s", 2000, 300),
    Workload("enqueue_client_async", "the same {count:,} from 100 coroutines at once", "workflows/s", 2000, 300),
    Workload("enqueue_bulk", "the same {count:,} as one bulk call (or from 100 coroutines)", "workflows/s", 2000, 300),
    Workload("recovery", "{count:,} pending workflows left by SIGKILL, until all are done", "workflows/s", 1000, 200),
    _latency("send_to_recv", "`send` until `recv` returns, same process, median of {count}"),
    _latency("send_to_recv_elsewhere", "`send` until `recv` returns, another process, median of {count}"),
    _latency("set_event_to_get_event", "`set_event` until `get_event` returns, median of {count}"),
    _latency(
        "set_event_to_get_event_elsewhere", "`set_event` until `get_event` returns, another process, median of {count}"
    ),
    Workload("messages_to_all", "{count:,} workflows in `recv_async`, all sent to at once", "messages/s", 1000, 200),
    Workload("queue_drain_sync", "{count:,} enqueued no-op workflows drained, sync", "workflows/s", 2000, 200),
    Workload("queue_drain_async", "{count:,} enqueued no-op workflows drained, async", "workflows/s", 2000, 200),
    Workload("queue_latency", "idle queue, enqueue to start, median of {count:,}", "ms", 60, 10, less_is_better=True),
    Workload(
        "queue_latency_elsewhere",
        "the same, enqueued by another process, median of {count:,}",
        "ms",
        60,
        10,
        less_is_better=True,
    ),
    Workload("stream_items", "{count:,} values written one by one, read live", "values/s", 1000, 200, on_history=False),
    _latency("write_to_read", "`write_stream` until the reader has it, same process, median of {count}"),
    _latency("write_to_read_elsewhere", "`write_stream` until the reader has it, another process, median of {count}"),
    _start_up("import_time", "`import dbos`", "ms", touches_database=False),
    _start_up("launch_time", "launch on an empty database", "ms"),
    _start_up("first_result", "`import dbos` to the first workflow's result", "ms"),
    _start_up("resident_memory", "resident memory after launch", "MB"),
)
