"""Fixtures for tests with real processes: a warm server that forks them, their ledger, and a fleet on one database.

`--all-points` makes the enumerations of this folder exhaustive: every crash point on Postgres too, every pair of
them on SQLite, and many naps past the lease.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.worker_ledger import Ledger
from tests.support.workers import Worker, Workers

Start = Callable[..., Worker]


@pytest.fixture(scope="session")
def long_run(pytestconfig: pytest.Config) -> bool:
    """Whether to look at everything instead of at enough."""
    return bool(pytestconfig.getoption("--all-points"))


@pytest.fixture
def workers(worker_server: Workers) -> Iterator[Workers]:
    """The server that forks workers; those of a test end with it."""
    yield worker_server
    worker_server.dismiss()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """What the steps of all workers of this test write to."""
    return Ledger(tmp_path / "ledger.jsonl")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that does not exist; `gated` workflows wait for it. `gate.touch()` opens it."""
    return tmp_path / "gate"


@pytest.fixture
def start_on(workers: Workers, tmp_path: Path) -> Start:
    """Start a process on a database, launched: `start_on(url, executor_id="b", host="elsewhere")`."""

    def start(url: str, host: str | None = None, launched: bool = True, **config: Any) -> Worker:
        settings = {
            "name": "test-app",
            "application_version": "1",
            "system_database_url": url,
            "log_level": "WARNING",
            **config,
        }
        worker = workers.start(settings, str(tmp_path / "ledger.jsonl"), host)
        if launched:
            worker.call("launch")
        return worker

    return start


@pytest.fixture
def start(start_on: Start, database_url: str) -> Start:
    """The same on the test's database of each dialect."""

    def start_here(**options: Any) -> Worker:
        return start_on(database_url, **options)

    return start_here
