"""The pytest plugin of dbos: its fixtures load the library when a test asks for one, and cost nothing before."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from dbos import DBOS, DBOSConfig


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--dbos-database-url`: run the tests on Postgres."""
    parser.addoption(
        "--dbos-database-url",
        metavar="URL",
        help="a Postgres server for the fixture `dbos`; databases of the tests are made on it. The default is SQLite",
    )


class CrashEverywhere(Protocol):
    """The fixture `crash_everywhere`."""

    def __call__(
        self, call: Callable[[], Any], *, prepare: Callable[[], Any] = ..., observe: Callable[[], Any] = ...
    ) -> int:
        """Kill the workflow that `call` calls before and after each of its commits, and recover it; how often was that?

        Args:
            call: Calls one workflow, sync or async: `lambda: order(12)`. It gets an ID of its own.
            prepare: Called before each run: sets the world outside back to where it was.
            observe: Called after each run: what it returns must be the same each time, as the result must.

        Raises AssertionError that names the step which is not idempotent.
        """


class DBOSClock(Protocol):
    """The fixture `dbos_clock`: the time of the application under test.

    While the test waits for the application (for a result, say), and the application waits for nothing but time, time
    jumps to the next moment at which something is due. Everything happens in its order and at its own time: sleeps end,
    timeouts, deadlines and delays are over, schedules fire each tick. What user code does itself takes its time.
    """

    def now(self) -> datetime:
        """What time it is for the application, in UTC."""

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Let time pass; returns when everything that has become due meanwhile has run, or waits again.

        User code that does nothing for a second of real time is not waited for. Raises DBOSException for what is not a
        span of time, and where it would block an event loop.
        """

    async def advance_async(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """The same for a test that is a coroutine."""

    def advance_to(self, moment: datetime) -> None:
        """Let time pass until a moment, which has a time zone. Raises DBOSException for one that has passed."""

    async def advance_to_async(self, moment: datetime) -> None:
        """The same for a test that is a coroutine."""

    def held(self) -> AbstractContextManager[None]:
        """Within this block time does not jump by itself: it passes as on the wall, or by `advance`."""


@pytest.fixture(scope="session")
def _dbos_database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The database that the tests of this process share, if it is on a server."""
    url = request.config.getoption("--dbos-database-url")
    if url is None:
        yield None
        return
    from dbos import DBOS

    address, _, query = url.partition("?")
    name = f"dbos_test_{secrets.token_hex(6)}"
    mine = "/".join([*address.split("/")[:3], name]) + (f"?{query}" if query else "")
    yield mine
    DBOS.reset_system_database(system_database_url=mine)


@pytest.fixture
def dbos_config(_dbos_database: str | None, tmp_path: Path) -> DBOSConfig:
    """The configuration of the test. A test suite may override it, calling it for what it does not set itself."""
    return {
        "name": "test-app",
        "system_database_url": _dbos_database or f"sqlite:///{tmp_path / 'dbos.sqlite'}",
        "log_level": "WARNING",
    }


@pytest.fixture
def dbos_clock() -> Iterator[DBOSClock]:
    """See `DBOSClock`. What is launched while it stands goes by it, and so does `dbos`."""
    from dbos.testing.clock import Clock

    with Clock().installed() as clock:
        yield clock


@pytest.fixture
def dbos(dbos_config: DBOSConfig, request: pytest.FixtureRequest) -> Iterator[type[DBOS]]:
    """DBOS, launched on an empty database, and destroyed after the test. What is decorated stays so."""
    from dbos import DBOS

    if "dbos_clock" in request.fixturenames:
        request.getfixturevalue("dbos_clock")  # before the launch
    DBOS.destroy()
    DBOS(config=dbos_config)
    DBOS.reset_system_database(truncate=True)
    DBOS.launch()
    yield DBOS
    DBOS.destroy()


@pytest.fixture
def crash_everywhere(dbos: type[DBOS], dbos_config: DBOSConfig) -> CrashEverywhere:
    """See `CrashEverywhere`. What the test has decorated is known; DBOS is launched before and after."""
    from dbos.testing import everywhere

    def kill(
        call: Callable[[], Any],
        *,
        prepare: Callable[[], Any] = lambda: None,
        observe: Callable[[], Any] = lambda: None,
    ) -> int:
        return everywhere.crash_everywhere(dbos_config, call, prepare, observe)

    return kill
