"""Executors: leases on the database's clock that end by themselves, by word, or by declaration, and never come back."""

from __future__ import annotations

from dbos.store.store import Store
from tests.store.records import owner, start
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually


def register(store: Store, instance: str, lease_seconds: float = 30, host: str = "host") -> None:
    store.executors.register(owner(instance), host, 7, "boot", lease_seconds)


def instances(database_url: str) -> list[str]:
    return [row[0] for row in run_sql(database_url, "select instance_id from executors order by 1")]


def test_a_lease_lasts_while_it_is_renewed(store: Store) -> None:
    register(store, "a")
    assert store.executors.renew("a", 30)
    assert store.executors.look_around("host")[0] == [("a", 7, "boot")]
    assert store.executors.look_around("elsewhere")[0] == []
    assert not store.executors.renew("nobody", 30)


def test_a_lease_ends_by_itself_for_good(store: Store) -> None:
    register(store, "a", lease_seconds=0.05)
    eventually(lambda: store.executors.look_around("host")[0] == [])
    assert not store.executors.renew("a", 30)  # its workflows may be another's by now: it has to register again
    register(store, "a")
    assert store.executors.renew("a", 30)


def test_a_declared_death_and_a_graceful_end(store: Store) -> None:
    for instance in ("a", "b", "c"):
        register(store, instance)
    store.executors.retire("a")
    store.executors.declare_dead(["b", "nobody"])
    store.executors.declare_dead([])
    assert [row[0] for row in store.executors.look_around("host")[0]] == ["c"]
    assert not store.executors.renew("a", 30)
    assert not store.executors.renew("b", 30)


def test_pruning_keeps_what_pending_workflows_refer_to(store: Store, database_url: str) -> None:
    for instance in ("alive", "ended", "old", "old with work"):
        register(store, instance)
    store.executors.retire("ended")
    store.journal.write([start("w", executor_instance="old with work"), start("x", executor_instance="old")])
    store.workflows.cancel(["x"])
    run_sql(database_url, "update executors set lease_expires_at_ms = 1 where instance_id >= 'old'")
    store.executors.prune()
    assert instances(database_url) == ["alive", "ended", "old with work"]
    store.workflows.cancel(["w"])
    store.executors.prune()
    assert instances(database_url) == ["alive", "ended"]
