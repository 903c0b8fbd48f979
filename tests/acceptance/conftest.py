"""Fixtures of the acceptance tests: databases, replays, and a watch over the services."""

import logging
from collections.abc import Iterator

import pytest

from dbos import DBOS, WorkflowHandle
from tests.support.fixture_types import Replay
from tests.support.postgres import PostgresCluster
from tests.support.raw_sql import run_sql

# ---------------------------------------------------------------- databases

RECYCLED = "acceptance"


@pytest.fixture(scope="session")
def recycled_postgres(postgres: PostgresCluster) -> str:
    """One Postgres database for all of these tests: making and dropping one takes longer than most of them."""
    return postgres.create_database(RECYCLED)


@pytest.fixture(params=["sqlite", "postgres"])
def fresh_database_url(request: pytest.FixtureRequest) -> str:
    """A database of each dialect in turn that nobody has used before."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of each dialect in turn, without rows."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres")
    cluster.start()  # in case a test before this one left it stopped
    url: str = request.getfixturevalue("recycled_postgres")
    if cluster.entrance is not None:
        cluster.ensure_database(RECYCLED)  # a test may have dropped it, and not everybody may create one
    yield url
    DBOS.reset_system_database(system_database_url=cluster.url(RECYCLED), truncate=True)  # as its owner


# ---------------------------------------------------------------- engines


@pytest.fixture(autouse=True)
def no_service_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A background service that fails is restarted, and would go unnoticed."""
    with caplog.at_level(logging.INFO, logger="dbos"):
        yield
    records = [record for phase in ("setup", "call") for record in caplog.get_records(phase)]
    failures = [record.getMessage() for record in records if "service failed" in record.getMessage()]
    assert failures == []


@pytest.fixture
def replay(database_url: str) -> Replay:
    """Take back the outcome of a workflow, keep its steps, and recover it."""

    def again(workflow_id: str) -> WorkflowHandle:
        run_sql(
            database_url,
            "update workflow_status set status = 'PENDING', output = null, error = null, outcome_serialization = null, "
            "completed_at = null where workflow_uuid = ?",
            workflow_id,
        )
        recovered = [handle.workflow_id for handle in DBOS._recover_pending_workflows([DBOS.executor_id])]
        assert workflow_id in recovered
        return WorkflowHandle(workflow_id)

    return again
