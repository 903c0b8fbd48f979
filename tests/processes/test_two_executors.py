"""Two processes of one application: who owns what, and what becomes of it when one of them dies or oversleeps."""

import itertools
import signal
import time
from pathlib import Path

import pytest

from tests.processes.audit import Audit
from tests.processes.conftest import Start
from tests.processes.freezing import freeze
from tests.support.raw_sql import run_sql
from tests.support.waiting import at_best, eventually
from tests.support.worker_ledger import Ledger
from tests.support.workers import Worker

SHORT_LEASE_SECONDS = 1.0
LEASE_SECONDS = 2.0  # a busy machine may stop a living process for longer than a short one lasts
LONG_LEASE_SECONDS = 60.0  # whatever happens sooner did not happen because a lease was over

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="sees in /proc when a process has stopped")


def epoch_of(url: str, workflow_id: str) -> int:
    epoch: int = run_sql(url, "select epoch from workflow_status where workflow_uuid = ?", workflow_id)[0][0]
    return epoch


def owner_of(url: str, workflow_id: str) -> str:
    """The executor instance that a workflow belongs to."""
    owner: str = run_sql(url, "select executor_instance from workflow_status where workflow_uuid = ?", workflow_id)[0][
        0
    ]
    return owner


def wait_for_heartbeats(url: str, pids: list[int], number: int) -> None:
    """Until these executors have renewed their leases so often: as many occasions to look at the others."""

    def leases() -> list[int]:
        rows = run_sql(url, "select pid, lease_expires_at_ms from executors order by pid")
        return [lease for pid, lease in rows if pid in pids]

    for _ in range(number):
        before = leases()
        eventually(lambda before=before: all(map(int.__gt__, leases(), before)))  # type: ignore[misc]


# ---------------------------------------------------------------- one is killed


def test_on_one_host_the_survivor_adopts_at_once(start: Start, ledger: Ledger, gate: Path, database_url: str) -> None:
    victim = start(executor_id="a", executor_lease_sec=LONG_LEASE_SECONDS)
    survivor = start(executor_id="b", executor_lease_sec=LONG_LEASE_SECONDS)
    walk = [200, 5, str(gate)]
    for workflow, arguments in {"gated": [str(gate)], "walk": walk, "walk_async": walk}.items():
        victim.call("start", workflow, workflow, *arguments)
    eventually(lambda: {"gated", "walk", "walk_async"} <= {entry.workflow_id for entry in ledger.begun()})
    victim.kill()
    eventually(  # long before the lease is over
        lambda: (
            {"gated", "walk", "walk_async"}
            <= {entry.workflow_id for entry in ledger.begun() if entry.pid == survivor.pid}
        )
    )
    gate.touch()
    assert survivor.call("result", "gated") == survivor.pid
    assert survivor.call("result", "walk") == survivor.pid
    assert survivor.call("result", "walk_async") == survivor.pid
    assert survivor.call("counted", "dbos.workflows.recovered") == {"": 3}


def test_elsewhere_the_survivor_finishes_within_the_lease_and_two_seconds(
    start: Start, ledger: Ledger, gate: Path, database_url: str
) -> None:
    survivor = start(executor_id="b", executor_lease_sec=SHORT_LEASE_SECONDS, host="shore")
    numbers = itertools.count()

    def time_to_finish() -> float:
        gate.unlink(missing_ok=True)
        workflow_id = f"gated-{next(numbers)}"
        victim = start(executor_id="a", executor_lease_sec=SHORT_LEASE_SECONDS, host="ship")
        victim.call("start", "gated", workflow_id, str(gate))
        eventually(lambda: len(ledger.begun(workflow_id)) >= 2)
        waiting = survivor.begin("result_at", workflow_id)
        victim.kill()
        killed_at = time.monotonic()
        gate.touch()
        finished_at: float = waiting.result(30)
        labels = [(entry.pid, entry.label) for entry in ledger.begun(workflow_id)]
        assert labels == [
            (victim.pid, "before"),
            (victim.pid, "hold"),
            (survivor.pid, "hold"),
            (survivor.pid, "after"),
        ]
        return finished_at - killed_at

    within = SHORT_LEASE_SECONDS + 2
    assert at_best(time_to_finish, within) < within


def test_another_version_is_left_alone(start: Start, ledger: Ledger, gate: Path, database_url: str) -> None:
    victim = start(executor_id="a")
    victim.call("start", "gated", "gated", str(gate))
    eventually(lambda: len(ledger.begun("gated")) == 2)
    victim.kill()
    victim.wait()
    other = start(executor_id="a", application_version="2", executor_lease_sec=SHORT_LEASE_SECONDS)
    wait_for_heartbeats(database_url, [other.pid], 2)
    assert epoch_of(database_url, "gated") == 1
    heir = start(executor_id="b")
    gate.touch()
    assert heir.call("result", "gated") == heir.pid


# ---------------------------------------------------------------- one oversleeps


@needs_proc
@pytest.mark.timeout(300)  # with --all-points these are many naps
@pytest.mark.parametrize("workflow", ["walk", "walk_async"])
def test_a_stopped_executor_writes_nothing_after_its_lease(
    start: Start, ledger: Ledger, gate: Path, database_url: str, workflow: str, long_run: bool
) -> None:
    stale = start(executor_id="a", executor_lease_sec=LEASE_SECONDS, host="ship")
    winner = start(executor_id="b", executor_lease_sec=LEASE_SECONDS, host="shore")
    audit = Audit(database_url)
    for number in range(20 if long_run else 1):
        _oversleep(database_url, stale, winner, workflow, f"walk-{number}", 3 + number, ledger, audit, gate)
        # It is a full member again: what it starts now is its own.
        assert stale.call("run", workflow, f"after-{number}", 3) == stale.pid
        audit.assert_fenced(f"after-{number}", last_epoch=1)


def _oversleep(
    url: str,
    stale: Worker,
    winner: Worker,
    workflow: str,
    workflow_id: str,
    steps: int,
    ledger: Ledger,
    audit: Audit,
    gate: Path,
) -> None:
    """Stop one process after a few steps, until the other goes on with them."""
    gate.unlink(missing_ok=True)
    stale.call("start", workflow, workflow_id, 120, 5, str(gate))
    heard = stale.begin("result", workflow_id)
    eventually(lambda: len(ledger.begun(workflow_id)) > steps)
    freeze(stale, url)
    eventually(lambda: any(entry.pid == winner.pid for entry in ledger.begun(workflow_id)))
    continued_at = time.monotonic()
    stale.kill(signal.SIGCONT)

    gate.touch()
    assert winner.call("result", workflow_id) == winner.pid
    assert heard.result(30) == winner.pid
    late = [entry for entry in ledger.begun(workflow_id) if entry.pid == stale.pid and entry.at > continued_at]
    assert len(late) <= 1, "only the step in flight"
    audit.assert_fenced(workflow_id, last_epoch=2)


@needs_proc
def test_an_executor_that_wakes_after_the_end_delivers_the_winners_result(
    start: Start, ledger: Ledger, gate: Path, database_url: str
) -> None:
    stale = start(executor_id="a", executor_lease_sec=LEASE_SECONDS, host="ship")
    winner = start(executor_id="b", executor_lease_sec=LEASE_SECONDS, host="shore")
    audit = Audit(database_url)
    stale.call("start", "gated", "gated", str(gate))
    heard = stale.begin("result", "gated")
    eventually(lambda: len(ledger.begun("gated")) == 2)
    freeze(stale, database_url)
    gate.touch()
    assert winner.call("result", "gated") == winner.pid
    stale.kill(signal.SIGCONT)
    assert heard.result(30) == winner.pid
    assert [entry.label for entry in ledger.begun("gated") if entry.pid == stale.pid] == ["before", "hold"]
    audit.assert_fenced("gated", last_epoch=2)


@needs_proc
def test_a_stale_executor_cannot_write_an_outcome(start: Start, ledger: Ledger, gate: Path, database_url: str) -> None:
    """It comes to its end first, with no step left that would tell it."""
    stale = start(executor_id="a", executor_lease_sec=LEASE_SECONDS, host="ship")
    winner = start(executor_id="b", executor_lease_sec=LEASE_SECONDS, host="shore")
    audit = Audit(database_url)
    stale.call("start", "linger", "linger", str(gate))
    heard = stale.begin("result", "linger")
    eventually(lambda: [entry.label for entry in ledger.begun("linger")] == ["only", "linger"])
    freeze(stale, database_url)
    eventually(lambda: ledger.begun("linger")[-1].pid == winner.pid)
    gate.with_name(f"{gate.name}-{stale.pid}").touch()
    stale.kill(signal.SIGCONT)
    eventually(lambda: any(entry.event == "end" and entry.label == "linger" for entry in ledger.read("linger")))
    wait_for_heartbeats(database_url, [stale.pid], 1)
    assert not heard.done()
    gate.with_name(f"{gate.name}-{winner.pid}").touch()
    assert winner.call("result", "linger") == winner.pid
    assert heard.result(30) == winner.pid
    audit.assert_fenced("linger", last_epoch=2)


# ---------------------------------------------------------------- both have the same name


def test_two_live_executors_of_one_name_keep_to_their_own(
    start: Start, ledger: Ledger, gate: Path, database_url: str
) -> None:
    first, second = (start(executor_id="twin", executor_lease_sec=LEASE_SECONDS) for _ in range(2))
    first.call("start", "gated", "of-first", str(gate))
    second.call("start", "gated", "of-second", str(gate))
    eventually(lambda: len(ledger.begun()) == 4)
    wait_for_heartbeats(database_url, [first.pid, second.pid], 2)
    assert epoch_of(database_url, "of-first") == epoch_of(database_url, "of-second") == 1
    gate.touch()
    assert first.call("result", "of-first") == first.pid
    assert second.call("result", "of-second") == second.pid
    assert second.call("result", "of-first") == first.pid
    assert len(ledger.begun()) == 6


def test_a_restart_under_the_same_name_leaves_the_living_twin_alone(
    start: Start, ledger: Ledger, gate: Path, database_url: str
) -> None:
    first, second = (start(executor_id="twin", executor_lease_sec=LONG_LEASE_SECONDS) for _ in range(2))
    first.call("start", "gated", "of-first", str(gate))
    second.call("start", "gated", "of-second", str(gate))
    eventually(lambda: len(ledger.begun()) == 4)
    owner = owner_of(database_url, "of-second")
    first.kill()
    first.wait()
    restarted = start(executor_id="twin", executor_lease_sec=LONG_LEASE_SECONDS)
    eventually(lambda: epoch_of(database_url, "of-first") == 2)
    gate.touch()
    assert restarted.call("result", "of-first") in (restarted.pid, second.pid)  # any living one may have adopted it
    assert restarted.call("result", "of-second") == second.pid
    assert (owner_of(database_url, "of-second"), epoch_of(database_url, "of-second")) == (owner, 1)


# ---------------------------------------------------------------- one is told to take over


def test_takeover_of_a_live_executor_supersedes_it(start: Start, ledger: Ledger, gate: Path, database_url: str) -> None:
    loser = start(executor_id="alpha", executor_lease_sec=LONG_LEASE_SECONDS)
    winner = start(executor_id="beta", executor_lease_sec=LONG_LEASE_SECONDS)
    audit = Audit(database_url)
    loser.call("start", "gated", "gated", str(gate))
    heard = loser.begin("result", "gated")
    eventually(lambda: len(ledger.begun("gated")) == 2)
    assert winner.call("take_over", ["alpha"]) == ["gated"]
    eventually(lambda: any(entry.pid == winner.pid for entry in ledger.begun("gated")))
    gate.touch()
    assert winner.call("result", "gated") == winner.pid
    assert heard.result(30) == winner.pid
    labels = {(entry.pid, entry.label) for entry in ledger.begun("gated")}
    assert (loser.pid, "after") not in labels
    assert (winner.pid, "before") not in labels
    audit.assert_fenced("gated", last_epoch=2)
    assert winner.call("take_over", ["alpha"]) == []
    eventually(lambda: loser.call("counted", "dbos.writes.fenced") == {"cancelled": 0, "taken_over": 1})
    assert loser.call("counted", "dbos.workflows.finished") == {}


def test_an_executor_may_take_over_from_itself(start: Start, ledger: Ledger, gate: Path, database_url: str) -> None:
    worker = start(executor_id="alpha")
    audit = Audit(database_url)
    worker.call("start", "gated", "gated", str(gate))
    heard = worker.begin("result", "gated")
    eventually(lambda: len(ledger.begun("gated")) == 2)
    assert worker.call("take_over", ["alpha"]) == ["gated"]
    eventually(lambda: len(ledger.begun("gated")) == 3)
    gate.touch()
    assert heard.result(30) == worker.pid
    assert [entry.label for entry in ledger.begun("gated")] == ["before", "hold", "hold", "after"]
    audit.assert_fenced("gated", last_epoch=2)


# ---------------------------------------------------------------- the id is used again


@pytest.mark.parametrize("stopped", [False, pytest.param(True, marks=needs_proc)])
def test_who_runs_a_deleted_workflow_writes_nothing_into_the_next_one_of_its_id(
    start: Start, ledger: Ledger, gate: Path, database_url: str, stopped: bool
) -> None:
    """It stands in a step when its workflow is deleted and started again elsewhere, and comes out of it first."""
    stale = start(executor_id="a", executor_lease_sec=LONG_LEASE_SECONDS)
    heir = start(executor_id="b", executor_lease_sec=LONG_LEASE_SECONDS)
    gates = gate, gate.with_name("another gate")
    stale.call("start", "gated", "again", str(gates[0]))
    eventually(lambda: len(ledger.begun("again")) == 2)
    if stopped:
        freeze(stale, database_url)
        heir.call("cancel", "again")
    heir.call("delete", "again")
    heir.call("start", "gated", "again", str(gates[1]))
    eventually(lambda: len(ledger.begun("again")) == 4)
    epoch = epoch_of(database_url, "again")
    gates[0].touch()
    if stopped:
        stale.kill(signal.SIGCONT)
    eventually(lambda: any(entry.event == "end" and entry.label == "hold" for entry in ledger.read("again")))
    assert stale.call("run", "walk", "meanwhile", 3) == stale.pid  # what it had to write has met its fate by then
    steps = "select epoch, function_id from operation_outputs where workflow_uuid = 'again' order by 2"
    assert run_sql(database_url, steps) == [(epoch, 1)]
    gates[1].touch()
    assert heir.call("result", "again") == heir.pid
    assert run_sql(database_url, steps) == [(epoch, number) for number in (1, 2, 3)]
    assert [entry.label for entry in ledger.begun("again") if entry.pid == stale.pid] == ["before", "hold"]
