"""Fixtures of the whole suite: fresh databases of both dialects, and what keeps tests apart.

`database_url` runs a test twice, on SQLite and on Postgres. The Postgres server is started by the first test that wants
one and shared by all; every test gets a database of its own on it. A test may restart the server, if it leaves it
running.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from dbos import DBOS
from tests.support.collected import parsing_nothing
from tests.support.entrances import as_worker, through_pooler
from tests.support.pooler import Pooler
from tests.support.postgres import PostgresCluster, past_entrance
from tests.support.signals import let_children_be_stopped
from tests.support.warm_python import WarmPython
from tests.support.workers import Workers

# Examples are not timed: this machine may be busy, and slowness is measured by the benchmarks.
hypothesis.settings.register_profile("suite", deadline=None, print_blob=True)
hypothesis.settings.load_profile("suite")
hypothesis.settings.register_profile(  # for `make mutants`: quick, and the same every time
    "mutants", deadline=None, derandomize=True, database=None, phases=[hypothesis.Phase.generate]
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--all-points`: every crash point on Postgres too. `--pairs`: so many double crashes of each scenario.

    `--pooler` and `--worker-role` choose how tests reach Postgres.
    """
    parser.addoption("--all-points", action="store_true", help="every crash point where the default is a sample")
    parser.addoption("--pairs", type=int, default=0, help="double crashes of each scenario, on each database")
    entrances = parser.getgroup("postgres").addoption
    entrances("--pooler", action="store_true", help="reach Postgres through pgbouncer in transaction mode")
    entrances("--worker-role", action="store_true", help="reach Postgres as the role that `dbos migrate -r` sets up")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what cannot hold for the chosen way to Postgres."""
    for option, marker in (("--pooler", "own_session"), ("--worker-role", "owner")):
        if config.getoption(option):
            for item in items:
                if (mark := item.get_closest_marker(marker)) is not None and "sqlite" not in item.name:
                    item.add_marker(pytest.mark.skip(reason=f"{option}: {mark.args[0]}"))


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Processes that tests start heed signals, even if the suite runs in the background of a shell or under `nohup`."""
    let_children_be_stopped()


@pytest.fixture(scope="session", autouse=True)
def collected_tasks_parse_nothing() -> Iterator[None]:
    """A test that parses is not failed by the tasks that earlier ones abandoned."""
    with parsing_nothing():
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The interpreters that tests start share their compiled modules, whatever the environment says of writing them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.getbasetemp() / "compiled"))
        yield


# ---------------------------------------------------------------- databases


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresCluster]:
    """The server that all tests share."""
    with PostgresCluster() as cluster, contextlib.ExitStack() as stack:
        if request.config.getoption("--pooler"):
            pooler = stack.enter_context(Pooler(cluster, search_path="dbos, public"))
            cluster.entrance = partial(through_pooler, pooler)
        elif request.config.getoption("--worker-role"):
            cluster.entrance = partial(as_worker, cluster)
        yield cluster


@pytest.fixture(scope="session")
def pooler(postgres: PostgresCluster) -> Iterator[Pooler]:
    """A pgbouncer in transaction mode, for tests that want one whatever the options say."""
    if not Pooler.is_installed():
        pytest.skip("pgbouncer is not installed")
    with Pooler(postgres) as pooler:
        yield pooler


@pytest.fixture
def postgres_url(postgres: PostgresCluster) -> Iterator[str]:
    """A fresh, empty Postgres database."""
    name = f"test_{secrets.token_hex(6)}"
    postgres.start()  # in case the test before this one left it stopped
    yield postgres.create_database(name)
    postgres.start()
    postgres.drop_database(name)


@pytest.fixture
def direct_url(postgres_url: str) -> str:
    """The same database past whatever the options of this run put before it: for what tests do to it, or see there."""
    return past_entrance(postgres_url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'system.sqlite'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database of each dialect in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


# ---------------------------------------------------------------- programs


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    """Runs programs without waiting for an interpreter to start."""
    with WarmPython() as server:
        yield server


@pytest.fixture(scope="session")
def worker_server() -> Iterator[Workers]:
    """Forks processes that launch DBOS and do what a test tells them."""
    with Workers() as server:
        yield server


# ---------------------------------------------------------------- the lifecycle of DBOS


@pytest.fixture
def launch(database_url: str) -> Iterator[Callable[..., type[DBOS]]]:
    """Launch DBOS on the test's database: `launch(executor_id="a", ...)` takes configuration keys. Decorate first.

    The registry is fresh, and destroyed with the test; launching again in one test destroys what runs first.
    """
    DBOS.destroy(destroy_registry=True)

    def start(**config: Any) -> type[DBOS]:
        DBOS.destroy()
        DBOS(config={"name": "test-app", "system_database_url": database_url, **config})
        DBOS.launch()
        return DBOS

    yield start
    DBOS.destroy(destroy_registry=True)
