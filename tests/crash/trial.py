"""One trial: run a scenario, kill it at given points, recover it, and compare it with the run that nobody disturbed."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dbos import DBOS
from dbos.runtime.claimed import run_claimed
from dbos.testing.crashing import Crashed, Point, Process, Seam
from tests.crash import audit
from tests.crash.audit import OF_RUN, span
from tests.crash.ledger import Ledger
from tests.crash.scenario import Scenario, perform
from tests.support.raw_sql import Sql
from tests.support.waiting import POLL_SECONDS, eventually

STEPS = "workflow_uuid, function_id, function_name, output, error, child_workflow_id, epoch"


@dataclass(frozen=True, slots=True)
class Picture:
    """What a run leaves behind, free of its id and of what may differ between two runs.

    Of scenarios that race with their children, the root workflow alone.
    """

    outcome: tuple[str, str]
    workflows: dict[str, tuple[str, str]]  # id -> name, status
    steps: dict[tuple[str, int], tuple[str, bool, str | None]]  # id, number -> name, did it fail, child


class Trial:
    """A scenario on one database, run again and again under ids of its own."""

    def __init__(self, scenario: Scenario, database_url: str, seam: Seam, **config: Any) -> None:
        self.scenario = scenario
        self.seam = seam
        self.ledger = Ledger()
        self._adoptions: Counter[str] = Counter()  # by the sweep of this trial, since its last cancelled run began
        self.process = Process(database_url, **config)
        DBOS.destroy(destroy_registry=True)
        self._drive = scenario.build(self.ledger)
        self.process.launch()
        self._sql = Sql(database_url)
        audit.install(self._sql, database_url)
        self.undisturbed = self._undisturbed()
        self.effects = list(seam.trace)

    def close(self) -> None:
        """Let go of everything."""
        self._sql.close()
        self.process.stop()
        DBOS.destroy(destroy_registry=True)

    def _undisturbed(self) -> Picture:
        self.seam.arm(None)
        outcome = perform(self._drive, "calm")
        assert outcome == self.scenario.outcome
        self.settle()
        picture = self._picture("calm", outcome)
        self._check("calm", picture, crashes=0)
        assert self.ledger.most_starts("calm") <= 1, "a step began twice although nothing went wrong"
        return picture

    # ------------------------------------------------------------ running

    def run(self, run_id: str, points: Sequence[Point]) -> list[int]:
        """Kill the run at each of the points in turn, recover it and check everything.

        Answers how many effects each of the lives had that a point was meant for. A life that ends before its point is
        fine: how often one waits, for example, depends on how long others take.
        """
        effects: list[int] = []
        before: list[tuple[Any, ...]] = []
        crashes = 0
        for point in points:
            self.seam.arm(point)
            self._live(run_id)
            effects.append(len(self.seam.trace))
            if not self.seam.struck:
                break
            crashes += 1
            before = self._checkpoints(*span(run_id))
            self.process.kill()
            self._check_that_they_stay(run_id, before)
        self.seam.arm(None)
        self._ensure_launched()
        outcome = perform(self._drive, run_id)
        self.settle()
        picture = self._picture(run_id, outcome)
        self._check(run_id, picture, crashes)
        assert picture == self.undisturbed
        if not self.scenario.reopens_failures and not self.scenario.rewinds:
            self._check_that_they_stay(run_id, before)
        return effects

    def run_cancelled(self, run_id: str, point: Point) -> bool:
        """Cancel the asyncio task at that effect. What it leaves is adopted in the same process and comes to an end.

        False: that effect was none of a task's, or lay behind the end of the run.
        """
        self.seam.arm(point, cancels=True)
        self._adoptions.clear()
        with self._sweeping():
            try:
                perform(self._drive, run_id)
            except asyncio.CancelledError:
                pass
            struck = self.seam.struck
            self.seam.arm(None)
            outcome = perform(self._drive, run_id)
            self.settle()
        for table in ("operation_outputs", "workflow_status"):
            errors = f"select error from {table} {OF_RUN} and error like ?"
            assert not self._sql(errors, *span(run_id), "%CancelledError%")
        picture = self._picture(run_id, outcome)
        self._check(run_id, picture, crashes=0, given_back=1)
        assert picture == self.undisturbed
        return struck

    @contextmanager
    def _sweeping(self) -> Generator[None]:
        """Adopt workflows that nobody runs any more, as the recovery service does, without its patience of a lease."""
        over = threading.Event()

        def sweep() -> None:
            before: set[str] = set()
            while not over.wait(POLL_SECONDS):
                before = self._adopt_orphans(before)

        sweeper = threading.Thread(target=sweep)
        sweeper.start()
        try:
            yield
        finally:
            over.set()
            sweeper.join()

    def _adopt_orphans(self, before: set[str]) -> set[str]:
        """One look, and what was found idle. Idle twice in a row counts as an orphan.

        On a busy machine that may be one that is just about to begin: it is superseded then, and no harm is done.
        """
        engine = self.process.engine
        owned = engine.store.workflows.owned_by(engine.owner.instance)
        active = engine.active()
        idle = {workflow_id for workflow_id, _ in owned if workflow_id not in active}
        orphans = idle & before
        adopted = engine.store.workflows.adopt_orphans(engine.owner, sorted(orphans))
        self._adoptions.update(orphans)  # all of them: those of queues are not ours now, but will be claimed again
        run_claimed(engine, adopted)
        return idle

    def _live(self, run_id: str) -> None:
        """One life of the process: until the scenario is through, or until death."""
        try:
            self._ensure_launched()
            outcome = perform(self._drive, run_id)
            eventually(lambda: self.seam.struck or self._is_quiet())
        except Crashed:
            return
        if not self.seam.struck:
            assert outcome == self.undisturbed.outcome

    def _ensure_launched(self) -> None:
        if not self.process.alive:
            self.process.launch()

    def settle(self) -> None:
        """Wait until every workflow has ended and nothing runs."""
        eventually(self._is_quiet)

    def _is_quiet(self) -> bool:
        return not self.process.engine.active() and audit.unfinished(self._sql) == 0

    # ------------------------------------------------------------ checking

    def _picture(self, run_id: str, outcome: tuple[str, str]) -> Picture:
        reach = (run_id, run_id) if self.scenario.races else span(run_id)
        workflows = self._sql(f"select workflow_uuid, name, status from workflow_status {OF_RUN}", *reach)
        return Picture(
            outcome,
            {_free(run_id, each): (name, status) for each, name, status in workflows},
            {
                (_free(run_id, each), number): (name, error is not None, child and _free(run_id, child))
                for each, number, name, _, error, child, _ in self._checkpoints(*reach)
            },
        )

    def _checkpoints(self, first: str, last: str) -> list[tuple[Any, ...]]:
        return self._sql(f"select {STEPS} from operation_outputs {OF_RUN} order by 1, 2", first, last)

    def _check_that_they_stay(self, run_id: str, before: Sequence[tuple[Any, ...]]) -> None:
        """Invariant I9: what was recorded when the process died is there, byte for byte."""
        lost = set(before) - set(self._checkpoints(*span(run_id)))
        assert not lost, f"checkpoints of before the crash changed or went away: {lost}"

    def check_that_no_attempt_lost_its_workflow(self, run_id: str) -> None:
        """Where nothing died no write was refused, and each step began as often as in the run that nobody disturbed.

        What is steered may come to one step more or less, before it is cancelled.
        """
        if not self.scenario.steers and not self.scenario.races:
            assert self.ledger.starts(run_id) == self.ledger.starts("calm")
            fenced = self.process.engine.metrics.writes_fenced.read().samples
            assert not any(fenced.values()), fenced

    def _check(self, run_id: str, picture: Picture, crashes: int, given_back: int = 0) -> None:
        """The invariants I3, I4, I6, I7, I10 and I11, which hold whatever happens."""
        broken = audit.violations(
            self._sql, run_id, reopens_failures=self.scenario.reopens_failures, rewinds=self.scenario.rewinds
        )
        assert not broken, broken
        starts = self.ledger.of_run(run_id)
        recorded = {(row[0], row[1]): row[-1] for row in self._checkpoints(*span(run_id))}
        for entry in starts:
            epoch = recorded.get((entry.workflow_id, entry.step_id))
            assert epoch is None or entry.epoch <= epoch, f"{entry} began although epoch {epoch} had recorded it"
        began = {(_free(run_id, entry.workflow_id), entry.step_id) for entry in starts}
        children = {name for name, _ in picture.workflows.values()}
        for step, (name, _, child) in picture.steps.items():
            ours = name.startswith("DBOS.") or child is not None or name in children  # one that was refused has no id
            assert ours or step in began, f"step {step} ({name}) was recorded and never ran"
        succeeded = {each for each, (_, status) in picture.workflows.items() if status == "SUCCESS"}
        forgotten = {step for step in began if step[0] in succeeded} - picture.steps.keys()
        assert not forgotten, f"steps ran and were never recorded: {forgotten}"
        if not self.scenario.steers:
            self._check_attempts(run_id, crashes, given_back)

    def _check_attempts(self, run_id: str, crashes: int, given_back: int) -> None:
        """`given_back`: so many attempts were cancelled, and gave what came from a queue back to it themselves."""
        claims = audit.claims(self._sql, run_id)
        attempted = f"select workflow_uuid, recovery_attempts from workflow_status {OF_RUN}"
        for workflow_id, attempts in self._sql(attempted, *span(run_id)):
            count = claims[workflow_id]
            assert count == attempts, f"{workflow_id} was claimed {count} times, and counts {attempts} attempts"
            lives = 1 + crashes + self._adoptions[workflow_id]
            given_back -= max(0, count - lives)
            assert given_back >= 0, f"{workflow_id} was claimed {count} times in {lives} lives"


def _free(run_id: str, text: str) -> str:
    return text.replace(run_id, "RUN", 1)
