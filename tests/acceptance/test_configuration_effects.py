"""api.md §2: what each configuration key does to a running application."""

import linecache
import logging
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dbos import DBOS, SetWorkflowID, error
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate


def test_without_a_url_the_name_names_a_file(launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    DBOS(config={"name": "my-small-app"})
    DBOS.launch()
    assert (tmp_path / "my_small_app.sqlite").exists()


def test_none_means_the_default(launch: Launch) -> None:
    launch(executor_id=None, application_version=None, serializer=None, log_level=None, sys_db_pool_size=None)
    assert DBOS.executor_id == "local"
    assert DBOS.application_version != ""


@pytest.mark.parametrize("config", ["my-app", 7, ["name"]])
def test_what_is_no_configuration_is_refused(config: Any) -> None:
    with pytest.raises(error.DBOSInitializationError, match="the configuration must be a dict"):
        DBOS(config=config)


def test_who_executes_is_recorded(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    @DBOS.workflow()
    def workflow() -> tuple[str, str]:
        return DBOS.executor_id, DBOS.application_version

    launch(executor_id="worker-7", application_version="v12")
    with SetWorkflowID("one"):
        assert workflow() == ("worker-7", "v12")
    status = DBOS.retrieve_workflow("one").get_status()
    assert (status.executor_id, status.app_version, status.application_name) == ("worker-7", "v12", "test-app")
    assert status.app_id == ""

    monkeypatch.setenv("DBOS__VMID", "vm-1")
    monkeypatch.setenv("DBOS__APPVERSION", "from-env")
    monkeypatch.setenv("DBOS__APPID", "app-9")
    launch()
    with SetWorkflowID("two"):
        assert workflow() == ("vm-1", "from-env")
    assert DBOS.retrieve_workflow("two").get_status().app_id == "app-9"
    launch(executor_id="worker-8", application_version="v13")
    assert (DBOS.executor_id, DBOS.application_version) == ("worker-8", "v13")


def test_the_version_follows_the_source_of_the_workflows(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    of_python_c = [
        "from application import *\n"
    ] * 9  # since 3.13 the file of what is compiled from a text has its lines
    monkeypatch.setitem(linecache.cache, "<string>", (1, None, of_python_c, "<string>"))

    def version_of(body: str, step: str = "pass") -> str:
        DBOS.destroy(destroy_registry=True)
        scope: dict[str, object] = {}
        exec(f"def workflow():\n    {body}\ndef step():\n    {step}", scope)
        DBOS.step()(scope["step"])  # type: ignore[arg-type]
        DBOS.workflow()(scope["workflow"])  # type: ignore[arg-type]
        launch()
        return DBOS.application_version

    one = version_of("return 1")
    assert one == version_of("return 1", step="print()"), "steps may change while workflows run"
    assert one != version_of("return len('other')")
    assert int(one, 16) >= 0


def test_a_pool_of_one_connection_is_enough(launch: Launch) -> None:
    @DBOS.workflow()
    def child(number: int) -> int:
        return number

    @DBOS.workflow()
    def parent() -> int:
        handles = [DBOS.start_workflow(child, number) for number in range(5)]
        return sum(handle.get_result() for handle in handles)

    launch(sys_db_pool_size=1)
    assert parent() == 10


def test_an_engine_of_the_user_is_used_and_left_alone(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> str:
        DBOS.sleep(0)
        return "done"

    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url)
    try:
        DBOS.destroy()
        DBOS(config={"name": "test-app", "system_database_engine": engine})
        DBOS.launch()
        assert workflow() == "done"
        DBOS.destroy()
        with engine.connect() as connection:
            assert connection.execute(sa.text("select 1")).scalar() == 1
    finally:
        engine.dispose()
    assert run_sql(database_url, "select status from workflow_status") == [("SUCCESS",)]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_the_schema_can_be_chosen(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> None: ...

    launch(dbos_system_schema="Mixed_case-1")
    workflow()
    assert len(DBOS.list_workflows()) == 1
    DBOS.destroy()
    assert run_sql(database_url, 'select status from "Mixed_case-1".workflow_status') == [("SUCCESS",)]
    DBOS.reset_system_database(system_database_url=database_url, schema="Mixed_case-1", truncate=True)
    assert run_sql(database_url, 'select status from "Mixed_case-1".workflow_status') == []


@pytest.mark.parametrize("use_listen_notify", [False, True])
def test_everything_works_without_notifications(launch: Launch, use_listen_notify: bool) -> None:
    @DBOS.workflow()
    def child() -> str:
        DBOS.sleep(0.05)
        return "child"

    @DBOS.workflow()
    def parent() -> str:
        return DBOS.start_workflow(child).get_result()

    launch(use_listen_notify=use_listen_notify, notification_listener_polling_interval_sec=0.05)
    with Gate() as gate:

        @DBOS.workflow()
        def cancelled() -> None:
            gate.pass_through()
            DBOS.sleep(0)

        assert parent() == "child"
        handle = DBOS.start_workflow(cancelled)
        gate.wait_for_arrival()
        DBOS.cancel_workflow(handle.workflow_id)
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    DBOS.resume_workflow(handle.workflow_id)
    assert handle.get_result() is None


def test_unknown_and_dormant_keys_are_named_once(launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    launch(colour="blue", conductor_key="key")
    texts = [record.getMessage() for record in caplog.records]
    assert [text for text in texts if "colour" in text] == ["Unknown configuration keys are ignored: colour"]
    (dormant,) = [text for text in texts if "conductor_key" in text]
    assert "no effect yet" in dormant


def test_the_log_level_is_that_of_the_logger(launch: Launch) -> None:
    before = logging.getLogger("dbos").level
    try:
        launch(log_level="ERROR")
        assert DBOS.logger.level == logging.ERROR
        assert DBOS.logger is logging.getLogger("dbos")
    finally:
        logging.getLogger("dbos").setLevel(before)
    DBOS.destroy()
    with pytest.raises(ValueError, match="LOUD"):
        DBOS(config={"name": "test-app", "log_level": "LOUD"})


def test_a_value_may_be_bounded_in_size(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def workflow(text: str) -> str:
        return text * 2

    launch(max_value_bytes=1000)
    with pytest.raises(error.DBOSSerializationError):
        workflow("x" * 1001)
    assert run_sql(database_url, "select count(*) from workflow_status") == [(0,)]
    with SetWorkflowID("large"), pytest.raises(error.DBOSSerializationError):
        workflow("x" * 600)
    assert DBOS.retrieve_workflow("large").get_status().status == "ERROR"
