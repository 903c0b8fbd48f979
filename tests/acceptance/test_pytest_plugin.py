"""The pytest plugin, as users run it: in a test run of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.postgres import PostgresCluster

SUITE = """
import asyncio, sys
import pytest
assert "dbos" not in sys.modules, "the plugin loads the library before anybody asks for it"
from dbos import DBOS, Queue, SetWorkflowID

charged = []
queue = Queue("jobs")

@DBOS.step()
def charge(amount):
    charged.append(amount)
    return len(charged)

@DBOS.step()
def look():
    return "seen"

@DBOS.workflow()
def order(amount):
    look()
    return charge(amount)

@DBOS.step()
async def look_async():
    return "seen"

@DBOS.workflow()
async def child():
    return await look_async()

@DBOS.workflow()
async def sound():
    DBOS.logger.debug("again")
    first = await look_async()
    handle = await DBOS.start_workflow_async(child)
    await DBOS.sleep_async(0.001)
    return [first, await handle.get_result(), await (await queue.enqueue_async(child)).get_result()]

@pytest.mark.parametrize("number", [1, 2])
def test_each_has_a_database_of_its_own(dbos, number):
    assert dbos is DBOS
    assert dbos.list_workflows() == []
    with SetWorkflowID("w"):
        order(1)

def test_names_the_step_that_is_not_idempotent(crash_everywhere):
    with pytest.raises(AssertionError) as failure:
        crash_everywhere(lambda: order(1), prepare=charged.clear)
    assert "when step 'charge' had run and was not recorded yet" in str(failure.value)
    assert "it returned 2, but undisturbed it returned 1" in str(failure.value)
    assert DBOS.list_workflows(limit=1)[0].status == "SUCCESS", "it is launched"

def test_sees_what_is_left_outside(crash_everywhere):
    @DBOS.step()
    def write():
        charged.append(0)

    @DBOS.workflow()
    def careless():
        charged.append(0)

    @DBOS.workflow()
    def forgetful():
        write()

    with pytest.raises(AssertionError, match="its body does something outside of a step"):
        crash_everywhere(careless, prepare=charged.clear, observe=charged.copy)
    with pytest.raises(AssertionError, match=r"left \\[0, 0\\], but undisturbed .* step '.*write' ran twice"):
        crash_everywhere(forgetful, prepare=charged.clear, observe=charged.copy)

def test_a_sound_workflow_survives_everywhere(crash_everywhere):
    assert crash_everywhere(sound) > 10

def test_a_queued_workflow_survives_everywhere(crash_everywhere):
    async def call():
        return await (await queue.enqueue_async(child)).get_result()

    assert crash_everywhere(call) >= 6
    with pytest.raises(AssertionError, match="step 'charge' ran twice, and is not idempotent"):
        crash_everywhere(lambda: queue.enqueue(order, 1).get_result(), prepare=charged.clear)

def test_time_jumps(dbos, dbos_clock):
    @DBOS.workflow()
    def nap():
        DBOS.sleep(86_400)
        return "slept"

    begun = dbos_clock.now()
    assert nap() == "slept"
    dbos_clock.advance(days=1)
    assert (dbos_clock.now() - begun).days == 2

def test_time_jumps_between_crashes(dbos_clock, crash_everywhere):
    @DBOS.workflow()
    async def nap():
        await DBOS.sleep_async(86_400)
        return await look_async()

    begun = dbos_clock.now()
    assert crash_everywhere(nap) == 8
    assert (dbos_clock.now() - begun).days == 9

def test_a_failure_is_an_outcome(crash_everywhere):
    @DBOS.workflow()
    def failing():
        look()
        raise ValueError("so it is")

    crash_everywhere(failing)
"""


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_the_plugin_in_a_suite_of_its_own(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(SUITE)
    options = ["-p", "dbos_pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-q", "--tb=short"]
    if dialect == "postgres":
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        cluster.start()
        options += ["--dbos-database-url", cluster.url("postgres")]
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--basetemp={tmp_path / 'base'}", "test_theirs.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "9 passed" in answer.stdout
