"""Wake-ups between processes: quick when they work, harmless when they are lost."""

from __future__ import annotations

import json
import logging
import threading
import time

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbos.store.database import StoreSettings
from dbos.store.hints import ANYTHING, Hint
from dbos.store.postgres import hints as postgres_hints
from dbos.store.postgres.notifier import MAX_GATHERED_HINTS, payloads
from dbos.store.store import Store
from tests.store.conftest import OpenStore
from tests.store.records import start
from tests.support.proxy import PostgresProxy
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

POLL_SECONDS = 0.005

HEARS = pytest.mark.own_session("there nobody is heard")


def receive_until(store: Store, wanted: set[Hint], timeout_seconds: float = 10) -> list[Hint]:
    received: list[Hint] = []
    deadline = time.monotonic() + timeout_seconds
    while not wanted & set(received) and time.monotonic() < deadline:
        received += store.hints.receive(0.5, POLL_SECONDS)
    return received


def listening(store: Store) -> Store:
    """From here on it hears of others."""
    assert store.hints.receive(0, POLL_SECONDS) == []
    return store


@HEARS
def test_another_process_is_told(open_store: OpenStore) -> None:
    listener, other = listening(open_store()), open_store()
    other.journal.write([start("w")])
    other.hints.publish("workflow", ["w", "x"])
    received = receive_until(listener, {("workflow", "w"), ANYTHING})
    assert received == ([ANYTHING] if listener.dialect == "sqlite" else [("workflow", "w"), ("workflow", "x")])


def test_nobody_hears_himself(store: Store) -> None:
    listening(store)
    store.journal.write([start("w")])
    store.workflows.cancel(["w"])
    store.hints.publish("workflow", ["w"])
    assert store.hints.receive(0.1, POLL_SECONDS) == []


def test_an_interrupt_returns_at_once(store: Store) -> None:
    listening(store)
    threading.Timer(0.05, store.hints.interrupt).start()
    began = time.monotonic()
    assert store.hints.receive(30, 10) == []
    store.hints.interrupt()
    assert store.hints.receive(30, 10) == []  # one that came before the wait counts for the next
    assert time.monotonic() - began < 10


@HEARS
def test_hints_for_which_there_is_no_thread_go_with_the_next(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, other = listening(open_store()), open_store()
    other.journal.write([start("w")])

    def start_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_thread)
        other.hints.publish("workflow", ["w"])
    other.hints.publish("workflow", ["x"])
    received = receive_until(listener, {("workflow", "w"), ANYTHING})
    assert received == ([ANYTHING] if listener.dialect == "sqlite" else [("workflow", "w"), ("workflow", "x")])


@HEARS
def test_closing_sends_what_is_due(open_store: OpenStore) -> None:
    listener, other = listening(open_store()), open_store()
    other.journal.write([start("w")])
    other.hints.publish("workflow", ["w"])
    other.close()
    assert receive_until(listener, {("workflow", "w"), ANYTHING})


def test_closing_returns_at_once(open_store: OpenStore) -> None:
    listener = listening(open_store())
    thread = threading.Thread(target=lambda: listener.hints.receive(30, 10))
    thread.start()
    began = time.monotonic()
    listener.close()
    thread.join()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("settings", [{"use_listen_notify": False}, {"pool_size": 1}])
def test_without_a_listener_one_waits_and_looks_for_oneself(postgres_url: str, settings: dict[str, object]) -> None:
    with Store.open(StoreSettings(url=postgres_url, **settings)) as store:
        began = time.monotonic()
        store.hints.publish("workflow", ["w"])
        assert store.hints.receive(0.05, POLL_SECONDS) == []
        assert time.monotonic() - began >= 0.05
        threading.Timer(0.05, store.hints.interrupt).start()
        assert store.hints.receive(30, POLL_SECONDS) == []
        assert time.monotonic() - began < 10


@HEARS
def test_a_lost_and_restored_listener_says_that_it_missed_something(postgres_url: str) -> None:
    with PostgresProxy(postgres_url) as proxy, Store.open(StoreSettings(url=proxy.url)) as store:
        listening(store)
        proxy.refuse()
        proxy.cut_now()
        assert store.hints.receive(0.2, POLL_SECONDS) == []  # lost, or not to be had again: no spinning
        proxy.heal()
        assert eventually(lambda: store.hints.receive(0.2, POLL_SECONDS)) == [ANYTHING]
        with Store.open(StoreSettings(url=postgres_url)) as other:
            other.hints.publish("workflow", ["w"])
            assert ("workflow", "w") in receive_until(store, {("workflow", "w")})


def test_notifications_that_do_not_arrive_are_told_of(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever hears nothing looks; where they may come yet, they are heard when they do."""
    monkeypatch.setattr(postgres_hints, "HEARING_SECONDS", 0.1)
    with (
        PostgresProxy(postgres_url) as proxy,
        Store.open(StoreSettings(url=proxy.url)) as store,
        caplog.at_level(logging.INFO, logger="dbos"),
    ):
        proxy.drop_notifications()
        eventually(lambda: store.hints.receive(0.05, POLL_SECONDS) or caplog.messages)
        proxy.heal()
        assert ["(poll)" in line for line in caplog.messages] == [True]


@HEARS
def test_hints_are_gathered(open_store: OpenStore, database_url: str) -> None:
    """A burst costs one transaction, or a few, and never one in the journal."""
    listener, other = listening(open_store()), open_store()
    if listener.dialect == "sqlite":
        return  # nothing is sent there
    queries = other.journal.counters.queries
    for n in range(300):
        other.hints.publish("workflow", [f"w{n}"])
    received = receive_until(listener, {("workflow", "w299")})
    while len(received) < 300:
        received += listener.hints.receive(5, POLL_SECONDS)
    assert received == [("workflow", f"w{n}") for n in range(300)]
    assert other.journal.counters.queries - queries < 100
    assert other.journal.counters.commits == 0


@HEARS
def test_a_flood_becomes_one_hint(postgres_url: str) -> None:
    with Store.open(StoreSettings(url=postgres_url)) as store, Store.open(StoreSettings(url=postgres_url)) as listener:
        listening(listener)
        for n in range(3):
            store.hints.publish("workflow", [f"{n}-{m}" for m in range(MAX_GATHERED_HINTS)])
        assert ANYTHING in receive_until(listener, {ANYTHING})


def test_an_outage_of_the_server_loses_hints_and_nothing_else(postgres_url: str) -> None:
    with PostgresProxy(postgres_url) as proxy, Store.open(StoreSettings(url=proxy.url)) as store:
        proxy.refuse()
        proxy.cut_now()
        began = time.monotonic()
        store.hints.publish("workflow", ["w"])
        assert time.monotonic() - began < 10  # never blocks: the outage lasts


@given(st.lists(st.tuples(st.sampled_from(["workflow", "cancelled"]), st.text(max_size=500)), max_size=60))
def test_payloads_carry_every_hint_and_fit(hints: list[Hint]) -> None:
    packed = list(payloads("s" * 32, hints))
    assert all(len(payload.encode()) < 8_000 for payload in packed)
    carried = [(kind, each) for _, kind, ids in map(json.loads, packed) for each in ids]
    assert sorted(carried) == sorted(hints)


@HEARS
def test_a_strangers_notification_is_ignored(postgres_url: str) -> None:
    with Store.open(StoreSettings(url=postgres_url)) as store, Store.open(StoreSettings(url=postgres_url)) as other:
        listening(store)
        with psycopg.connect(postgres_url, autocommit=True) as stranger:
            for text in ("", "no json", "[]", '{"a": 1}', "[1, 2, 3]", '["s", "workflow", [1]]'):
                stranger.execute("select pg_notify('dbos dbos', %s)", (text,))
        other.hints.publish("workflow", ["w"])
        assert ("workflow", "w") in receive_until(store, {("workflow", "w")})


def test_sqlite_notices_every_foreign_commit(sqlite_url: str) -> None:
    with Store.open(StoreSettings(url=sqlite_url)) as store:
        store.journal.write([start("w")])
        listening(store)
        run_sql(sqlite_url, "update workflow_status set updated_at = updated_at + 1")
        assert store.hints.receive(10, POLL_SECONDS) == [ANYTHING]
        assert store.hints.receive(0.05, POLL_SECONDS) == []
