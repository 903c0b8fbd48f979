"""api.md §19.1: workflows that plain SQL enqueues, and messages that it sends: by psql and by triggers."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from dbos import DBOS, Queue, SetWorkflowID, WorkflowSerializationFormat
from dbos.store.database import StoreSettings
from dbos.store.store import Store
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

PSQL = shutil.which("psql")
needs_psql = pytest.mark.skipif(PSQL is None and not os.environ.get("CI"), reason="there is no psql here")


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """These functions are those of Postgres."""
    return postgres_url


@pytest.fixture
def listening(database_url: str) -> Iterator[Store]:
    """Another process, as far as wake-ups go."""
    launched = Store.open(StoreSettings(url=database_url))
    yield launched
    launched.close()


def psql(url: str, command: str) -> str:
    """What psql says to a command; raises CalledProcessError with its complaint."""
    assert PSQL is not None
    answer = subprocess.run(
        [PSQL, "--no-psqlrc", "-At", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", command],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    if answer.returncode:
        raise psycopg.DatabaseError(answer.stderr)
    return answer.stdout.strip()


def define() -> Any:
    """A portable workflow that returns what it was given; the one that is returned here receives a message."""

    @DBOS.workflow(name="greet", serialization_type=WorkflowSerializationFormat.PORTABLE)
    def greet(*words: Any, **named: Any) -> Any:
        return [list(words), named, DBOS.authenticated_user]

    @DBOS.workflow(name="receive")
    def receive(topic: str | None = None) -> Any:
        return DBOS.recv(topic, timeout_seconds=50)

    Queue("q", polling_interval_sec=60)
    return receive


@needs_psql
def test_psql_enqueues_what_an_application_runs(launch: Launch, database_url: str) -> None:
    define()
    launch()
    made = psql(
        database_url,
        "select dbos.enqueue_workflow('greet', 'q', array['1', '\"two\"', '[3, null]']::json[], '{\"ä\": true}',"
        " authenticated_user => 'ann', authenticated_roles => '[\"admin\"]')",
    )
    assert DBOS.get_result(made) == [[1, "two", [3, None]], {"ä": True}, "ann"]
    status = DBOS.retrieve_workflow(made).get_status()
    assert status.input == {"args": (1, "two", [3, None]), "kwargs": {"ä": True}}
    assert (status.queue_name, status.authenticated_roles, status.priority) == ("q", ["admin"], 0)
    assert (status.application_name, status.app_version) == ("test-app", DBOS.application_version)
    assert psql(database_url, "select dbos.enqueue_workflow('greet', 'q', workflow_id => 'w')") == "w"
    assert DBOS.get_result("w") == [[], {}, None]
    again = "select dbos.enqueue_workflow('greet', 'q', array['9']::json[], workflow_id => 'w')"
    assert psql(database_url, again) == "w"
    assert DBOS.get_result("w") == [[], {}, None]


@needs_psql
def test_psql_sends_what_a_workflow_receives(launch: Launch, database_url: str) -> None:
    receive = define()
    launch()
    with SetWorkflowID("r"):
        handle = DBOS.start_workflow(receive, "t")
    psql(database_url, "select dbos.send_message('r', '{\"n\": [1, \"ä\"]}', 't', 'key')")
    assert handle.get_result() == {"n": [1, "ä"]}
    psql(database_url, "select dbos.send_message('r', '2', 't', 'key'), dbos.send_message('r', 'null')")
    sent = run_sql(database_url, "select topic, message, serialization from notifications order by sequence")
    assert sent == [("t", '{"n": [1, "ä"]}', "portable_json"), ("", "null", "portable_json")]
    with pytest.raises(psycopg.DatabaseError, match="DBOS non-existent workflow: nobody"):
        psql(database_url, "select dbos.send_message('nobody', '1')")


@needs_psql
def test_a_trigger_enqueues_with_the_row_or_not_at_all(launch: Launch, database_url: str) -> None:
    define()
    launch()
    run_sql(database_url, "create table public.orders (id int primary key, item text)")
    run_sql(
        database_url,
        "create function public.on_order() returns trigger language plpgsql as $$ begin"
        " perform dbos.enqueue_workflow('greet', 'q', array[to_json(new.item)], workflow_id => 'order-' || new.id);"
        " return null; end $$",
    )
    run_sql(
        database_url,
        "create trigger placed after insert on public.orders for each row execute function public.on_order()",
    )
    psql(database_url, "begin; insert into public.orders values (1, 'taken back'); rollback")
    psql(database_url, "insert into public.orders values (2, 'book')")
    assert DBOS.get_result("order-2") == [["book"], {}, None]
    assert DBOS.get_workflow_status("order-1") is None


def test_who_dies_before_the_commit_did_nothing_and_who_repeats_it_does_nothing_more(
    launch: Launch, database_url: str
) -> None:
    receive = define()
    launch()
    with SetWorkflowID("receiver"):
        receiver = DBOS.start_workflow(receive)
    calls = (
        "select dbos.enqueue_workflow('greet', 'q', array['1']::json[], workflow_id => 'once')",
        "select dbos.send_message('receiver', '\"hello\"', idempotency_key => 'key')",
    )
    address = database_url.replace("+psycopg", "")
    dies = psycopg.connect(address)
    for call in calls:
        dies.execute(call)  # type: ignore[call-overload]  # mypy wants a literal
    (session,) = dies.execute("select pg_backend_pid()").fetchone() or (None,)
    run_sql(database_url, "select pg_terminate_backend(?)", session)
    with pytest.raises(psycopg.DatabaseError):  # a pooler puts it in its own way
        dies.commit()
    dies.close()
    assert DBOS.get_workflow_status("once") is None
    assert run_sql(database_url, "select count(*) from notifications") == [(0,)]

    for _ in range(2):  # the second time because the reply of the commit was lost
        for call in calls:
            run_sql(database_url, call)
    assert DBOS.get_result("once") == [[1], {}, None]
    assert receiver.get_result() == "hello"
    assert run_sql(database_url, "select count(*) from notifications") == [(1,)]


@pytest.mark.own_session("there nobody is heard")
def test_the_commit_tells_the_listeners(launch: Launch, listening: Store, database_url: str) -> None:
    receive = define()
    launch(notification_listener_polling_interval_sec=60)
    with SetWorkflowID("r"):
        handle = DBOS.start_workflow(receive, "t\u00e4")
    hints = listening.hints
    heard: list[tuple[str, str]] = []
    hints.receive(0, 0)  # from here on it listens
    run_sql(database_url, "select dbos.enqueue_workflow('greet', 'nowhere')")
    eventually(lambda: heard.extend(hints.receive(1, 1)) or ("enqueued", "nowhere") in heard)
    run_sql(database_url, "select dbos.send_message('r', '1', 't\u00e4')")
    eventually(lambda: handle.get_status().status == "SUCCESS")
    assert handle.get_result() == 1


def test_every_option_has_its_column(launch: Launch, database_url: str) -> None:
    launch()
    run_sql(
        database_url,
        "select dbos.enqueue_workflow('K.run', 'elsewhere', class_name => 'K', config_name => 'one',"
        " workflow_id => 'w', app_version => 'v', timeout_ms => 5000, deadline_epoch_ms => 9999999999998,"
        " deduplication_id => 'd', priority => 7, delay_until_epoch_ms => 9999999999999,"
        " application_name => 'test-app')",
    )
    run_sql(
        database_url, "select dbos.enqueue_workflow('f', 'elsewhere', workflow_id => 'p', queue_partition_key => 'k')"
    )
    status = DBOS.retrieve_workflow("w").get_status()
    assert (status.status, status.name, status.class_name, status.config_name) == ("DELAYED", "K.run", "K", "one")
    assert (status.app_version, status.workflow_timeout_ms, status.workflow_deadline_epoch_ms) == (
        "v",
        5000,
        9999999999998,
    )
    assert (status.deduplication_id, status.priority, status.delay_until_epoch_ms) == ("d", 7, 9999999999999)
    assert (status.application_name, status.queue_name) == ("test-app", "elsewhere")
    assert DBOS.retrieve_workflow("p").get_status().queue_partition_key == "k"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("null, 'q'", "name of a workflow"),
        ("' ', 'q'", "name of a workflow"),
        ("'f', null", "name of a queue"),
        ("'f', 'q', workflow_id => ''", "1 to 512 bytes"),
        ("'f', 'q', workflow_id => repeat('x', 513)", "1 to 512 bytes"),
        ("'f', 'q', priority => 0", "Invalid priority 0"),
        ("'f', 'q', timeout_ms => -1", "Invalid workflow timeout"),
        ("'f', 'q', named_args => '[]'", "JSON object"),
        ("'f', 'q', authenticated_roles => '{}'", "JSON array"),
        ("'f', 'q', authenticated_roles => 'admin'", "invalid input syntax"),
        ("'f', 'q', deduplication_id => 'd', queue_partition_key => 'p'", "not supported for partitioned"),
        ("'f', 'q', deduplication_id => 'taken'", "DBOS queue duplicated"),
        ("'f', 'q', workflow_id => 'w'", "workflow of another function, g"),
    ],
)
def test_what_cannot_be_enqueued(launch: Launch, database_url: str, arguments: str, words: str) -> None:
    launch()
    run_sql(database_url, "select dbos.enqueue_workflow('g', 'q', workflow_id => 'w', deduplication_id => 'taken')")
    with pytest.raises(psycopg.DatabaseError, match=words):
        run_sql(database_url, f"select dbos.enqueue_workflow({arguments})")
    assert run_sql(database_url, "select count(*) from workflow_status") == [(1,)]


def test_the_id_of_a_deleted_workflow_goes_on_with_its_epochs(listening: Store, database_url: str) -> None:
    """Whoever ran that one may still be about to write."""
    enqueue = "select dbos.enqueue_workflow('greet', 'nowhere', workflow_id => 'w')"
    for epoch in (0, 1, 2):
        run_sql(database_url, enqueue)
        row = listening.workflows.load("w")
        assert row is not None
        assert row.epoch == epoch
        listening.workflows.delete(["w"], False)
