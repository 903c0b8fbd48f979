"""Stores for the conformance suite: every test gets fresh databases of both dialects, and leaves nothing open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dbos.store.database import StoreSettings
from dbos.store.store import Store

OpenStore = Callable[..., Store]


@pytest.fixture
def open_store(database_url: str) -> Iterator[OpenStore]:
    """Opens stores on the test's database, as other processes would; all are closed in the end."""
    stores: list[Store] = []

    def open_store(**settings: Any) -> Store:
        store = Store.open(StoreSettings(**{"url": database_url, **settings}))
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()
