"""Whoever can write to the database runs nothing where people look at it, nor where pickle is refused."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbos import DBOS, SetWorkflowID, error
from tests.admin.test_server import client
from tests.cli.conftest import Run
from tests.security.malicious_pickles import corpus, left_behind
from tests.support.fixture_types import Launch
from tests.support.raw_sql import Sql, run_sql

ROOT = Path(__file__).resolve().parents[2]
LEAST = 50  # of them

Count = Callable[[str, object], None]  # `record_property` of pytest


@dataclass(frozen=True)
class Place:
    """A directory that stays as empty as it is, whatever is looked at."""

    directory: Path

    def assert_untouched(self, after: str) -> None:
        """Nothing has left anything behind."""
        acted = [name for name, marker, _ in corpus(self.directory) if left_behind(marker)]
        assert not acted, f"{after} ran {acted}"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "markers").mkdir()
    return Place(tmp_path / "markers")


@pytest.fixture
def infested(launch: Launch, database_url: str, place: Place) -> list[str]:
    """The workflows of an application in whose database each stored value is one of the corpus; their ids."""

    @DBOS.step(name="price")
    def price() -> int:
        return 1

    @DBOS.workflow(name="buy")
    def buy(item: str) -> int:
        return price()

    @DBOS.workflow(name="tick")
    def tick(when: object, context: object) -> None: ...

    launch(application_version="v1", console_log_level="CRITICAL")
    DBOS.create_schedule(schedule_name="clockwork", workflow_fn=tick, schedule="0 0 1 1 *", context=1)
    pickles = [base64.b64encode(data).decode() for _, _, data in corpus(place.directory)]
    ids = [f"w{number}" for number in range(len(pickles))]
    for workflow_id in ids:
        with SetWorkflowID(workflow_id):
            buy("tea")
    with Sql(database_url) as sql:
        for number, (workflow_id, text) in enumerate(zip(ids, pickles, strict=True)):
            outcome = ("output = ?", "output = null, error = ?")[number % 2]
            for change in (
                "workflow_status set inputs = ?, serialization = 'py_pickle'",
                f"workflow_status set {outcome}, outcome_serialization = 'py_pickle'",
                f"operation_outputs set {outcome}, serialization = 'py_pickle'",
            ):
                sql(f"update {change} where workflow_uuid = ?", text, workflow_id)
        sql("update workflow_status set status = 'ERROR' where error is not null")
        sql("update workflow_schedules set context = ?, context_serialization = 'py_pickle'", pickles[0])
    return ids


def test_the_corpus_is_alive(place: Place) -> None:
    names = [name for name, _, _ in corpus(place.directory)]
    assert len(set(names)) == len(names) >= LEAST
    reading = subprocess.run(
        [sys.executable, "-m", "tests.security.malicious_pickles", str(place.directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert reading.stdout.splitlines() == names


def test_commands_run_nothing(
    infested: list[str], database_url: str, run: Run, place: Place, record_property: Count
) -> None:
    commands: list[tuple[str, ...]] = [
        ("workflow", "list", "--limit", "1000"),
        ("workflow", "list", "--limit", "1000", "--json"),
        ("workflow", "queue", "list", "--json"),
        ("schedule", "list", "--json"),
        ("schedule", "get", "clockwork"),
        ("version", "list"),
        ("workflow", "export", infested[0]),
        *(("workflow", command, workflow_id) for command in ("watch", "why") for workflow_id in infested[:2]),
        *(("workflow", command, workflow_id) for command in ("get", "steps") for workflow_id in infested),
    ]
    for command in commands:
        ran = run(*command, "-s", database_url)
        assert "Traceback" not in ran.err, command
        assert ran.out, command
        place.assert_untouched(" ".join(command))
    record_property("malicious pickles", len(infested))
    record_property("commands", len(commands))


def test_the_admin_server_runs_nothing(launch: Launch, infested: list[str], place: Place) -> None:
    launch(application_version="v1", console_log_level="CRITICAL", run_admin_server=True, admin_port=0)
    with client() as http:
        for path in ("/workflows", "/queues"):
            assert http.post(path, json={"load_input": True, "load_output": True}).status_code == 200
        for workflow_id in infested:
            assert http.get(f"/workflows/{workflow_id}").status_code == 200
            assert http.get(f"/workflows/{workflow_id}/steps").status_code == 200
    place.assert_untouched("the admin server")


def test_where_pickle_is_off_none_is_read(launch: Launch, infested: list[str], place: Place) -> None:
    launch(application_version="v1", console_log_level="CRITICAL", allow_pickle=False)
    assert {each.workflow_id for each in DBOS.list_workflows()} == set(infested)
    for workflow_id in infested:
        with pytest.raises(error.DBOSDeserializationError, match="refuses pickle"):
            DBOS.get_result(workflow_id)
        DBOS.list_workflow_steps(workflow_id)
        DBOS.get_workflow_status(workflow_id)
    DBOS.list_schedules()
    place.assert_untouched("an application that refuses pickle")


def test_a_schedule_whose_context_was_only_shown_is_not_run_with_it(
    infested: list[str], database_url: str, run: Run, place: Place
) -> None:
    ran = run("schedule", "trigger", "clockwork", "-s", database_url)
    assert (ran.code, ran.out) == (1, "")
    assert "Traceback" not in ran.err
    assert run_sql(database_url, "select count(*) from workflow_status where name = 'tick'") == [(0,)]
    place.assert_untouched("schedule trigger")
