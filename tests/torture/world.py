"""One database, the processes on it, and what was written down about both; and the verdict when all is quiet.

What happened is known from three witnesses: triggers in the database saw every change of a workflow and of a
checkpoint, step bodies left a line in a ledger, and the scenario knows what it was promised.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from dbos import DBOSClient, run_dbos_database_migrations
from tests.crash import audit
from tests.processes import limits
from tests.support.raw_sql import Sql
from tests.support.waiting import eventually
from tests.support.worker_ledger import Ledger
from tests.support.workers import Worker, Workers

LEDGER = "ledger.jsonl"
QUIET_SECONDS = 120.0  # far beyond lease, sweep and poll together, for a busy machine
SHOWN = 5  # violations in a message


class World:
    """Closing it ends all of its processes, and then `things`: what it stands on."""

    def __init__(self, url: str, workers: Workers, directory: Path, things: ExitStack) -> None:
        self.url = url
        self.directory = directory
        self.ledger = Ledger(directory / LEDGER)
        self._workers = workers
        self._things = things
        self._promised: set[str] = set()
        self._number = 0  # of processes so far
        self._counted = 0, 0  # bytes of the ledger that were read, steps that had begun by then

    # ------------------------------------------------------------ making it

    def prepare(self) -> Self:
        """Make the tables, and let the triggers watch them from now on."""
        run_dbos_database_migrations(self.url)
        with self.sql() as sql:
            audit.install(sql, self.url)
        limits.install(self.url)
        return self

    def begin(self, *, host: str | None = None, url: str | None = None, **config: Any) -> Worker:
        """A process that is told to launch; what it is asked before it has launched fails."""
        worker = self.spawn(host=host, url=url, **config)
        worker.begin("launch")
        return worker

    def start(self, *, host: str | None = None, url: str | None = None, **config: Any) -> Worker:
        """A process that has launched. `host`: where it believes to be. `url`: another way to the database."""
        worker = self.spawn(host=host, url=url, **config)
        worker.call("launch", timeout_seconds=QUIET_SECONDS)
        return worker

    def spawn(self, *, host: str | None = None, url: str | None = None, **config: Any) -> Worker:
        """A process, not launched yet."""
        self._number += 1
        settings = {
            "name": "test-app",
            "application_version": "1",
            "system_database_url": url or self.url,
            "executor_id": f"e{self._number}",
            "log_level": "CRITICAL",
            **config,
        }
        return self._workers.start(settings, str(self.directory / LEDGER), host)

    def client(self, url: str | None = None) -> DBOSClient:
        """A client of the application, in this process."""
        return self._things.enter_context(DBOSClient(system_database_url=url or self.url))

    def sql(self) -> Sql:
        """A connection past the library."""
        return Sql(self.url)

    # ------------------------------------------------------------ what is known of it

    def promise(self, ids: Iterable[str]) -> None:
        """These workflows were accepted: a call that started them has returned."""
        self._promised.update(ids)

    def unfinished(self) -> int:
        """How many workflows have not ended."""
        with self.sql() as sql:
            return audit.unfinished(sql)

    def steps_begun(self) -> int:
        """How often a step body has begun. Reads only what is new: cheap enough to be asked again and again."""
        path = self.directory / LEDGER
        if path.exists():
            start, count = self._counted
            with path.open("rb") as file:
                file.seek(start)
                lines = file.read().rpartition(b"\n")[0]
            self._counted = start + len(lines), count + lines.count(b'"begin"')
        return self._counted[1]

    def wait_for_steps(self, number: int) -> None:
        """Until so many more step bodies have begun, or all have ended that there are."""
        target = self.steps_begun() + number
        eventually(lambda: self.steps_begun() >= target or not self.unfinished(), QUIET_SECONDS)

    # ------------------------------------------------------------ the verdict

    def settle(self, seconds: float = QUIET_SECONDS, *, but: Collection[str] = ()) -> float:
        """The quiet period, in which every workflow comes to its end (I5); how long it took.

        `but`: workflows that nobody can run, which must wait visibly and for ever.
        """
        began = time.monotonic()
        with self.sql() as sql:
            while left := self._left(sql, but):
                assert time.monotonic() - began < seconds, f"I5: unfinished after {seconds} s of quiet: {left[:SHOWN]}"
                time.sleep(0.02)
        return time.monotonic() - began

    def _left(self, sql: Sql, but: Collection[str]) -> list[tuple[Any, ...]]:
        statement = "select workflow_uuid, status, executor_id from workflow_status where completed_at is null"
        return [row for row in sql(statement) if row[0] not in but]

    def verify(self, *, lossy: bool = False, counts_attempts: bool = True) -> None:
        """Check what holds whatever happened: I1, I3, I4, I6, I7, I9, I10, I11. Raises AssertionError.

        `lossy`: the database lost its newest commits. `counts_attempts`: nobody was reopened, and no reply of a claim
        was lost.
        """
        with self.sql() as sql:
            found = [] if lossy else self._lost(sql) + self._repeated(sql)
            found += audit.violations(sql, "")
            if counts_attempts:
                claims = audit.claims(sql, "")
                for workflow_id, attempts in sql("select workflow_uuid, recovery_attempts from workflow_status"):
                    if claims[workflow_id] != attempts:
                        found.append(
                            f"I7: {workflow_id} was claimed {claims[workflow_id]} times, and counts {attempts}"
                        )
        assert not found, f"{len(found)} violations, for example: {found[:SHOWN]}"

    def _lost(self, sql: Sql) -> list[str]:
        there = {workflow_id for (workflow_id,) in sql("select workflow_uuid from workflow_status")}
        return [f"I1: {each} was accepted, and is gone" for each in self._promised - there]

    def _repeated(self, sql: Sql) -> list[str]:
        """Steps that began although a former attempt had recorded them (I10), or never ran (I11)."""
        recorded: dict[tuple[str, int], int] = {}
        must_have_run: set[tuple[str, int]] = set()
        columns = "workflow_uuid, function_id, epoch, function_name, child_workflow_id"
        for workflow_id, number, epoch, name, child in sql(f"select {columns} from operation_outputs"):
            recorded[workflow_id, number] = epoch
            if child is None and not name.startswith("DBOS."):
                must_have_run.add((workflow_id, number))
        found = []
        for entry in self.ledger.read():
            must_have_run.discard(entry.step)
            epoch = recorded.get(entry.step)
            if epoch is not None and entry.epoch > epoch:
                found.append(f"I10: {entry} although epoch {epoch} had recorded it")
        return found + [f"I11: step {step} was recorded and never ran" for step in sorted(must_have_run)]

    def statuses(self, pattern: str = "%") -> dict[str, int]:
        """How many workflows whose id is like that have which status."""
        statement = "select status, count(*) from workflow_status where workflow_uuid like ? group by status"
        with self.sql() as sql:
            return dict(sql(statement, pattern))

    # ------------------------------------------------------------ the end

    def close(self) -> None:
        """End everything. Again does nothing."""
        self._workers.dismiss()
        self._things.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
