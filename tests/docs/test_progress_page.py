"""The page of examples/progress_page.py in a real browser, while its server is killed and started again."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.browser import browser, require_browser
from tests.support.example_servers import ExampleServer
from tests.support.waiting import eventually

LOAVES = [f"loaf {number}" for number in range(1, 21)]


@pytest.fixture
def server(tmp_path: Path, database_url: str) -> Iterator[ExampleServer]:
    with ExampleServer("progress_page.py", tmp_path, database_url, SECONDS_PER_LOAF="0.15") as server:
        yield server


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.timeout(180)  # a browser and three servers start
def test_the_page_goes_on_without_a_gap_or_a_repeat(server: ExampleServer, tmp_path: Path) -> None:
    require_browser()
    with browser(tmp_path / "profile") as page:
        page.open(f"{server.url}?bake=monday")
        for already in (3, 8):
            eventually(lambda: len(page.texts("li")) >= already)  # noqa: B023
            server.kill()
            eventually(lambda: page.texts("#state") == ["interrupted"])
            seen = page.texts("li")
            assert seen == LOAVES[: len(seen)]
            server.start()
        eventually(lambda: page.texts("#state") == ["done"])
        assert page.texts("li") == LOAVES
        page.open(f"{server.url}?bake=monday")  # reloaded: all of it once more, from the same workflow
        eventually(lambda: page.texts("#state") == ["done"])
        assert page.texts("li") == LOAVES


@pytest.mark.timeout(120)
def test_a_client_that_comes_back_goes_on_where_it_was(server: ExampleServer) -> None:
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
    with connected(server.port) as connection:
        connection.request("GET", "/bakes/wednesday/events")
        assert connection.getresponse().status == 404


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
