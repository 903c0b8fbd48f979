"""The real command, the client of a test and the application: each in a process of its own."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dbos import DBOSClient
from tests.support.postgres import probably_free_port
from tests.support.waiting import eventually

DBOS = [sys.executable, "-m", "dbos.cli"]
APPLICATION = Path(__file__).with_name("watched_application.py")


@pytest.fixture
def application(database_url: str) -> Iterator[str]:
    """The database of an application that runs the workflows `one` and `two`, which wait for an answer."""
    command = [sys.executable, str(APPLICATION), database_url, "one", "two"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield database_url


def watch(url: str, *arguments: str) -> subprocess.Popen[str]:
    command = [*DBOS, "workflow", "watch", *arguments, "-s", url, "--interval", "0.02"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_watch_follows_a_workflow_to_its_end(application: str) -> None:
    with watch(application, "one", "--json") as good, watch(application, "two") as bad:
        assert good.stdout is not None
        assert json.loads(good.stdout.readline())["step"]["function_name"] == "greet"  # while it runs
        assert good.poll() is None
        with DBOSClient(system_database_url=application) as client:
            client.send("one", "fine", "answer")
            client.send("two", "bad", "answer")
        out, err = good.communicate(timeout=30)
        *_, last = out.splitlines()
        assert json.loads(last)["workflow"]["output"] == "Hello, you!"
        assert (good.returncode, err) == (0, "")
        out, err = bad.communicate(timeout=30)
        assert out.splitlines()[-1] == "workflow\ttwo\tERROR\tValueError: how rude"
        assert (bad.returncode, err) == (3, "")


def test_watch_can_be_interrupted(application: str) -> None:
    with watch(application, "one") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (130, "Error: Interrupted\n")


def test_a_person_sees_progress(application: str) -> None:
    """On a real terminal."""
    ours, theirs = pty.openpty()
    command = [*DBOS, "workflow", "watch", "one", "-s", application, "--interval", "0.02"]
    with closing(open(ours, "rb", buffering=0)) as terminal:
        process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
        os.close(theirs)
        seen = b""

        def read(wanted: bytes) -> bool:
            nonlocal seen
            seen += terminal.read(4096)
            return wanted in seen

        try:
            eventually(lambda: read("✓ 1 greet".encode()))
            eventually(lambda: read(b"PENDING, 2 steps so far"))
            with DBOSClient(system_database_url=application) as client:
                client.send("one", "fine", "answer")
            eventually(lambda: read(b"SUCCESS after"))
            assert process.wait(30) == 0
        finally:
            process.kill()  # it would wait for a database that is gone
            process.wait()


def test_without_what_it_takes_it_says_how_to_install_that() -> None:
    for missing in ("click", "rich", "yaml"):
        code = f"import sys; sys.modules[{missing!r}] = None; from dbos.cli.entry import main; main()"
        ran = subprocess.run([sys.executable, "-c", code, "version"], capture_output=True, text=True, check=False)
        if missing == "rich":  # loaded for tables alone
            assert ran.stdout.startswith("DBOS CLI version: ")
        else:
            assert (ran.returncode, ran.stdout) == (1, "")
            assert ran.stderr == f"The command line needs {missing}: pip install 'dbos[cli]'\n"


def test_a_local_postgres() -> None:
    """Started twice, used, stopped twice; what it holds stays."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)  # the account that runs the server has to enter it
        at = ["-d", f"{name}/server"]

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([*DBOS, *arguments], capture_output=True, text=True, check=False)

        port = str(probably_free_port())
        try:
            started = run("postgres", "start", *at, "-p", port)
            assert (started.returncode, started.stderr) == (0, "")
            url = started.stdout.strip()
            again = json.loads(run("postgres", "start", *at, "--json").stdout)
            assert (again["system_database_url"], again["started"]) == (url, False)
            elsewhere = run("postgres", "start", *at, "-p", str(probably_free_port()))
            assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
            assert f"runs on port {port}" in elsewhere.stderr
            assert run("migrate", "-s", url).returncode == 0
            taken = run("postgres", "start", "-d", f"{name}/another", "-p", port)
            assert (taken.returncode, taken.stdout) == (1, "")
            assert "Choose another with --port" in taken.stderr
        finally:
            stopped = json.loads(run("postgres", "stop", *at, "--json").stdout)
        assert stopped["stopped"] is True
        assert run("postgres", "stop", *at).returncode == 0
        assert run("workflow", "list", "-s", url).returncode == 1
