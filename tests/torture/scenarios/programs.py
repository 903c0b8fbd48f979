"""What a program does to itself: signals, forks, a collector that never rests, clocks that jump."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress

from tests.processes.test_kill_at_commit import EXPECTED
from tests.torture.scenario import Run, scenario
from tests.torture.scenarios.fleets import CORE
from tests.torture.world import QUIET_SECONDS, World

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MOMENTS = "launching", "running", "ending", "destroying"
EXIT_SECONDS = 20.0  # on a busy machine, and far below that of a gate that nobody opens
AGAIN_SECONDS = 2.0
STARTED_BY_SCRIPT = ("gated", "walk", "walk_async", "doze")


@scenario(faults="F26", invariants=f"{CORE} I42 I48")
def signals(run: Run) -> None:
    """A program gets signals while it launches, runs and ends; it is gone soon, and its heir finishes everything."""
    for _ in run.rounds():
        with run.world().prepare() as world:
            gate = world.directory / "gate"
            moment, number = run.dice.choice(MOMENTS), run.dice.choice(SIGNALS)
            _interrupt(run, world, str(gate), moment, number)
            gate.touch()
            world.start()
            world.settle()
            with world.sql() as sql:
                left = dict(sql("select workflow_uuid, status from workflow_status"))
            assert set(left) <= set(STARTED_BY_SCRIPT)
            assert set(left.values()) <= {"SUCCESS"}, f"I42: {left}"
            world.verify()
        run.counts.update({f"{number.name} while {moment}": 1})


def _interrupt(run: Run, world: World, gate: str, moment: str, number: signal.Signals) -> None:
    """Run the program, and end it by a signal."""
    process = _script(world, "destroy" if moment == "destroying" else "leave", gate)
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        if moment != "launching":
            assert process.stdout.readline() == "ready\n"
        if moment in ("ending", "destroying"):
            process.stdin.write("\n")
            process.stdin.flush()
        run.pause(0, 0.6 if moment == "launching" else 0.1)
        _end_by_signal(process, moment, number)
    finally:
        process.kill()
        process.communicate()


def _end_by_signal(process: subprocess.Popen[str], moment: str, number: signal.Signals) -> None:
    """It must be gone soon. While it launches the signal is sent again and again, as by a user who sees it run on.

    The interpreter itself makes nothing of an interrupt in its first milliseconds, nor at the end of some imports.
    """
    sent_at = time.monotonic()
    while process.poll() is None:
        assert time.monotonic() - sent_at < EXIT_SECONDS, f"I48: {number.name} while {moment}"
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(AGAIN_SECONDS if moment == "launching" else EXIT_SECONDS)


def _script(world: World, mode: str, gate: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-W", "error", "-m", "tests.support.worker_script"),
            *(mode, world.url, str(world.directory / "ledger.jsonl"), gate, str(SLEEP_SECONDS)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@scenario(faults="F27", invariants=CORE)
def forks(run: Run) -> None:
    """A launched process is forked while it works: the child is refused by name, the parent never notices."""
    world = run.world().prepare()
    executors = [world.start() for _ in range(2)]
    for number in run.rounds():
        ids = [f"walk-{number}-{copy}" for copy in range(run.size(4, 20))]
        executors[number % 2].call("start_many", run.dice.choice(["walk", "walk_async"]), ids, 10, 2)
        world.promise(ids)
        for _ in range(run.size(2, 5)):
            run.pause(0, 0.02)
            told = executors[number % 2].call("use_in_forked_child", timeout_seconds=QUIET_SECONDS)
            assert [message.partition(":")[0] for message in told] == ["DBOSException"] * 3, told
            run.counts["forks"] += 1
        world.settle()
        run.counts["workflows"] += len(ids)
    world.verify()


@scenario(faults="F28", invariants=CORE)
def garbage(run: Run) -> None:
    """Garbage is collected with every allocation, and nobody holds on to anything that runs."""
    world = run.world().prepare()
    executor = world.start()
    executor.call("collect_garbage")
    for number in run.rounds():
        ids = [f"{name}-{number}-{copy}" for name in EXPECTED for copy in range(run.size(1, 5))]
        for workflow_id in ids:
            executor.call("start", workflow_id.partition("-")[0], workflow_id, "Ada", timeout_seconds=QUIET_SECONDS)
        world.promise(ids)
        world.settle()
        outcomes = executor.call("results", ids, timeout_seconds=QUIET_SECONDS)
        assert outcomes == [EXPECTED[workflow_id.partition("-")[0]] for workflow_id in ids]
        run.counts["workflows"] += len(ids)
    world.verify()


SECOND, HOUR, DAY = 1.0, 3_600.0, 86_400.0
JUMPS = (0.0, SECOND, -SECOND, HOUR, -HOUR, DAY, -DAY, 3_650 * DAY)
DEADLINE_SECONDS = 0.4
SLEEP_SECONDS = 0.5
LATE_SECONDS = 30.0  # on a busy machine; the jumps are of hours and years


@scenario(faults="F16", invariants=f"{CORE} I38 I39 I40")
def clocks(run: Run) -> None:
    """The wall clocks of processes jump by up to ten years while workflows sleep and deadlines pass: nobody minds."""
    world = run.world().prepare()
    executors = [world.start() for _ in range(2)]
    for number in run.rounds():
        sleepers = [f"{name}-{number}-{copy}" for name in ("await_by", "await_by_async") for copy in range(2)]
        late = [f"doze-{number}-{copy}" for copy in range(2)]
        for copy, workflow_id in enumerate(sleepers):
            executors[copy % 2].call("start", workflow_id.partition("-")[0], workflow_id, "sleep", "")
        for copy, workflow_id in enumerate(late):
            executors[copy % 2].call("start_within", DEADLINE_SECONDS, "doze", workflow_id, 60)
        world.promise(sleepers + late)
        began = time.monotonic()
        for _ in range(4):
            executors[run.dice.randrange(2)].call("set_clock", run.dice.choice(JUMPS))
            run.counts["jumps"] += 1
            run.pause(0, 0.1)
        world.settle()
        assert time.monotonic() - began < LATE_SECONDS, "I39, I40: far too late"
        slept = executors[0].call("results", sleepers)
        assert all(seconds >= SLEEP_SECONDS - 0.001 for seconds in slept), f"I40: {slept}"
        assert world.statuses(f"doze-{number}-%") == {"CANCELLED": len(late)}, "I39"
        run.counts.update(sleeps=len(sleepers), deadlines=len(late))
    world.verify()
