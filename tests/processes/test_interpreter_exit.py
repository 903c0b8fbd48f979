"""How a process comes to its end: leaving with work in flight, by signals, with the database gone. Nothing is lost."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.conftest import Start
from tests.support.postgres import PostgresCluster
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually
from tests.support.worker_ledger import Ledger

EXIT_SECONDS = 15.0  # on a busy machine; whoever waited for what is in flight would take a minute, or an hour

Script = Callable[[str, str], "subprocess.Popen[str]"]


@pytest.fixture
def script(tmp_path: Path, ledger: Ledger, gate: Path) -> Iterator[Script]:
    """Run `worker_script` in an interpreter of its own."""
    processes: list[subprocess.Popen[str]] = []

    def run(mode: str, url: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [
                *(sys.executable, "-W", "error", "-m", "tests.support.worker_script"),
                *(mode, url, str(tmp_path / "ledger.jsonl"), str(gate)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def end_of(process: "subprocess.Popen[str]", message: str = "") -> tuple[int, str]:
    """Let it end, and return its exit code and what it said about that. It must not take long."""
    started_at = time.monotonic()
    _, errors = process.communicate(message, timeout=60)
    assert time.monotonic() - started_at < EXIT_SECONDS, errors
    return process.returncode, errors


SLEEPS = "select 1 from operation_outputs where function_name = 'DBOS.sleep'"


def wait_until_in_flight(process: "subprocess.Popen[str]", url: str, ledger: Ledger) -> None:
    """Until all that it has started has begun, and the sleeper sleeps."""
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    eventually(lambda: len({entry.workflow_id for entry in ledger.begun()}) == 4 and run_sql(url, SLEEPS))


def assert_done_by_an_heir(start: Start, url: str, gate: Path) -> None:
    """All that was in flight ends in another process, once it may: that does not sleep for an hour again."""
    run_sql(url, "update operation_outputs set output = '0' where function_name = 'DBOS.sleep'")
    heir = start()
    gate.touch()
    for workflow_id in ("gated", "walk", "walk_async", "doze"):
        assert heir.call("result", workflow_id) == heir.pid


def test_leaving_with_work_in_flight(
    script: Script, start: Start, ledger: Ledger, gate: Path, database_url: str
) -> None:
    process = script("leave", database_url)
    wait_until_in_flight(process, database_url, ledger)
    assert end_of(process, "\n") == (0, "")
    assert_done_by_an_heir(start, database_url, gate)


def test_leaving_while_the_database_is_down(
    script: Script, start_on: Start, postgres: PostgresCluster, postgres_url: str, ledger: Ledger, gate: Path
) -> None:
    process = script("leave", postgres_url)
    wait_until_in_flight(process, postgres_url, ledger)
    postgres.stop("immediate")
    exit_code, errors = end_of(process, "\n")
    assert (exit_code, "Traceback" in errors) == (0, False), errors
    postgres.start()
    assert_done_by_an_heir(lambda: start_on(postgres_url), postgres_url, gate)


def test_destroying_while_the_database_is_down(
    start_on: Start, postgres: PostgresCluster, postgres_url: str, ledger: Ledger
) -> None:
    worker = start_on(postgres_url)
    worker.call("start", "walk", "walk", 100, 10)
    eventually(lambda: ledger.begun("walk"))
    postgres.stop("immediate")
    started_at = time.monotonic()
    worker.call("destroy", timeout_seconds=50)
    assert time.monotonic() - started_at < EXIT_SECONDS
    postgres.start()


@pytest.mark.parametrize(("mode", "workflow_id"), [("call", "gated"), ("call_async", "walk_async")])
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_is_no_result(
    script: Script,
    start_on: Start,
    sqlite_url: str,
    ledger: Ledger,
    gate: Path,
    mode: str,
    workflow_id: str,
    number: signal.Signals,
    exit_code: int,
) -> None:
    process = script(mode, sqlite_url)
    eventually(lambda: len(ledger.begun(workflow_id)) >= 2)
    process.send_signal(number)
    assert end_of(process)[0] == exit_code
    assert run_sql(sqlite_url, "select status, output, error from workflow_status") == [("PENDING", None, None)]
    assert run_sql(sqlite_url, "select count(*) from operation_outputs where error is not null") == [(0,)]
    heir = start_on(sqlite_url)
    gate.touch()
    assert heir.call("result", workflow_id) == heir.pid
