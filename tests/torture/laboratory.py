"""What all scenarios share: a server that forks processes in milliseconds, and a throwaway Postgres."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from tests.support.postgres import PostgresCluster
from tests.support.workers import Workers


class Laboratory:
    """The server of processes, and the Postgres when somebody asks for it."""

    def __init__(self, workers: Workers, start_postgres: Callable[[], PostgresCluster]) -> None:
        self.workers = workers
        self._start_postgres = start_postgres

    @property
    def postgres(self) -> PostgresCluster:
        """It runs when this returns."""
        return self._start_postgres().start()

    @contextmanager
    def database(self, dialect: str, directory: Path) -> Generator[str]:
        """A fresh database, and its URL."""
        if dialect == "sqlite":
            yield f"sqlite:///{directory / 'system.sqlite'}"
            return
        name = f"torture_{secrets.token_hex(6)}"
        url = self.postgres.create_database(name)
        try:
            yield url
        finally:
            self.postgres.drop_database(name)


class OwnLaboratory(Laboratory):
    """A laboratory that is not borrowed from the fixtures of a test session."""

    def __init__(self) -> None:
        self._things = ExitStack()
        self._cluster: PostgresCluster | None = None
        super().__init__(self._things.enter_context(Workers()), self._start_cluster)

    def _start_cluster(self) -> PostgresCluster:
        if self._cluster is None:
            self._cluster = self._things.enter_context(PostgresCluster())
        return self._cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._things.close()
