"""api.md §12.5: applications that share a system database, and another name for one."""

import asyncio
from typing import Any

import pytest

from dbos import DBOS, DBOSClient, SetWorkflowID, error
from dbos.testing.crashing import Crashed, Point, Seam, When
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql


def owners(url: str, table: str) -> list[Any]:
    return sorted({row[0] for row in run_sql(url, f"select application_name from {table}")}, key=str)


def define() -> tuple[Any, Any]:
    @DBOS.step()
    def step() -> None:
        pass

    @DBOS.workflow()
    def workflow() -> str:
        step()
        return "done"

    @DBOS.workflow()
    def tick(at: Any, context: Any) -> None:
        pass

    return workflow, tick


def begin(workflow: Any, tick: Any) -> None:
    """Three workflows that have ended, one that waits, a queue and a schedule; one of nobody."""
    for number in range(3):
        with SetWorkflowID(f"w{number}"):
            workflow()
    DBOS.register_queue("q")
    with SetWorkflowID("waits"):
        DBOS.enqueue_workflow("unserved", workflow)
    DBOS.create_schedule(schedule_name="s", workflow_fn=tick, schedule="0 0 1 1 *")


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10_000])
def test_everything_goes_to_the_new_name(launch: Launch, database_url: str, batch_size: int) -> None:
    workflow, tick = define()
    launch(application_version="v")
    begin(workflow, tick)
    DBOS.destroy()
    tables = ("workflow_status", "queues", "workflow_schedules", "application_versions")
    with DBOSClient(system_database_url=database_url) as client:
        counts = client.rename_application("test-app", "new-app", batch_size=batch_size)
        assert counts == {"queues": 1, "schedules": 1, "versions": 1, "workflows": 4, "steps": 3}
        assert all(owners(database_url, table) == ["new-app"] for table in tables)
        again = asyncio.run(client.rename_application_async("test-app", "new-app"))
        assert set(again.values()) == {0}
    launch(name="new-app", application_version="v")
    assert len(DBOS.list_workflows()) == 4
    DBOS.register_queue("unserved")
    assert DBOS.get_result("waits") == "done"


def test_a_renaming_that_was_killed_is_finished_by_the_next(launch: Launch, database_url: str) -> None:
    """At each of its effects. What is on its way has the name of what decides about it, at every moment."""
    workflow, tick = define()
    launch(application_version="v")
    begin(workflow, tick)
    DBOS.destroy()
    tables = ("workflow_status", "queues", "workflow_schedules", "application_versions")
    names = "test-app", "new-app"
    with Seam().installed() as seam:
        with DBOSClient(system_database_url=database_url) as client:
            client.rename_application(*names, batch_size=2)
        effects = len(seam.trace)
        assert effects >= 3, "all that is on its way, and two pages of what has ended"
        for point in (Point(number, when) for number in range(1, effects + 1) for when in (When.BEFORE, When.AFTER)):
            names = names[1], names[0]
            seam.arm(point)
            with DBOSClient(system_database_url=database_url) as client, pytest.raises(Crashed):
                client.rename_application(*names, batch_size=2)
            together = run_sql(
                database_url,
                "select application_name from queues union select application_name from workflow_schedules"
                " union select application_name from workflow_status where workflow_uuid = 'waits'",
            )
            assert len(together) == 1, str(point)
            seam.arm(None)
            with DBOSClient(system_database_url=database_url) as client:
                client.rename_application(*names, batch_size=2)
            assert all(owners(database_url, table) == [names[1]] for table in tables), str(point)


def test_what_nobody_owns_is_adopted_if_it_shall_be(launch: Launch, database_url: str) -> None:
    workflow, tick = define()
    launch()
    begin(workflow, tick)
    run_sql(database_url, "update workflow_status set application_name = null where workflow_uuid in ('w0', 'waits')")
    run_sql(database_url, "update workflow_status set application_name = 'third-app' where workflow_uuid = 'w1'")
    with DBOSClient(system_database_url=database_url) as client:
        assert client.rename_application("test-app", "new-app")["workflows"] == 1
        assert owners(database_url, "workflow_status") == [None, "new-app", "third-app"]
        adopted = client.rename_application(None, "new-app", adopt_unclaimed_rows=True)
        assert adopted["workflows"] == 2
        assert owners(database_url, "workflow_status") == ["new-app", "third-app"]


def test_a_version_that_both_have(launch: Launch, database_url: str) -> None:
    launch(application_version="v")
    launch(name="new-app", application_version="v")
    with DBOSClient(system_database_url=database_url) as client:
        assert client.rename_application("test-app", "new-app")["versions"] == 0
        assert [each["version_name"] for each in client.list_application_versions()] == ["v"]


def test_names_that_cannot_be(launch: Launch, database_url: str) -> None:
    launch()
    bad: list[tuple[Any, Any, dict[str, Any], str]] = [
        ("test-app", "New App", {}, "cannot be the name"),
        ("test-app", "", {}, "cannot be the name"),
        ("test-app", None, {}, "cannot be the name"),
        (7, "new-app", {}, "is a str"),
        (None, "new-app", {}, "adopt_unclaimed_rows=True"),
        ("test-app", "test-app", {}, "already"),
        ("test-app", "new-app", {"batch_size": 0}, "batch_size"),
    ]
    with DBOSClient(system_database_url=database_url) as client:
        for old, new, options, words in bad:
            with pytest.raises(error.DBOSException, match=words):
                client.rename_application(old, new, **options)
        assert set(client.rename_application("unknown", "new-app").values()) == {0}
