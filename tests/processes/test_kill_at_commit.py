"""SIGKILL at every commit of the journal, in each of three phases; a new process launches and finishes the work.

Checked each time: the result is the one of a run without a crash, no step that was recorded when a process died ran
again afterwards, and every workflow involved has come to its end.
"""

import itertools
import signal
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.processes.conftest import Start
from tests.support.raw_sql import run_sql
from tests.support.worker_death import PHASES, Phase
from tests.support.worker_ledger import Ledger
from tests.support.workers import WorkerGone

EXPECTED = {
    "order": [
        "reserve",
        "charged card",
        "pack and label for Ada",
        "pack and label for friend of Ada",
        "no stock",
        "thank",
    ],
    "order_async": [
        "reserve",
        "part 0",
        "part 1",
        "part 2",
        "pack and label for Ada",
        "pack and label for friend of Ada",
        "thank",
    ],
}
FAILING_CHILDREN = {"order": 1, "order_async": 0}
LEAST_COMMITS = {"order": 20, "order_async": 15}  # fewer: the scenario lost what it is there for
Count = Callable[[str, object], None]  # `record_property` of pytest
MOST_COMMITS = 60  # more: the journal writes something again and again


@dataclass(frozen=True, slots=True)
class Trials:
    """One scenario on one database, killed again and again."""

    start_on: Start
    url: str
    ledger: Ledger
    workflow: str

    def __post_init__(self) -> None:
        self.start_on(self.url).call("destroy")  # makes the tables

    def run(self, phase: Phase, *commits: int) -> bool:
        """Die at a commit and, for each further number, in the process that takes over; then let one finish.

        False: one of the processes came to the end before its commit.
        """
        workflow_id = f"{self.workflow}-{phase}-{'-'.join(f'{commit:02}' for commit in commits)}"
        for commit in commits:
            if not self._die(workflow_id, phase, commit):
                return False
        self._finish(workflow_id)
        return True

    def _die(self, workflow_id: str, phase: Phase, commit: int) -> bool:
        already = self._recorded(workflow_id)
        victim = self.start_on(self.url, launched=False)
        victim.call("die_at", commit, phase)  # before it recovers anything
        try:
            victim.call("launch")  # dies before it answers, if what it recovers is as fast as that
            victim.begin("run", self.workflow, workflow_id, "Ada").result(30)
        except WorkerGone:
            assert victim.wait() == -signal.SIGKILL
        else:
            victim.call("destroy")
            return False
        self._check_no_rerun(victim.pid, already)
        return True

    def _finish(self, workflow_id: str) -> None:
        already = self._recorded(workflow_id)
        heir = self.start_on(self.url)
        assert heir.call("run", self.workflow, workflow_id, "Ada") == EXPECTED[self.workflow]
        heir.call("destroy")
        self._check_no_rerun(heir.pid, already)
        rows = run_sql(self.url, "select status from workflow_status where workflow_uuid like ?", f"{workflow_id}%")
        assert {status for (status,) in rows} <= {"SUCCESS", "ERROR"}
        assert [status for (status,) in rows].count("ERROR") == FAILING_CHILDREN[self.workflow]

    def _recorded(self, workflow_id: str) -> set[tuple[str, int]]:
        """What the database remembers of a workflow and its children."""
        statement = "select workflow_uuid, function_id from operation_outputs where workflow_uuid like ?"
        return {(row[0], row[1]) for row in run_sql(self.url, statement, f"{workflow_id}%")}

    def _check_no_rerun(self, pid: int, already: set[tuple[str, int]]) -> None:
        again = [entry for entry in self.ledger.begun() if entry.pid == pid and entry.step in already]
        assert again == [], "ran again, although recorded"


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("workflow", ["order", "order_async"])
def test_every_commit_on_sqlite(
    start_on: Start, sqlite_url: str, ledger: Ledger, workflow: str, phase: Phase, record_property: Count
) -> None:
    trials = Trials(start_on, sqlite_url, ledger, workflow)
    survived = next(commit for commit in range(1, MOST_COMMITS) if not trials.run(phase, commit))
    assert survived > LEAST_COMMITS[workflow]
    record_property("kills", survived - 1)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("workflow", ["order", "order_async"])
def test_a_sample_of_commits_on_postgres(
    start_on: Start,
    postgres_url: str,
    ledger: Ledger,
    workflow: str,
    phase: Phase,
    long_run: bool,
    record_property: Count,
) -> None:
    trials = Trials(start_on, postgres_url, ledger, workflow)
    if long_run:
        survived = next(commit for commit in range(1, MOST_COMMITS) if not trials.run(phase, commit))
        assert survived > LEAST_COMMITS[workflow]
        record_property("kills", survived - 1)
    else:
        assert all(trials.run(phase, commit) for commit in (1, 2, 7, 12))


@pytest.mark.timeout(900)  # with --all-points these are hundreds of pairs
@pytest.mark.parametrize("phase", PHASES)
def test_a_second_crash_during_recovery(
    start_on: Start, sqlite_url: str, ledger: Ledger, phase: Phase, long_run: bool, record_property: Count
) -> None:
    trials = Trials(start_on, sqlite_url, ledger, "order")
    if not long_run:
        assert all(trials.run(phase, first, second) for first, second in ((3, 1), (8, 4), (14, 2)))
        return
    pairs = 0
    for first in itertools.count(1):
        for second in itertools.count(1):
            if not trials.run(phase, first, second):
                break
            pairs += 1
        if second == 1:
            break
    assert pairs > LEAST_COMMITS["order"] ** 2 / 3  # the later the first crash, the less is left to recover
    record_property("double crashes", pairs)
    record_property("kills", 2 * pairs)
