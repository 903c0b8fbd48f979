"""The definitions of queues and the versions of applications, as the database keeps them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from dbos.error import DBOSException
from dbos.model.queue import QueueSpec, RateLimit
from dbos.store.store import Store
from tests.store.conftest import OpenStore

FULL = QueueSpec(
    "full",
    concurrency=10,
    worker_concurrency=5,
    limiter=RateLimit(50, 1.5),
    partition_concurrency=4,
    partition_worker_concurrency=2,
    partition_limiter=RateLimit(7, 30),
    priority_enabled=True,
    polling_interval_seconds=0.25,
    application_name="app",
)


def register(store: Store, spec: QueueSpec, on_conflict: Any = "always_update", version: str = "v1") -> QueueSpec:
    return store.queues.register(spec, on_conflict, version)


# ------------------------------------------------------------ definitions


@pytest.mark.parametrize("spec", [FULL, QueueSpec("plain"), QueueSpec("legacy", concurrency=1, partition_queue=True)])
def test_a_definition_comes_back_as_it_was(store: Store, spec: QueueSpec) -> None:
    assert store.queues.load(spec.name) is None
    assert register(store, spec) == spec
    assert store.queues.load(spec.name) == spec
    assert store.queues.list() == [spec]


def test_whether_a_definition_replaces_another(store: Store) -> None:
    store.versions.register("v1", "app")
    old, new = QueueSpec("q", concurrency=1, application_name="app"), QueueSpec("q", application_name="app")
    register(store, old)
    assert register(store, new, "never_update") == store.queues.load("q") == old
    assert register(store, new, "update_if_latest_version", "v0") == store.queues.load("q") == old
    assert register(store, new, "update_if_latest_version", "v1") == store.queues.load("q") == new
    assert register(store, old, "always_update", "v0") == store.queues.load("q") == old


@pytest.mark.parametrize("on_conflict", ["never_update", "always_update", "update_if_latest_version"])
def test_a_queue_of_another_application_is_refused(store: Store, on_conflict: str) -> None:
    theirs = QueueSpec("q", concurrency=3, application_name="other")
    register(store, theirs)
    with pytest.raises(DBOSException, match="belongs to application 'other'"):
        register(store, QueueSpec("q", application_name="app"), on_conflict)
    with pytest.raises(DBOSException, match="belongs to application 'other'"):
        register(store, QueueSpec("q"), on_conflict)
    assert store.queues.load("q") == theirs


def test_a_queue_of_nobody_stays_everybodys(store: Store) -> None:
    register(store, QueueSpec("q"))
    changed = register(store, QueueSpec("q", concurrency=2, application_name="app"))
    assert changed == store.queues.load("q") == QueueSpec("q", concurrency=2)


def test_changing_and_deleting(store: Store) -> None:
    register(store, FULL)
    assert store.queues.update("full", concurrency=20, limiter=None) == store.queues.load("full")
    assert store.queues.load("full") == replace(FULL, concurrency=20, limiter=None)
    with pytest.raises(ValueError, match="must not exceed"):
        store.queues.update("full", worker_concurrency=21)
    assert store.queues.load("full") == replace(FULL, concurrency=20, limiter=None)
    assert store.queues.update("nobody", concurrency=1) is None
    assert store.queues.delete("full")
    assert not store.queues.delete("full")
    assert store.queues.load("full") is None


def test_listing_by_owner(store: Store) -> None:
    specs = [QueueSpec("c", application_name="app"), QueueSpec("b"), QueueSpec("a", application_name="other")]
    for spec in specs:
        register(store, spec)
    assert sorted(each.name for each in store.queues.list()) == ["a", "b", "c"]
    assert store.queues.list(["app"]) == [specs[0]]
    assert store.queues.list([None]) == [specs[1]]
    assert sorted(each.name for each in store.queues.list(["other", None])) == ["a", "b"]
    assert store.queues.list([]) == []


def test_changes_of_one_queue_add_up(open_store: OpenStore) -> None:
    """Each reads, changes and writes the whole definition: none may be lost."""
    stores = [open_store(), open_store()]
    register(stores[0], QueueSpec("q"))
    changes: list[dict[str, Any]] = [{"concurrency": 5}, {"limiter": RateLimit(3, 1.0)}]

    def change(place: int) -> None:
        for _ in range(20):
            stores[place].queues.update("q", **changes[place])

    threads = [threading.Thread(target=change, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].queues.load("q") == QueueSpec("q", concurrency=5, limiter=RateLimit(3, 1.0))


def test_many_register_one_queue_at_once(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(3)]
    answers: list[QueueSpec] = []
    barrier = threading.Barrier(3)

    def define(place: int) -> None:
        barrier.wait()
        answers.append(register(stores[place], QueueSpec("q", concurrency=place + 1), "never_update"))

    threads = [threading.Thread(target=define, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [stores[0].queues.load("q")] * 3


# ------------------------------------------------------------ versions


def test_the_newest_version_is_the_latest(store: Store) -> None:
    assert store.versions.latest("app") is None
    assert store.versions.register("v1", "app").version_name == "v1"
    assert store.versions.register("v2", "app").version_name == "v2"
    assert store.versions.register("v1", "app").version_name == "v2"  # known: it keeps its place
    assert [row.version_name for row in store.versions.list("app")] == ["v2", "v1"]
    latest = store.versions.latest("app")
    assert latest is not None
    assert (latest.version_name, latest.application_name) == ("v2", "app")
    assert latest.created_at <= latest.version_timestamp


def test_a_version_may_be_made_the_latest_again(store: Store) -> None:
    for version in ("v1", "v2", "v3"):
        store.versions.register(version, "app")
    assert store.versions.set_latest("v1", "app")
    assert [row.version_name for row in store.versions.list("app")] == ["v1", "v3", "v2"]
    assert not store.versions.set_latest("v9", "app")
    assert not store.versions.set_latest("v1", "other")


def test_applications_have_versions_of_their_own(store: Store) -> None:
    store.versions.register("v1", "app")
    assert store.versions.register("v1", "other").application_name == "other"
    store.versions.register("v2", "other")
    latest = store.versions.latest("app")
    assert latest is not None
    assert latest.version_name == "v1"
    assert len(store.versions.list()) == 3
    assert sorted(str(owner) for owner in store.versions.owners("v1")) == ["app", "other"]
    assert store.versions.owners("v9") == ()
