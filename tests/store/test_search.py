"""Listings: every filter by itself, in order, in pages, and never with what users pass inside the SQL."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbos.error import DBOSQueryTimeoutError
from dbos.model.workflow import FINISHED, Status
from dbos.store.forking import Fork
from dbos.store.search import WorkflowFilter, end_of_prefix
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import attributes, finish, start
from tests.support.raw_sql import Sql, run_sql

ROWS = [
    start("a-1", authenticated_user="alice"),
    start("a-2", name="other", application_version="v2"),
    start("b_1", status="ENQUEUED", queue_name="q", executor_id="e9"),
    start("b%1", parent_workflow_id="a-1", application_name=None),
    start("B\\1", application_name="other"),
    start("done"),
]
EVERY = [row.workflow_id for row in ROWS]


@pytest.fixture
def rows(store: Store) -> Store:
    for row in ROWS:
        store.journal.write([row])
    store.journal.write([finish("done")])
    return store


@pytest.fixture
def lives(store: Store, database_url: str) -> Store:
    """Workflows that were forked, dequeued, finished, and that have attributes."""
    store.journal.write([start(each, status="ENQUEUED", queue_name="q") for each in ("x", "y", "z")])
    store.workflows.fork([Fork("x", 1, workflow_id="f", token="t")])
    store.journal.write([start("child", parent_workflow_id="x")])
    texts = {"x": '{"a": 1, "n": {"deep": [1, {"k": true}]}}', "y": "{}", "z": '{"a": true, "b": "text"}'}
    store.journal.write([attributes(workflow_id, text) for workflow_id, text in texts.items()])
    for workflow_id, time in (("x", 1000), ("y", 2000), ("child", 3000)):
        sql = "update workflow_status set started_at_epoch_ms = ?, completed_at = ? where workflow_uuid = ?"
        run_sql(database_url, sql, time, time + 500, workflow_id)
    return store


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"completed_after_ms": 1500}, ["x", "y", "child"]),
        ({"completed_after_ms": 1501}, ["y", "child"]),
        ({"completed_before_ms": 1500}, ["x"]),
        ({"completed_after_ms": 2500, "completed_before_ms": 2500}, ["y"]),
        ({"dequeued_after_ms": 1000}, ["x", "y"]),
        ({"dequeued_after_ms": 1001, "dequeued_before_ms": 5000}, ["y"]),
        ({"dequeued_before_ms": 1000}, ["x"]),
        ({"was_forked_from": True}, ["x"]),
        ({"was_forked_from": False}, ["y", "z", "f", "child"]),
        ({"is_fork": True}, ["f"]),
        ({"is_fork": False}, ["x", "y", "z", "child"]),
        ({"forked_from": ("x",)}, ["f"]),
        ({"has_parent": True}, ["child"]),
        ({"has_parent": False}, ["x", "y", "z", "f"]),
        ({"attributes": "{}"}, ["x", "y", "z"]),
        ({"attributes": '{"a": 1}'}, ["x"]),
        ({"attributes": '{"a": 1.0}'}, ["x"]),
        ({"attributes": '{"a": true}'}, ["z"]),
        ({"attributes": '{"a": true, "b": "text"}'}, ["z"]),
        ({"attributes": '{"b": "tex"}'}, []),
        ({"attributes": '{"n": {}}'}, ["x"]),
        ({"attributes": '{"n": {"deep": [{"k": true}]}}'}, ["x"]),
        ({"attributes": '{"n": {"deep": []}}'}, ["x"]),
        ({"attributes": '{"n": {"deep": 1}}'}, []),
        ({"attributes": '{"n": null}'}, []),
    ],
)
def test_filters_of_what_became_of_workflows(lives: Store, wanted: dict[str, Any], found: list[str]) -> None:
    assert [row.workflow_uuid for row in lives.workflows.search(WorkflowFilter(**wanted))] == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, EVERY),
        ({"workflow_ids": ("done", "a-1", "nobody")}, ["a-1", "done"]),
        ({"workflow_ids": ()}, EVERY),
        ({"status": ("ENQUEUED", "SUCCESS")}, ["b_1", "done"]),
        ({"status": ("no such status",)}, []),
        ({"name": ("other",)}, ["a-2"]),
        ({"name": ("other", *"more than a few")}, ["a-2"]),
        ({"app_version": ("v2",)}, ["a-2"]),
        ({"user": ("alice", "bob")}, ["a-1"]),
        ({"parent_workflow_id": ("a-1",)}, ["b%1"]),
        ({"queue_name": ("q",)}, ["b_1"]),
        ({"queues_only": True}, ["b_1"]),
        ({"executor_id": ("e9",)}, ["b_1"]),
        ({"forked_from": ("a-1",)}, []),
        ({"application_name": ("other",)}, ["B\\1"]),
        ({"application_name": ("app", None)}, ["a-1", "a-2", "b_1", "b%1", "done"]),
        ({"application_name": (None,)}, ["b%1"]),
        ({"workflow_id_prefix": ("a-",)}, ["a-1", "a-2"]),
        ({"workflow_id_prefix": ("b_", "d")}, ["b_1", "done"]),
        ({"workflow_id_prefix": ("b%",)}, ["b%1"]),
        ({"workflow_id_prefix": ("B\\",)}, ["B\\1"]),
        ({"workflow_id_prefix": ("%",)}, []),
        ({"workflow_id_prefix": ("A",)}, []),
        ({"workflow_id_prefix": ("", "A")}, EVERY),
        ({"limit": 2}, EVERY[:2]),
        ({"limit": 2, "offset": 1}, EVERY[1:3]),
        ({"offset": 4}, EVERY[4:]),
        ({"limit": 0}, []),
        ({"sort_desc": True}, EVERY[::-1]),
        ({"sort_desc": True, "limit": 1, "status": ("PENDING",)}, ["B\\1"]),
        ({"start_time_ms": 2**50}, []),
        ({"end_time_ms": 2**50}, EVERY),
        ({"end_time_ms": 1}, []),
    ],
)
def test_filters(rows: Store, wanted: dict[str, Any], found: list[str]) -> None:
    assert [row.workflow_uuid for row in rows.workflows.search(WorkflowFilter(**wanted))] == found


def test_any_statuses_together_in_either_order(store: Store, database_url: str) -> None:
    """However many ways into the table it takes: nothing is left out, listed twice or out of order."""
    statuses = {f"{queue}-{status}": status for status in Status for queue in "qr"}
    store.journal.write([start(each, status="ENQUEUED", queue_name=each[0]) for each in statuses])
    with Sql(database_url) as sql:
        for each, status in statuses.items():
            ended = 1 if status in FINISHED else None
            sql("update workflow_status set status = ?, completed_at = ? where workflow_uuid = ?", status, ended, each)
    for chosen in [*combinations(Status, 1), *combinations(Status, 2), tuple(Status)]:
        expected = [each for each, status in statuses.items() if status in chosen]
        for queues in (("q",), ("q", "r"), None):
            of_queue = [each for each in expected if queues is None or each[0] in queues]
            wanted = WorkflowFilter(status=chosen, queue_name=queues)
            assert listed(store, wanted) == of_queue
            assert listed(store, wanted._replace(sort_desc=True, limit=2)) == of_queue[::-1][:2]
            assert listed(store, wanted._replace(offset=1)) == of_queue[1:]


def listed(store: Store, wanted: WorkflowFilter) -> list[str]:
    return [row.workflow_uuid for row in store.workflows.search(wanted)]


def test_times_are_inclusive(rows: Store) -> None:
    created = {each: row.created_at for each, row in rows.workflows.load_many(EVERY).items()}
    moment = created["b_1"]
    wanted = WorkflowFilter(start_time_ms=moment, end_time_ms=moment)
    assert [row.workflow_uuid for row in rows.workflows.search(wanted)] == [
        each for each in EVERY if created[each] == moment
    ]


def test_payloads_only_as_wanted(rows: Store) -> None:
    (row,) = rows.workflows.search(WorkflowFilter(workflow_ids=("done",)))
    assert (row.inputs is not None, row.output) == (True, '"done"')
    (row,) = rows.workflows.search(WorkflowFilter(workflow_ids=("done",), load_input=False, load_output=False))
    assert (row.inputs, row.output, row.error) == (None, None, None)
    assert row.status == "SUCCESS"


@pytest.mark.parametrize(
    "hostile", ["' or 1=1 --", '"; drop table workflow_status', ":limit", "{each:ids}", "$1", "?", "%s"]
)
def test_values_stay_values(rows: Store, hostile: str) -> None:
    for field in ("workflow_ids", "status", "name", "user", "application_name", "workflow_id_prefix"):
        assert rows.workflows.search(WorkflowFilter(**{field: (hostile,)})) == []
    assert len(rows.workflows.search(WorkflowFilter())) == len(ROWS)


CHARACTERS = st.text(alphabet=st.sampled_from("a\ud7ff\ue000\U0010ffff%_\\'"), max_size=4)


@given(prefix=CHARACTERS, text=CHARACTERS)
def test_the_range_of_a_prefix(prefix: str, text: str) -> None:
    end = end_of_prefix(prefix)
    assert (prefix <= text and (end is None or text < end)) == text.startswith(prefix)
    assert (prefix.encode() <= text.encode()) == (prefix <= text)  # the databases compare the bytes of UTF-8


def test_a_slow_listing_gives_up(open_store: OpenStore, database_url: str) -> None:
    store = open_store(query_timeout_seconds=0.2)
    store.journal.write([start(f"w{n}") for n in range(2_000)])
    slow = "select count(*) from " + ", ".join(f"{{schema}}.workflow_status as {alias}" for alias in "abc")
    with pytest.raises(DBOSQueryTimeoutError):
        store._pool.read_within(0.2, slow)
    assert len(store.workflows.search(WorkflowFilter(limit=1))) == 1  # the connection is as good as before
