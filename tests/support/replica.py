"""A standby of a throwaway Postgres server: a copy that follows its log, and can take its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dbos.cli.postgres_installation import Installation
from tests.support.postgres import PostgresCluster
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

REPLICATED: Mapping[str, str] = {"wal_level": "replica", "max_wal_senders": "4"}
"""What a server needs to be followed."""


class Replica(PostgresCluster):
    """A server that is made from a running one, made with the settings `REPLICATED`, and follows it when started."""

    def __init__(self, primary: PostgresCluster) -> None:
        super().__init__(durable=primary.durable, settings=primary.settings)
        self._password = primary._password  # it comes with the copy
        self._primary = primary

    def _make_data(self, installation: Installation, directory: Path) -> None:
        self._run(
            [
                str(installation.bin / "pg_basebackup"),
                *("--pgdata", str(directory / "data")),
                *("--dbname", self._primary.url()),
                *("--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync"),
            ]
        )

    def follow(self, *, synchronously: bool) -> None:
        """Return when it follows; `synchronously`: from here on no commit returns before it is on this server too."""
        if synchronously:
            run_sql(self._primary.url(), "alter system set synchronous_standby_names = '*'")
            run_sql(self._primary.url(), "select pg_reload_conf()")
        state = "sync" if synchronously else "async"
        following = "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = ?"
        eventually(lambda: run_sql(self._primary.url(), following, state) == [(1,)])

    def stop_following(self) -> None:
        """Hear nothing more of the primary."""
        run_sql(self.url(), "alter system set primary_conninfo = ''")
        run_sql(self.url(), "select pg_reload_conf()")
        eventually(lambda: run_sql(self.url(), "select count(*) from pg_stat_wal_receiver") == [(0,)])

    def promote(self) -> None:
        """Take the place of the primary, which must be gone."""
        assert run_sql(self.url(), "select pg_promote()") == [(True,)]
