"""Plans made at the worst moment: while the tables are empty, or on statistics from then. They must hold for ever.

A prepared statement keeps its plan. One that was right for an empty table and scans it, or that walks the index of all
pending workflows, costs a hundred times more once there are fifty thousand.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from dbos.store.database import Role, StoreSettings
from dbos.store.postgres.database import PostgresDatabase
from dbos.store.postgres.session import PostgresSession
from dbos.store.records import KINDS
from dbos.store.search import WorkflowFilter, query
from dbos.store.store import Store
from tests.store.records import stream_value
from tests.support.postgres import PostgresCluster
from tests.support.raw_sql import Sql, run_sql
from tests.support.waiting import eventually

pytestmark = pytest.mark.own_session("plans are those of a session of ours")

ROWS = 50_000

JOURNAL = [kind.__name__ + suffix for kind in KINDS for suffix in ("", "_many")]
BY_KEY = [
    "load_workflows", "standings", "lost", "ended", "children", "cancel", "cancel_one", "last_step",
    "lock_orphans", "take", "requeue", "lock_to_resume", "resume", "history", "recorded_step", "list_steps",
    "ended_steps", "forget_steps", "arrived", "recipients", "recipients_and_forks", "with_messages", "events",
    "events_set", "event_values", "stream_page", "reached", "stream_end", "written", "load_schedules",
    "lock_finished", "lock_to_rewind", "rewind", "forget_steps_from", "forget_event_history", "forget_events",
    "forget_stream_values", "renumber_streams", "settle_streams", "give_back_messages",
]  # fmt: skip
KEYS = {
    "workflow_status_pkey", "operation_outputs_pkey", "notifications_pkey", "notification_waiting",
    "workflow_events_pkey", "workflow_events_history_pkey", "streams_pkey", "stream_token", "workflow_debounced",
    "workflow_schedules_pkey", "workflow_schedules_schedule_id_key", "deleted_workflows_pkey",
}  # fmt: skip
BY_STATUS = {  # statement -> the partial index it goes by
    "claim": "workflow_enqueued",
    "expire": "workflow_deadline",
    "next_deadline": "workflow_deadline",
    "owned_by": "workflow_pending",
    "survey": "workflow_enqueued",
    "stuck": "workflow_enqueued",
    "unserved_queues": "workflow_enqueued",
    "promote_delayed": "workflow_delayed",
    "usage": "workflow_running",
    "claim_from_partitions": "workflow_partition",
    "lock_abandoned": "workflow_pending",
    "nth_newest": "workflow_created",
}


@pytest.fixture(params=["never analysed", "analysed while empty", "analysed with one row"], scope="module")
def grown(request: pytest.FixtureRequest, postgres: PostgresCluster) -> str:
    """A database that grew behind the planner's back: 50,000 running workflows with a step and a stream each.

    The tests only look at plans, so that they can share it.
    """
    postgres_url = postgres.create_database(f"grown {request.param}")
    Store.open(StoreSettings(url=postgres_url)).close()
    for table in ("workflow_status", "operation_outputs", "notifications", "workflow_events", "streams"):
        run_sql(postgres_url, f"alter table {table} set (autovacuum_enabled = off)")
    if request.param == "analysed with one row":
        insert_workflows(postgres_url, 0, 0)
    if request.param != "never analysed":
        run_sql(postgres_url, "vacuum analyze workflow_status, operation_outputs, notifications, streams")
    insert_workflows(postgres_url, 1, ROWS)
    run_sql(
        postgres_url,
        "insert into operation_outputs (workflow_uuid, function_id, function_name, epoch)"
        " select workflow_uuid, 1, 'step', 1 from workflow_status",
    )
    run_sql(
        postgres_url,
        "insert into notifications (destination_uuid, message_uuid, topic, message, created_at_epoch_ms)"
        " select workflow_uuid, 'm', '', '', 0 from workflow_status",
    )
    run_sql(
        postgres_url,
        'insert into streams (workflow_uuid, key, "offset", value, function_id, epoch, written_at_ms)'
        " select workflow_uuid, 's', 0, '1', 1, 1, 0 from workflow_status",
    )
    return postgres_url


def insert_workflows(url: str, first: int, last: int) -> None:
    run_sql(
        url,
        "insert into workflow_status (workflow_uuid, status, epoch, name, created_at, updated_at, executor_instance)"
        f" select 'w' || n, 'PENDING', 1, 'f', 0, 0, 'here' from generate_series({first}, {last}) as n",
    )


def plan_of(url: str, name: str, role: Role) -> str:
    """The generic plan, as a session of ours would make it."""
    database = PostgresDatabase(StoreSettings(url=url))
    statement = database.statements[name]
    session = database.connect(role)
    try:
        connection = session._connection
        connection.execute("set plan_cache_mode = force_generic_plan")
        connection.execute(f"prepare planned as {statement.sql}".encode())
        nulls = ", ".join(["null"] * len(statement.parameters))
        execute = f"explain (costs off) execute planned{f'({nulls})' if nulls else ''}"
        return "\n".join(row[0] for row in connection.execute(execute.encode()))
    finally:
        session.close()


def relations_scanned(plan: str) -> set[str]:
    return set(re.findall(r"Seq Scan on (\w+)", plan))


def indexes_used(plan: str) -> set[str]:
    plain = re.findall(r"Index (?:Only )?Scan (?:Backward )?using (\w+)", plan)
    return {*plain, *re.findall(r"Bitmap Index Scan on (\w+)", plan)}


def test_hot_statements_go_by_primary_key_whatever_the_planner_believes(grown: str) -> None:
    for name in JOURNAL:
        plan = plan_of(grown, name, Role.WRITER)
        assert not relations_scanned(plan), f"{name}:\n{plan}"
        assert indexes_used(plan) <= KEYS, f"{name}:\n{plan}"
    for name in BY_KEY:
        plan = plan_of(grown, name, Role.READER)
        assert not relations_scanned(plan), f"{name}:\n{plan}"
        assert indexes_used(plan) <= KEYS | {"workflow_parent", "workflow_forks"}, f"{name}:\n{plan}"


@pytest.mark.parametrize("own", [True, False], ids=["own session", "pooler's session"])
def test_a_function_planned_while_tables_were_empty_goes_by_keys(postgres_url: str, own: bool) -> None:
    """What a function does inside shows in no plan of its caller's; but the server counts how tables are read."""
    Store.open(StoreSettings(url=postgres_url)).close()
    for table in STREAM_TABLES:
        run_sql(postgres_url, f"alter table {table} set (autovacuum_enabled = off)")
    run_sql(postgres_url, f"vacuum analyze {', '.join(STREAM_TABLES)}")
    insert_workflows(postgres_url, 0, 0)
    database = PostgresDatabase(StoreSettings(url=postgres_url))
    with ExitStack() as stack:
        if own:
            session = database.connect(Role.WRITER)
        else:
            session = database.borrow(stack.enter_context(psycopg.connect(postgres_url, autocommit=True)))
        assert session._connection.execute("show enable_seqscan").fetchone() == ("off" if own else "on",)
        write_values(session, range(20))
        insert_workflows(postgres_url, 1, 2_000)
        run_sql(
            postgres_url,
            'insert into streams (workflow_uuid, key, "offset", value, function_id, epoch, written_at_ms)'
            " select workflow_uuid, 's', 0, '1', 1, 1, 0 from workflow_status where workflow_uuid <> 'w0'",
        )
        scanned, by_index = reads(postgres_url, session)
        write_values(session, range(20, 40))
        scanned_since, by_index_since = reads(postgres_url, session)
        session.close()
    assert scanned_since == scanned
    assert all(
        by_index_since[table] > by_index[table] for table in ("workflow_status", "streams")
    )  # steps: only inserted


STREAM_TABLES = ("workflow_status", "operation_outputs", "streams")


def write_values(session: PostgresSession, steps: range) -> None:
    """Alone and many together, from the body of workflow `w0` and from inside a step."""
    for step in steps[::4]:
        alone = [stream_value("w0", step)], [stream_value("w0", step + 1, token=f"inside {step + 1}")]
        together = [stream_value("w0", step + 2), stream_value("w0", step + 3)]
        for batch in (*alone, together):
            assert session.write_batch(batch) == ([()] * len(batch), 1)


def reads(url: str, session: PostgresSession) -> tuple[dict[str, int], dict[str, int]]:
    """How often each table was read as a whole and by an index, everything included that the session did.

    And all that others did who had closed their connections: their servers count it on the way out.
    """
    pid = session._connection.execute("select pg_backend_pid(), pg_stat_force_next_flush()").fetchone()[0]
    session._connection.execute("select 1")
    with Sql(url) as sql:
        eventually(lambda: not sql(OTHERS, pid))
        rows = sql("select relname, seq_scan, idx_scan from pg_stat_user_tables where schemaname = 'dbos'")
    return {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows}  # type: ignore[misc]


OTHERS = (
    "select 1 from pg_stat_activity"
    " where datname = current_database() and backend_type = 'client backend' and pid not in (pg_backend_pid(), ?)"
)


SMALL = {"executors", "queues", "queue_starts", "application_versions"}  # however much there is to do


def test_sweeps_go_by_the_index_of_what_is_active(grown: str) -> None:
    for name, index in BY_STATUS.items():
        plan = plan_of(grown, name, Role.READER)
        assert relations_scanned(plan) <= SMALL, f"{name}:\n{plan}"
        assert index in indexes_used(plan), f"{name}:\n{plan}"


def test_those_who_watch_and_wonder_read_indexes(grown: str) -> None:
    active = {"workflow_enqueued", "workflow_running"}
    for name, indexes in (("loads", active), ("circumstances", active | {"workflow_status_pkey"})):
        plan = plan_of(grown, name, Role.READER)
        assert relations_scanned(plan) <= SMALL, plan
        assert indexes_used(plan) - {"application_version_name"} == indexes, plan


def test_partitions_are_walked_by_their_own_index(grown: str) -> None:
    """The index of the whole queue would do as well, and read everything that waits at each step."""
    plan = plan_of(grown, "claim_from_partitions", Role.READER)
    assert "workflow_enqueued" not in indexes_used(plan), plan
    assert "Sort Key: w.queue_partition_key" not in plan, plan


def test_retention_looks_at_no_more_than_its_page(grown: str) -> None:
    """In order of creation, and for each workflow by the indexes of those it may be needed by."""
    plan = plan_of(grown, "old_workflows", Role.READER)
    assert not relations_scanned(plan), plan
    needed = {"workflow_created", "workflow_status_pkey", "workflow_parent", "workflow_forks", "operation_child"}
    assert indexes_used(plan) <= needed, plan
    assert "workflow_created" in indexes_used(plan), plan


RARE = [
    ({"status": ("ERROR",)}, {"workflow_failed"}),
    ({"status": ("CANCELLED", "ERROR")}, {"workflow_failed"}),
    ({"status": ("ENQUEUED",)}, {"workflow_enqueued", "workflow_partition"}),
    ({"status": ("DELAYED",)}, {"workflow_delayed"}),
    ({"status": ("PENDING", "ENQUEUED", "DELAYED", "ERROR"), "sort_desc": True}, {"workflow_delayed"}),
    ({"was_forked_from": True}, {"workflow_origins"}),
    ({"is_fork": True}, {"workflow_forks"}),
    ({"has_parent": True}, {"workflow_parent"}),
    *(
        ({field: ("rare",)}, {"workflow_traits"})
        for field in ("name", "app_version", "executor_id", "application_name")
    ),
    ({"user": ("rare",)}, {"workflow_users"}),
    ({"queue_name": ("rare",)}, {"workflow_queues"}),
    ({"schedule_name": ("rare",)}, {"workflow_schedule_names"}),
    ({"application_name": ("rare", None)}, {"workflow_traits"}),
]


def test_what_is_rare_in_a_history_is_listed_by_an_index(postgres_url: str) -> None:
    Store.open(StoreSettings(url=postgres_url)).close()
    run_sql(
        postgres_url,
        "insert into workflow_status (workflow_uuid, status, epoch, name, application_name, application_version,"
        " authenticated_user, executor_id, queue_name, schedule_name, created_at, updated_at, completed_at)"
        " select 'w' || n, 'SUCCESS', 1, 'f', 'app', '1', 'bob', 'here', 'q', 's', n, n, n"
        " from generate_series(1, 20000) as n",
    )
    run_sql(postgres_url, "vacuum analyze workflow_status")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for wanted, indexes in RARE:
            plan = plan_of_listing(connection, postgres_url, WorkflowFilter(**wanted, limit=100))
            assert not relations_scanned(plan), f"{wanted}:\n{plan}"
            assert indexes_used(plan) & indexes, f"{wanted}:\n{plan}"


def test_what_is_on_its_way_is_not_looked_for_in_the_history(postgres_url: str) -> None:
    """A tenth of all, and the newest: the order of creation, which looks cheap, would lead through all the rest."""
    Store.open(StoreSettings(url=postgres_url)).close()
    insert_workflows(postgres_url, 18_001, 20_000)
    run_sql(
        postgres_url,
        "insert into workflow_status (workflow_uuid, status, epoch, name, created_at, updated_at)"
        " select 'w' || n, 'SUCCESS', 1, 'f', -1, 0 from generate_series(1, 18000) as n",
    )
    run_sql(postgres_url, "vacuum analyze workflow_status")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        plan = plan_of_listing(connection, postgres_url, WorkflowFilter(status=("PENDING",), limit=100))
        assert indexes_used(plan) <= {"workflow_pending", "workflow_running"}, plan
        plan = plan_of_listing(connection, postgres_url, WorkflowFilter(status=("SUCCESS",), limit=100))
        assert indexes_used(plan) == {"workflow_created"}, plan


def plan_of_listing(connection: psycopg.Connection[Any], url: str, wanted: WorkflowFilter) -> str:
    text, values = query(wanted, unites_indexes=PostgresDatabase.unites_indexes)
    statement = PostgresDatabase(StoreSettings(url=url)).statements.compose("", text)
    with psycopg.RawCursor(connection) as cursor:
        cursor.execute(f"explain (costs off) {statement.sql}".encode(), statement.values(values))
        return "\n".join(row[0] for row in cursor)
