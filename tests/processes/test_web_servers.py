"""Web servers are killed by SIGKILL in the middle of a request; the client asks again, with the same key."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

PROGRAM = Path(__file__).with_name("web_server.py")


@contextmanager
def server(framework: str, database_url: str, home: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The program, and the URL it serves."""
    command = [sys.executable, "-W", "error", str(PROGRAM), framework, database_url, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def buy(url: str) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.post(f"{url}/purchases/ada", headers={"dbos-idempotency-key": "purchase-1"})


@pytest.mark.parametrize(("framework", "database"), [("fastapi", "postgres_url"), ("flask", "sqlite_url")])
def test_a_request_that_is_asked_again_takes_effect_once(
    framework: str, database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    database_url, ledger = request.getfixturevalue(database), tmp_path / "ledger"

    def ask_in_vain(url: str) -> None:
        with suppress(httpx.TransportError):
            buy(url)

    with server(framework, database_url, tmp_path) as (process, url):
        asking = threading.Thread(target=ask_in_vain, args=[url])
        asking.start()
        eventually(lambda: ledger.exists() and len(ledger.read_text().splitlines()) == 2)
        process.kill()
        asking.join()
    (tmp_path / "gate").touch()
    with server(framework, database_url, tmp_path) as (_, url):
        answers = [buy(url).json() for _ in range(2)]
    assert answers == [{"id": "purchase-1", "parcel": "parcel for ada"}] * 2
    assert ledger.read_text().splitlines() == ["ada charged", "ada is being served", "ada is being served"]
    assert run_sql(database_url, "select workflow_uuid, status from workflow_status") == [("purchase-1", "SUCCESS")]
