"""`dbos workflow watch`: follow a workflow until it has ended; the exit code says how."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dbos.api.client import DBOSClient
from dbos.cli.database import Place, on_database
from dbos.cli.failures import fail
from dbos.cli.output import as_json, described, on_terminal, printable, show_json, text
from dbos.cli.steps import step_fields
from dbos.cli.timeline import duration
from dbos.cli.workflows import workflow
from dbos.error import DBOSException
from dbos.model.status import StepInfo, WorkflowStatus
from dbos.model.workflow import FINISHED, Status

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

EXIT_CODES = {
    Status.SUCCESS: 0,
    Status.ERROR: 3,
    Status.CANCELLED: 4,
    Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED: 5,
}
TIMED_OUT = 6
PATIENCE_SECONDS = 60.0  # with a database that is away


@workflow.command()
@on_database
@click.argument("workflow_id")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after so long (exit code 6).")
@click.option("--interval", type=click.FloatRange(min=0.01), default=0.5, show_default=True, metavar="SECONDS",
              help="How often to look.")  # fmt: skip
@as_json
def watch(place: Place, workflow_id: str, timeout: float | None, interval: float, as_json: bool) -> None:
    """Follow a workflow step by step until it has ended.

    Exits with 0 for SUCCESS, 3 for ERROR, 4 for CANCELLED, 5 for MAX_RECOVERY_ATTEMPTS_EXCEEDED, and with 6 if it has
    not ended in time. With --json every step is a line of its own, and the workflow is the last one. A database that is
    away is waited for, a minute at most.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with place.client() as client, _reporter(as_json) as reporter:
        followed = Followed(client, workflow_id)
        while True:
            status, steps = _patiently(followed.look, place, interval, deadline)
            for step in steps:
                reporter.step(step)
            if status.status in FINISHED:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise fail(f"Workflow {workflow_id} is still {status.status} after {timeout:g} s", TIMED_OUT)
            reporter.running(status)
            time.sleep(interval if deadline is None else min(interval, max(0.0, deadline - time.monotonic())))
    reporter.ended(status)
    click.get_current_context().exit(EXIT_CODES[Status(status.status)])


class Followed:
    """A workflow that is looked at again and again. Raises DBOSNonExistentWorkflowError if there is none."""

    def __init__(self, client: DBOSClient, workflow_id: str) -> None:
        self._client = client
        self._handle = client.retrieve_workflow(workflow_id)
        self._seen: set[int] = set()
        self._complete = 0  # so many steps from the first on are known without a gap: they need not be read again

    def look(self) -> tuple[WorkflowStatus, list[StepInfo]]:
        """How it stands, and the steps that are new since the last look."""
        status = self._handle.get_status()  # before the steps: of a workflow that has ended, all are there
        found = self._client.list_workflow_steps(self._handle.workflow_id, offset=self._complete)
        fresh = [step for step in found if step["function_id"] not in self._seen]
        self._seen.update(step["function_id"] for step in fresh)
        while self._complete + 1 in self._seen:
            self._complete += 1
        return status, fresh


def _patiently(look: Callable[[], T], place: Place, interval: float, deadline: float | None) -> T:
    """Look until the database answers. Fails once it has been away for too long, or beyond the deadline."""
    began = time.monotonic()
    until = min(began + PATIENCE_SECONDS, deadline or math.inf)
    while True:
        try:
            return look()
        except DBOSException as trouble:
            if type(trouble) is not DBOSException:  # the database has answered
                raise
            if time.monotonic() >= until:
                away = time.monotonic() - began
                raise fail(f"{place} has been away for {away:.0f} s: {trouble.message.rstrip()}") from trouble
        time.sleep(interval)


class Lines:
    """Reports to a pipe: lines of fields, of which the first says what the line is."""

    def step(self, step: StepInfo) -> None:
        self.write(["step", *step_fields(step)])

    def running(self, status: WorkflowStatus) -> None:
        """Nothing to say before there is news."""

    def ended(self, status: WorkflowStatus) -> None:
        outcome = text(status.output) if status.error is None else text(status.error)
        self.write(["workflow", status.workflow_id, status.status, outcome])

    def write(self, fields: list[str]) -> None:
        click.echo("\t".join(map(printable, fields)))


class JsonLines(Lines):
    """Reports lines of JSON."""

    def step(self, step: StepInfo) -> None:
        show_json({"step": step})

    def ended(self, status: WorkflowStatus) -> None:
        show_json({"workflow": status})


class Live(Lines):
    """Reports to a person: a line per step, and below them what is going on."""

    def __init__(self, console: Console, line: Any) -> None:
        self._console = console
        self._line = line
        self._steps = 0

    def step(self, step: StepInfo) -> None:
        self._steps += 1
        begin, end = step["started_at_epoch_ms"], step["completed_at_epoch_ms"]
        took = "" if begin is None or end is None else f"  {duration(end - begin)}"
        child = "" if step["child_workflow_id"] is None else f"  -> {step['child_workflow_id']}"
        failure = "" if step["error"] is None else f"  {text(step['error'])}"
        self._print(f"{'✓' if step['error'] is None else '✗'} {step['function_id']} {step['function_name']}"
                    f"{took}{child}{failure}", None if step["error"] is None else "red")  # fmt: skip

    def running(self, status: WorkflowStatus) -> None:
        since = status.created_at or 0
        lasts = duration(round(time.time() * 1000) - since)
        queue = f" on queue {status.queue_name}" if status.status in (Status.ENQUEUED, Status.DELAYED) else ""
        self._line.update(printable(f"{status.status}{queue}, {self._steps} steps so far, {lasts}").replace("[", r"\["))

    def ended(self, status: WorkflowStatus) -> None:
        took = "" if status.completed_at is None or status.created_at is None else (
            f" after {duration(status.completed_at - status.created_at)}"
        )  # fmt: skip
        self._print(f"{status.status}{took}", "green" if status.status == Status.SUCCESS else "red")
        if status.error is not None:
            error = status.error
            self._print(described(error) if isinstance(error, BaseException) else text(error))
        elif status.output is not None:
            self._print(text(status.output))

    def _print(self, line: str, style: str | None = None) -> None:
        self._console.print(printable(line), style=style, markup=False, soft_wrap=True)


@contextmanager
def _reporter(as_json: bool) -> Iterator[Lines]:
    if as_json or not on_terminal():
        yield JsonLines() if as_json else Lines()
        return
    from rich.console import Console

    console = Console(highlight=False)
    with console.status("Looking for the workflow") as line:
        yield Live(console, line)
