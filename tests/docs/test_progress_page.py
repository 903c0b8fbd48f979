"""The page of examples/progress_page.py in a real browser, while its server is killed and started again."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT
from tests.support.browser import browser, missing
from tests.support.waiting import eventually

LOAVES = [f"loaf {number}" for number in range(1, 21)]


class Server:
    """The example as a process, always on the same port and database."""

    def __init__(self, directory: Path, database_url: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/?bake=monday"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DBOS_")}
        self._environment = {**inherited, "DBOS_SYSTEM_DATABASE_URL": database_url, "SECONDS_PER_LOAF": "0.15"}
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It answers once this returns."""
        command = [sys.executable, str(ROOT / "examples" / "progress_page.py"), str(self.port)]
        process = self._process = subprocess.Popen(command, cwd=self._directory, env=self._environment)
        eventually(lambda: process.poll() is not None or answers(self.port))

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def server(tmp_path: Path, database_url: str) -> Iterator[Server]:
    server = Server(tmp_path, database_url)
    server.start()
    yield server
    server.kill()


def answers(port: int) -> bool:
    try:
        with connected(port) as connection:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
    except OSError:
        return False


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.timeout(180)  # a browser and three servers start
def test_the_page_goes_on_without_a_gap_or_a_repeat(server: Server, tmp_path: Path) -> None:
    if missing():
        reason = f"no browser: install the Debian packages {' '.join(missing())}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with browser(tmp_path / "profile") as page:
        page.open(server.url)
        for already in (3, 8):
            eventually(lambda: len(page.texts("li")) >= already)  # noqa: B023
            server.kill()
            eventually(lambda: page.texts("#state") == ["interrupted"])
            seen = page.texts("li")
            assert seen == LOAVES[: len(seen)]
            server.start()
        eventually(lambda: page.texts("#state") == ["done"])
        assert page.texts("li") == LOAVES
        page.open(server.url)  # reloaded: all of it once more, from the same workflow
        eventually(lambda: page.texts("#state") == ["done"])
        assert page.texts("li") == LOAVES


@pytest.mark.timeout(120)
def test_a_client_that_comes_back_goes_on_where_it_was(server: Server) -> None:
    """The same over bare HTTP, for machines without a browser."""
    with connected(server.port) as connection:
        connection.request("POST", "/bakes/tuesday")
        assert connection.getresponse().read() == b'{"workflow_id":"tuesday"}'
    loaves, offset = read_events(server.port, "tuesday", 0, 4)
    assert loaves == LOAVES[:4]
    server.kill()
    server.start()
    rest, end = read_events(server.port, "tuesday", offset, len(LOAVES))
    assert loaves + rest == LOAVES
    assert end == len(LOAVES)
    assert read_events(server.port, "tuesday", end, 1) == ([], len(LOAVES))


def read_events(port: int, bake: str, offset: int, count: int) -> tuple[list[str], int]:
    """So many events from an offset on, or all until the end; and the offset to go on from."""
    loaves: list[str] = []
    with connected(port) as connection:
        connection.request("GET", f"/bakes/{bake}/events", headers={"Last-Event-ID": str(offset)})
        reply = connection.getresponse()
        assert reply.getheader("Content-Type", "").startswith("text/event-stream")
        while len(loaves) < count:
            line = reply.readline().decode().rstrip()
            if line.startswith("id: "):
                offset = int(line[4:])
            elif line.startswith("data: "):
                loaves.append(line.split('"')[3])
            elif line == "event: end":
                break
    return loaves, offset
