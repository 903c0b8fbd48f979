"""What is measured, by name: what each launch counts as it goes, and what is looked up when somebody asks.

Names and units are those of OpenTelemetry; `prometheus.py` spells them as that expects them.
"""

from __future__ import annotations

from collections.abc import Iterator

from dbos.telemetry.instruments import Counter, Description, Family, Histogram

WORKFLOW_SECONDS = 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600
STEP_SECONDS = 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300
COMMIT_SECONDS = 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5
BATCH_RECORDS = 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000

SUCCESS, ERROR = "success", "error"  # outcomes of steps
CANCELLED, TAKEN_OVER = "cancelled", "taken_over"  # reasons why a write is refused


class Metrics:
    """What is counted in the course of one launch, by whoever does it."""

    def __init__(self) -> None:
        self.workflows_started = Counter(
            "dbos.workflows.started",
            "Executions of workflows that began in this process, those of recovered workflows included.",
            "workflow",
            unit="{workflow}",
        )
        self.workflows_finished = Counter(
            "dbos.workflows.finished",
            "Executions in this process that brought their workflow to an end, by its status.",
            "workflow",
            "status",
            unit="{workflow}",
        )
        self.workflow_seconds = Histogram(
            "dbos.workflow.duration",
            "From the beginning of such an execution to the commit of the outcome.",
            "workflow",
            bounds=WORKFLOW_SECONDS,
            unit="s",
        )
        self.workflows_dequeued = Counter(
            "dbos.workflows.dequeued", "Workflows that this process took from a queue.", "queue", unit="{workflow}"
        )
        self.workflows_recovered = Counter(
            "dbos.workflows.recovered",
            "Workflows whose execution was lost and that this process took over, to run them or for their queue.",
            unit="{workflow}",
        )
        self.steps_finished = Counter(
            "dbos.steps.finished",
            "Steps and transactions of yours that were recorded, by outcome. A replay counts nothing.",
            "step",
            "outcome",
            unit="{step}",
        )
        self.step_seconds = Histogram(
            "dbos.step.duration",
            "From the beginning of such a step to its commit, with all its attempts.",
            "step",
            bounds=STEP_SECONDS,
            unit="s",
        )
        self.steps_retried = Counter(
            "dbos.steps.retried",
            "Failed attempts of steps that were followed by another one.",
            "step",
            unit="{attempt}",
        )
        self.writes_fenced = Counter(
            "dbos.writes.fenced",
            "Writes of executions that were refused, because their workflow was not theirs any more.",
            "reason",
            unit="{write}",
            known=((CANCELLED,), (TAKEN_OVER,)),
        )
        self.batch_records = Histogram(
            "dbos.journal.batch.records",
            "Records that were committed together.",
            bounds=BATCH_RECORDS,
            unit="{record}",
        )
        self.commit_seconds = Histogram(
            "dbos.journal.commit.duration", "What such a commit took.", bounds=COMMIT_SECONDS, unit="s"
        )
        self.service_failures = Counter(
            "dbos.service.failures", "Rounds of background services that failed.", "service", unit="{round}"
        )

    def instruments(self) -> Iterator[Counter | Histogram]:
        """All of them."""
        yield from vars(self).values()

    def read(self) -> list[Family]:
        """So far."""
        return [each.read() for each in self.instruments()]


# ------------------------------------------------------------ looked up

EXECUTOR_INFO = Description(
    "dbos.executor.info", "gauge", "Always 1: who this process is.", ("application", "version", "executor")
)
WORKFLOWS_RUNNING = Description(
    "dbos.workflows.running", "gauge", "Executions that are under way in this process.", unit="{workflow}"
)
QUEUE_DEPTH = Description("dbos.queue.depth", "gauge", "Workflows that wait on a queue.", ("queue",), unit="{workflow}")
QUEUE_OLDEST = Description(
    "dbos.queue.oldest.age", "gauge", "How long the oldest of them has waited; 0 if none waits.", ("queue",), unit="s"
)
QUEUE_RUNNING = Description(
    "dbos.queue.running", "gauge", "Workflows of a queue that run, in all processes.", ("queue",), unit="{workflow}"
)
QUEUE_LIMIT = Description(
    "dbos.queue.concurrency.limit", "gauge", "How many of them may, if that is limited.", ("queue",), unit="{workflow}"
)
QUEUE_RUNNING_HERE = Description(
    "dbos.queue.worker.running", "gauge", "Those that run in this process.", ("queue",), unit="{workflow}"
)
QUEUE_LIMIT_HERE = Description(
    "dbos.queue.worker.concurrency.limit",
    "gauge",
    "How many of them may, if that is limited.",
    ("queue",),
    unit="{workflow}",
)
LEASE_AGE = Description("dbos.lease.age", "gauge", "Since when the lease of this process was not renewed.", unit="s")
LEASE_DURATION = Description(
    "dbos.lease.duration", "gauge", "At that age the lease is over, and others take over its workflows.", unit="s"
)
CONNECTIONS_LOST = Description(
    "dbos.database.connections.lost",
    "counter",
    "Connections to the system database that broke in the middle of something.",
    unit="{connection}",
)
DATABASE_UP = Description(
    "dbos.database.up", "gauge", "1 if the system database answered this look, else 0, and then nothing about queues."
)

LOOKED_UP = (
    EXECUTOR_INFO, WORKFLOWS_RUNNING, QUEUE_DEPTH, QUEUE_OLDEST, QUEUE_RUNNING, QUEUE_LIMIT, QUEUE_RUNNING_HERE,
    QUEUE_LIMIT_HERE, LEASE_AGE, LEASE_DURATION, CONNECTIONS_LOST, DATABASE_UP,
)  # fmt: skip
