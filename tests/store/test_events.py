"""Events in the database: the latest value, its history by step, and nothing from whoever lost the workflow."""

from __future__ import annotations

from typing import Any

import pytest

from dbos.store.store import Store
from tests.store.records import event, start
from tests.support.raw_sql import run_sql


@pytest.fixture
def publisher(store: Store) -> Store:
    store.journal.write([start("w"), start("other")])
    return store


def history(database_url: str) -> list[tuple[Any, ...]]:
    return run_sql(database_url, "select function_id, key, value from workflow_events_history order by 1, 2, 3")


def test_the_latest_value_counts_and_the_history_keeps_all(publisher: Store, database_url: str) -> None:
    for step, value in ((1, "1"), (3, "2"), (4, "3")):
        assert publisher.journal.write([*event("w", step, value)]) == [(), ()]
    publisher.journal.write([*event("w", 5, "x", key="other key"), *event("other", 1, "y")])
    assert publisher.events.all("w") == [("k", "3", "json"), ("other key", "x", "json")]
    assert publisher.events.all("nobody") == []
    assert history(database_url) == [(1, "k", "1"), (1, "k", "y"), (3, "k", "2"), (4, "k", "3"), (5, "other key", "x")]


def test_a_step_that_sets_an_event_twice_is_remembered_by_its_last_value(publisher: Store, database_url: str) -> None:
    publisher.journal.write([*event("w", 1, "1")])
    publisher.journal.write([*event("w", 1, "2")])
    assert publisher.events.all("w") == [("k", "2", "json")]
    assert history(database_url) == [(1, "k", "2")]


def test_values_set_in_one_batch_keep_their_order(publisher: Store, database_url: str) -> None:
    records = [record for step in range(1, 21) for record in event("w", step, str(step), key=f"k{step % 2}")]
    assert publisher.journal.write(records) == [()] * 40
    assert publisher.events.all("w") == [("k0", "20", "json"), ("k1", "19", "json")]
    assert len(history(database_url)) == 20


def test_whoever_lost_the_workflow_sets_nothing(publisher: Store, database_url: str) -> None:
    publisher.journal.write([*event("w", 1, "1")])
    run_sql(database_url, "update workflow_status set epoch = 2 where workflow_uuid = 'w'")
    assert publisher.journal.write([*event("w", 2, "2"), *event("w", 2, "3", epoch=2)]) == [None, None, (), ()]
    run_sql(database_url, "update workflow_status set completed_at = 1, status = 'SUCCESS' where workflow_uuid = 'w'")
    assert publisher.journal.write([*event("w", 3, "4", epoch=2)]) == [None, None]
    assert publisher.events.all("w") == [("k", "3", "json")]
    assert history(database_url) == [(1, "k", "1"), (2, "k", "3")]


def test_asking_for_many_events_at_once(publisher: Store) -> None:
    publisher.journal.write([*event("w", 1, "1"), *event("other", 1, "2", key='"\\ é')])
    asked = ['["w", "k"]', '["w", "nothing"]', '["other", "\\"\\\\ é"]', '["nobody", "k"]']
    assert publisher.events.values(asked) == {asked[0]: ("1", "json"), asked[2]: ("2", "json")}
    assert sorted(publisher.events.are_set(asked)) == sorted([asked[0], asked[2]])
    assert publisher.events.values([]) == {}
    assert publisher.events.are_set([]) == []
