"""The pytest plugin of dbos: its fixtures load the library when a test asks for one, and cost nothing before."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
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
def dbos(dbos_config: DBOSConfig) -> Iterator[type[DBOS]]:
    """DBOS, launched on an empty database, and destroyed after the test. What is decorated stays so."""
    from dbos import DBOS

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
