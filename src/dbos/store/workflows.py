"""The workflows: questions about their rows, and every change of who may write.

A workflow changes hands in one statement or one short transaction that repeats what it assumes, and every change adds
one to the epoch, so that whoever had it before is refused by the journal's guards from then on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

from dbos.model.workflow import FINISHED, INTERNAL_QUEUE, Status, WorkflowRow
from dbos.store.database import Row
from dbos.store.deleting import Deleted, delete
from dbos.store.executors import Owner
from dbos.store.forking import Fork, Guard, fork
from dbos.store.pool import Pool, Run
from dbos.store.records import Debounce
from dbos.store.resume import resume
from dbos.store.retention import Batch, Bounds, Place, collect, nth_newest, unfinished_before
from dbos.store.rewinding import Rewind, rewind
from dbos.store.search import WorkflowFilter, query
from dbos.telemetry.instruments import Counter

Function = tuple[str, str, str]
"""A registered function: name, class name, config name, the latter two "" where there is none."""

SETTLED = FINISHED - {Status.MAX_RECOVERY_ATTEMPTS_EXCEEDED}
"""What cannot be cancelled any more."""

UNIT_SEPARATOR = "\x1f"  # joins the three for comparison in SQL; no name holds it


class Workflows:
    """The table `workflow_status`."""

    def __init__(self, pool: Pool, query_timeout_seconds: float, taken_over: Counter | None = None) -> None:
        """`taken_over` counts what changes hands because its execution was lost."""
        self._pool = pool
        self._taken_over = taken_over
        self._query_timeout_seconds = query_timeout_seconds
        self.on_requeued: Callable[[], None] = lambda: None  # told when taking over gave workflows back to their queues

    # ------------------------------------------------------------ questions

    def search(self, wanted: WorkflowFilter) -> list[WorkflowRow]:
        """The workflows that fit a filter, in order of creation. Raises `DBOSQueryTimeoutError`."""
        text, values = query(wanted, unites_indexes=self._pool.database.unites_indexes)
        rows = self._pool.read_within(self._query_timeout_seconds, text, **values)
        return [workflow_row(row) for row in rows]

    def load(self, workflow_id: str) -> WorkflowRow | None:
        """One workflow, or None."""
        return self.load_many([workflow_id]).get(workflow_id)

    def load_many(self, ids: Sequence[str]) -> dict[str, WorkflowRow]:
        """Those of the workflows that exist, by id."""
        rows = self._pool.read("load_workflows", ids=json.dumps(ids)) if ids else []
        return {row[0]: workflow_row(row) for row in rows}

    def standing(self, workflow_id: str) -> tuple[str, int] | None:
        """Status and epoch: the cheapest check whether an attempt may go on."""
        return self.standings([workflow_id]).get(workflow_id)

    def standings(self, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """The same for many, by id; one that does not exist has none."""
        rows = self._pool.read("standings", ids=json.dumps(ids)) if ids else []
        return {workflow_id: (status, epoch) for workflow_id, status, epoch in rows}

    def lost(self, owned: Mapping[str, int]) -> list[tuple[str, str | None, int | None]]:
        """Of these attempts (workflow id -> epoch), those whose workflow is no longer PENDING at their epoch.

        With each the status and epoch that its workflow has instead, None and None if it is gone.
        """
        if not owned:
            return []
        return [(row[0], row[1], row[2]) for row in self._pool.read("lost", owned=json.dumps(owned))]

    def ended(self, ids: Sequence[str]) -> list[tuple[str, bool]]:
        """(workflow id, does it exist) of those workflows that are finished, gone, or not there yet."""
        return [(row[0], bool(row[1])) for row in self._pool.read("ended", ids=json.dumps(ids))] if ids else []

    def deduplicated(self, queue_name: str, deduplication_id: str) -> str | None:
        """The unfinished workflow that holds a deduplication id in a queue."""
        rows = self._pool.read("deduplicated", queue_name=queue_name, deduplication_id=deduplication_id)
        return rows[0][0] if rows else None

    def debounced(self, token: str) -> str | None:
        """The workflow that has the inputs of this call of a debouncer."""
        rows = self._pool.read("debounced", token=token)
        return rows[0][0] if rows else None

    def holder_of_key(self, call: Debounce) -> tuple[str, bool] | None:
        """Who holds the key of such a call, and whether it waits for just such calls."""
        rows = self._pool.read(
            "holder_of_key",
            queue_name=call.queue_name,
            deduplication_id=call.deduplication_id,
            function=UNIT_SEPARATOR.join((call.name, call.class_name or "", call.config_name or "")),
        )
        return (rows[0][0], bool(rows[0][1])) if rows else None

    def children(self, ids: Sequence[str]) -> list[str]:
        """Everything these workflows started, directly or through others."""
        return [row[0] for row in self._pool.read("children", ids=json.dumps(ids))] if ids else []

    def owned_by(self, instance: str) -> list[tuple[str, int]]:
        """(workflow id, epoch) of what an executor instance owns."""
        return [(row[0], row[1]) for row in self._pool.read("owned_by", instance=instance)]

    def unrunnable(self, owner: Owner, runnable: Sequence[Function], limit: int) -> list[WorkflowRow]:
        """Workflows that wait for an executor of this application and version, whose function it does not know."""
        rows = self._pool.read("unrunnable", **candidates(owner, runnable, limit))
        return [workflow_row(row) for row in rows]

    def next_deadline_ms(self) -> int | None:
        """When the next unfinished workflow runs out of time, on the database's clock."""
        deadline: int | None = self._pool.read("next_deadline")[0][0]
        return deadline

    def of_other_versions(self, owner: Owner) -> list[tuple[str, int]]:
        """(version, how many) of abandoned workflows that wait for another version of the owner's application."""
        rows = self._pool.read(
            "of_other_versions",
            application_name=owner.application_name,
            application_version=owner.application_version,
        )
        return [(row[0], row[1]) for row in rows]

    # ------------------------------------------------------------ cancelling and resuming

    def cancel(self, ids: Sequence[str]) -> list[str]:
        """Cancel those that are not finished, or were given up; returns the ids of all that are cancelled now.

        Whoever did that: it may have been us, and the reply was lost. Rows that someone has locked are skipped, as that
        one may need the rows we just took, and waited for one by one.
        """
        if not ids:
            return []
        self._pool.write("cancel", ids=json.dumps(ids))
        while True:
            statuses = {each: status for each, (status, _) in self.standings(ids).items()}
            remaining = [each for each, status in statuses.items() if status not in SETTLED]
            if not remaining:
                return [each for each, status in statuses.items() if status == Status.CANCELLED]
            for each in remaining:
                self._pool.write("cancel_one", id=each)

    def expire(self) -> list[str]:
        """Cancel everything whose deadline is over on the database's clock; returns the ids."""
        return [row[0] for row in self._pool.write("expire")]

    def resume(self, ids: Sequence[str], queue_name: str = INTERNAL_QUEUE) -> list[str]:
        """Reopen all but those that succeeded, and put them on a queue; returns the ids of the reopened.

        Those that failed forget the checkpoints of their failure (resume.py). Raises `DBOSNonExistentWorkflowError`,
        and changes nothing, if any of them is unknown.
        """
        return self._pool.transact(lambda run: resume(run, ids, queue_name)) if ids else []

    # ------------------------------------------------------------ rewinding, forking and deleting

    def rewind(self, wanted: Rewind, token: str, guard: Guard | None = None) -> bool | None:
        """Let a finished workflow run again from a step on (rewinding.py); `token` names the call.

        False: this very call has done so before; None: the attempt that asks has lost its workflow.
        """
        return self._pool.transact(lambda run: rewind(run, wanted, token, guard))

    def fork(self, forks: Sequence[Fork], guard: Guard | None = None) -> bool:
        """Make forks of workflows (forking.py). False: the attempt that asks has lost its workflow."""
        return self._pool.transact(lambda run: fork(run, forks, guard)) if forks else True

    def delete(self, ids: Sequence[str], with_children: bool, guard: Guard | None = None) -> Deleted | None:
        """Delete workflows with everything they have left (deleting.py).

        None: the attempt that asks has lost its workflow.
        """
        return self._pool.transact(lambda run: delete(run, ids, with_children, guard)) if ids else Deleted([], [])

    # ------------------------------------------------------------ clearing away

    def collect(self, bounds: Bounds, after: Place, limit: int) -> Batch:
        """Delete what may go of the next few workflows in order of creation (retention.py)."""
        return self._pool.transact(lambda run: collect(run, bounds, after, limit))

    def nth_newest(self, number: int, application_name: str | None) -> int | None:
        """When the n-th newest workflow of an application was created; None if it has fewer."""
        return self._pool.transact(lambda run: nth_newest(run, number, application_name))

    def unfinished_before(
        self, created_before_ms: int, application_name: str | None, after: str, limit: int
    ) -> list[str]:
        """Unfinished workflows that were created before a moment, in order of their ids, from behind `after`."""
        return self._pool.transact(
            lambda run: unfinished_before(run, created_before_ms, application_name, after, limit)
        )

    # ------------------------------------------------------------ taking over

    def adopt(self, owner: Owner, runnable: Sequence[Function], limit: int) -> list[WorkflowRow]:
        """Take over running workflows whose owner's lease is over. Those of queues go back there and are not returned.

        An empty list means that nothing is left to adopt.
        """
        while True:
            locked, rows = self._take("lock_abandoned", candidates(owner, runnable, limit))
            if rows or not locked:
                return rows

    def take_over(
        self, owner: Owner, executor_ids: Sequence[str], runnable: Sequence[Function], limit: int
    ) -> list[WorkflowRow]:
        """The same for the running workflows of executors with these configured ids, whether they live or not.

        Takes all there are, `limit` in one transaction. Each once: what was taken may well carry one of the ids again.
        """
        values = {**candidates(owner, runnable, limit), "executor_ids": json.dumps(executor_ids)}
        taken: list[WorkflowRow] = []
        last = ""
        while True:
            locked, rows = self._take("lock_running_of_executors", {**values, "after": last})
            taken += rows
            if len(locked) < limit:
                return taken
            last, _ = locked[-1]

    def adopt_orphans(self, owner: Owner, ids: Sequence[str]) -> list[WorkflowRow]:
        """The same for workflows that this very instance owns without running them."""
        return self._take("lock_orphans", {**candidates(owner, (), 0), "ids": json.dumps(ids)})[1]

    def _take(self, lock: str, values: dict[str, object]) -> tuple[list[Row], list[WorkflowRow]]:
        """Lock candidates, give those of queues back and own the others; the locked ones, and those we own now."""

        def work(run: Run) -> tuple[list[Row], list[WorkflowRow]]:
            locked = run(lock, **values)
            ours = [workflow_id for workflow_id, runs_directly in locked if runs_directly]
            queued = [workflow_id for workflow_id, runs_directly in locked if not runs_directly]
            if queued:
                run("requeue", ids=json.dumps(queued))
            rows = run("take", **{**values, "ids": json.dumps(ours)}) if ours else []
            return locked, in_order(rows)

        locked, rows = self._pool.transact(work)
        if self._taken_over is not None:
            self._taken_over.add(by=len(locked))
        if not all(runs_directly for _, runs_directly in locked):
            self.on_requeued()
        return locked, rows


def candidates(owner: Owner, runnable: Sequence[Function], limit: int) -> dict[str, object]:
    """The values that choose workflows for an owner."""
    return {
        "instance": owner.instance,
        "executor_id": owner.executor_id,
        "application_name": owner.application_name,
        "application_version": owner.application_version,
        "internal_queue": INTERNAL_QUEUE,
        "runnable": json.dumps([UNIT_SEPARATOR.join(function) for function in runnable]),
        "limit": limit,
    }


def in_order(rows: Sequence[Row]) -> list[WorkflowRow]:
    """From `{workflow_columns}, sequence`; what an update returns is in no order."""
    return [workflow_row(row[:-1]) for row in sorted(rows, key=itemgetter(_PRIORITY, -1))]


def workflow_row(row: Row) -> WorkflowRow:
    """From `{workflow_columns}`."""
    values = list(row)
    values[_WAS_FORKED_FROM] = bool(values[_WAS_FORKED_FROM])  # SQLite counts in 0 and 1
    return WorkflowRow._make(values)


_PRIORITY = WorkflowRow._fields.index("priority")
_WAS_FORKED_FROM = WorkflowRow._fields.index("was_forked_from")
