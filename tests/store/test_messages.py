"""Messages in the database: in order, once per id, and taken in one commit with the step that received them."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from dbos.store.database import StoreSettings
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import checkpoint, message, receive, sent, start
from tests.store.test_fencing import waits_for_a_row
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually


@pytest.fixture
def mailbox(store: Store) -> Store:
    """Two workflows that can send and receive."""
    store.journal.write([start("w"), start("other")])
    return store


def take(store: Store, step_id: int, topic: str = "", workflow_id: str = "w", epoch: int = 1) -> Any:
    (result,) = store.journal.write([receive(workflow_id, step_id, topic, epoch)])
    return None if result is None else result[0]


def waiting(database_url: str) -> list[str]:
    rows = run_sql(database_url, "select message from notifications where not consumed order by sequence")
    return [row[0] for row in rows]


# ------------------------------------------------------------ sending


def test_a_message_needs_a_destination(mailbox: Store, database_url: str) -> None:
    results = mailbox.journal.write([message("nobody"), message("w", '"a"'), message("nobody else")])
    assert results == [None, (), None]
    assert waiting(database_url) == ['"a"']
    assert mailbox.messages.arrived("nobody", "x") == (False, False)


def test_a_message_of_the_same_id_arrives_once_per_destination(mailbox: Store, database_url: str) -> None:
    first, again, elsewhere = (
        message(to, text, message_id="key") for to, text in (("w", "1"), ("w", "2"), ("other", "3"))
    )
    assert mailbox.journal.write([first]) == [()]
    assert mailbox.journal.write([again]) == [None]
    assert mailbox.messages.arrived("w", "key") == (True, True)
    assert mailbox.messages.arrived("other", "key") == (True, False)
    assert mailbox.journal.write([again, elsewhere]) == [None, ()]
    assert waiting(database_url) == ["1", "3"]


def test_equal_ids_in_one_batch_arrive_once(mailbox: Store, database_url: str) -> None:
    results = mailbox.journal.write([message("w", str(n), message_id="key") for n in range(3)])
    assert results == [(), None, None]
    assert waiting(database_url) == ["0"]


def test_a_batch_keeps_its_order(mailbox: Store) -> None:
    mailbox.journal.write([message(("w", "other")[n % 2], str(n), topic=f"t{n % 3}") for n in range(300)])
    for topic in range(3):
        expected = [str(n) for n in range(300) if n % 3 == topic and n % 2 == 0]
        assert [take(mailbox, topic * 1000 + n, f"t{topic}") for n in range(len(expected))] == expected
        assert take(mailbox, topic * 1000 + 999, f"t{topic}") is None


def test_the_step_of_a_send_is_recorded_only_with_its_message(mailbox: Store) -> None:
    mailbox.journal.write([message("w"), message("other")])
    lost, found = message("nobody"), message("w")
    assert mailbox.journal.write([lost, sent("other", 1, lost)]) == [None, None]
    assert mailbox.journal.write([sent("other", 1, found), found]) == [(), ()]
    assert mailbox.journal.write([found, sent("other", 1, found)]) == [None, None]
    assert mailbox.journal.write([sent("other", 2, found, epoch=2)]) == [None]
    (step,) = mailbox.steps.list("other")
    assert (step.function_id, step.function_name, step.output, step.serialization) == (1, "DBOS.send", "null", "json")


def test_who_receives_a_message_to_a_workflow_and_its_forks(mailbox: Store, database_url: str) -> None:
    mailbox.journal.write([start("fork"), start("fork of fork"), start("fork of other")])
    for fork, origin in (("fork", "w"), ("fork of fork", "fork"), ("fork of other", "other")):
        run_sql(database_url, "update workflow_status set forked_from = ? where workflow_uuid = ?", origin, fork)
    assert mailbox.messages.recipients(["w", "nobody"], with_forks=False) == {"w": ["w"]}
    found = mailbox.messages.recipients(["w", "nobody"], with_forks=True)
    assert {root: sorted(ids) for root, ids in found.items()} == {"w": ["fork", "fork of fork", "w"]}


# ------------------------------------------------------------ receiving


def test_the_oldest_message_is_taken_once_whatever_the_clock_said(mailbox: Store, database_url: str) -> None:
    for n in range(3):
        mailbox.journal.write([message("w", str(n))])
        run_sql(database_url, "update notifications set created_at_epoch_ms = ? where message = ?", 1000 - n, str(n))
    assert [take(mailbox, step) for step in (1, 2, 3, 4)] == ["0", "1", "2", None]
    rows = run_sql(database_url, "select consumed, consumed_by_function_id from notifications order by sequence")
    assert [(bool(consumed), step) for consumed, step in rows] == [(True, 1), (True, 2), (True, 3)]
    assert [step.output for step in mailbox.steps.list("w")] == ["0", "1", "2"]


def test_topics_and_workflows_have_mailboxes_of_their_own(mailbox: Store) -> None:
    mailbox.journal.write([message("w", "1", "t"), message("other", "2", "t"), message("w", "3")])
    assert take(mailbox, 1, "u") is None
    assert take(mailbox, 1, "") == "3"
    assert take(mailbox, 2, "t") == "1"
    assert take(mailbox, 3, "t") is None
    assert take(mailbox, 1, "t", "other") == "2"
    boxes = ['["w", "t"]', '["other", "t"]', '["w", ""]', '["nobody", "\\u00e9\\"\\\\"]']
    assert mailbox.messages.with_messages(boxes) == []
    mailbox.journal.write([message("w"), message("other", topic="t")])
    assert sorted(mailbox.messages.with_messages(boxes)) == ['["other", "t"]', '["w", ""]']


def test_a_step_that_is_recorded_takes_no_second_message(mailbox: Store, database_url: str) -> None:
    mailbox.journal.write([message("w", "1"), message("w", "2")])
    assert take(mailbox, 1) == "1"
    assert take(mailbox, 1) == "1"  # told again: the reply may have been lost
    assert waiting(database_url) == ["2"]
    mailbox.journal.write([checkpoint("w", 2, output="null")])  # the wait was over, and recorded as such
    assert take(mailbox, 2) == "null"
    assert waiting(database_url) == ["2"]


def test_whoever_lost_the_workflow_takes_nothing(mailbox: Store, database_url: str) -> None:
    mailbox.journal.write([message("w", "1"), message("w", "2")])
    assert take(mailbox, 1) == "1"
    run_sql(database_url, "update workflow_status set epoch = 2 where workflow_uuid = 'w'")
    assert take(mailbox, 1) == "1"  # its own
    assert take(mailbox, 2) is None
    assert waiting(database_url) == ["2"]
    assert take(mailbox, 1, epoch=2) is None  # recorded by the attempt before: its history says so
    assert take(mailbox, 2, epoch=2) == "2"


def test_a_batch_of_receivers(mailbox: Store) -> None:
    mailbox.journal.write([start(f"r{n}") for n in range(50)])
    mailbox.journal.write([message(f"r{n}", str(n), "t") for n in range(0, 50, 2)])
    results = mailbox.journal.write([receive(f"r{n}", 1, "t") for n in range(50)])
    assert results == [(str(n), "json") if n % 2 == 0 else None for n in range(50)]


def test_a_message_and_its_receiver_in_one_batch(mailbox: Store) -> None:
    results = mailbox.journal.write([receive("w", 1), message("w", "1"), message("w", "2"), receive("w", 2)])
    assert results == [("1", "json"), (), (), ("2", "json")]


def test_a_finished_workflow_takes_messages_and_receives_none(mailbox: Store, database_url: str) -> None:
    run_sql(database_url, "update workflow_status set completed_at = 1, status = 'SUCCESS' where workflow_uuid = 'w'")
    assert mailbox.journal.write([message("w", "1")]) == [()]
    assert take(mailbox, 1) is None


# ------------------------------------------------------------ at the same time (Postgres: SQLite has one writer)


def raw(store: Store, connection: psycopg.Connection[Any], record: Any) -> int:
    """Run the statement of a record in a transaction that the test holds open. How many rows did it write?"""
    statement = store._pool.database.statements[type(record).__name__]
    return psycopg.RawCursor(connection).execute(statement.sql, statement.values(record._asdict())).rowcount


def test_a_second_run_of_a_receive_whose_first_is_still_under_way_takes_nothing(postgres_url: str) -> None:
    """The reply was lost while the server is still committing, and the journal tries again on another connection."""
    with Store.open(StoreSettings(url=postgres_url)) as store, psycopg.connect(postgres_url) as first:
        store.journal.write([start("w"), message("w", "1"), message("w", "2")])
        assert raw(store, first, receive("w", 1)) == 1
        results: list[Any] = []
        second = threading.Thread(target=lambda: results.append(take(store, 1)))
        second.start()
        eventually(lambda: waits_for_a_row(postgres_url))
        first.commit()
        second.join()
        assert results == [None]
        assert take(store, 1) == "1"
        assert waiting(postgres_url) == ["2"]


def test_numbers_that_commit_out_of_order_keep_the_order_of_each_sender(postgres_url: str) -> None:
    with Store.open(StoreSettings(url=postgres_url)) as store, psycopg.connect(postgres_url) as slow:
        store.journal.write([start("w")])
        raw(store, slow, message("w", '"slow 1"'))
        store.journal.write([message("w", '"quick 1"')])
        assert take(store, 1) == '"quick 1"'
        slow.commit()
        store.journal.write([message("w", '"quick 2"'), message("w", '"slow 2"')])
        assert [take(store, step) for step in (2, 3, 4)] == ['"slow 1"', '"quick 2"', '"slow 2"']


def test_a_destination_is_not_deleted_under_its_message(postgres_url: str) -> None:
    with Store.open(StoreSettings(url=postgres_url)) as store, psycopg.connect(postgres_url) as sender:
        store.journal.write([start("w")])
        raw(store, sender, message("w"))
        assert store.journal.write([checkpoint("w", 1)]) == [()]  # everything but a deletion passes
        deletion = "delete from workflow_status where workflow_uuid = 'w'"
        deleter = threading.Thread(target=lambda: run_sql(postgres_url, deletion))
        deleter.start()
        eventually(lambda: waits_for_a_row(postgres_url))
        sender.commit()
        deleter.join()
        assert waiting(postgres_url) == ['"hello"']


def test_looking_for_a_message_that_is_not_there_locks_nothing(postgres_url: str) -> None:
    with Store.open(StoreSettings(url=postgres_url)) as store, psycopg.connect(postgres_url) as busy:
        store.journal.write([start("w")])
        busy.execute("select 1 from dbos.workflow_status where workflow_uuid = 'w' for update")
        assert take(store, 1) is None


def test_two_processes_send_to_each_other_all_the_time(open_store: OpenStore) -> None:
    """Both lock their own workflow and look at the other's: no deadlock, nothing lost, everything in order."""
    first, second = open_store(), open_store()
    first.journal.write([start("a")])
    second.journal.write([start("b")])
    rounds = 60

    def run(store: Store, own: str, other: str) -> None:
        for n in range(rounds):
            letter = message(other, str(n), "t", guard=(own, 1))
            assert store.journal.write([letter, sent(own, 2 * n, letter), receive(own, 2 * n + 1, "t")])[:2] == [(), ()]

    threads = [threading.Thread(target=run, args=each) for each in ((first, "a", "b"), (second, "b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store, own in ((first, "a"), (second, "b")):
        rest = [take(store, 10_000 + n, "t", own) for n in range(rounds)]
        steps = [
            step.output
            for step in store.steps.list(own)
            if step.function_name == "DBOS.recv" and step.function_id < 10_000
        ]
        assert steps + [text for text in rest if text is not None] == [str(n) for n in range(rounds)]
