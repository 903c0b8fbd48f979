"""The witness: the row that a step writes together with the user's data, so that nobody does the same twice.

Its primary key decides between two executions of one step: whoever commits second finds the row there, takes its own
writes back, and replays what the first one wrote. It also tells what became of a commit whose reply was lost.

A workflow id may be used again once its workflow was deleted. So a row says which life of the id it belongs to, by the
token of the call that started the workflow. A row of an older life gives way, once whoever finds it has made sure that
it is not the younger one: his own workflow may have been deleted while he ran. And it says which execution wrote it:
of a failure nothing stays but the row, so once its workflow was resumed, the next execution tries again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Literal, cast

from sqlalchemy import Connection, CursorResult, TextClause, inspect, text
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.orm import Session

from dbos.error import DBOSInitializationError
from dbos.store.migrations.migrate import migrations
from dbos.store.quoting import quote
from dbos.store.statements import parse
from dbos.userdata.testimony import Key, Testimony

Kind = Literal["transaction", "datasource"]

_WORDS: Mapping[str, Mapping[str, str]] = {
    "postgresql": {
        "now_ms": "cast(extract(epoch from statement_timestamp()) * 1000 as bigint)",
        "txn_id": "cast(pg_current_xact_id_if_assigned() as text)",
        "txn_snapshot": "cast(pg_current_snapshot() as text)",
        # What is recorded as done in another database must not be lost here, whatever is the default.
        "durably": "from (select set_config('synchronous_commit', "
        "coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), true)) as durable",
    },
    "sqlite": {
        "now_ms": "cast(round((julianday('now') - 2440587.5) * 86400000.0) as integer)",
        "txn_id": "null",  # there is one writer at a time, and its transactions have no names
        "txn_snapshot": "''",
        "durably": "where true",  # as files are by default; a select before `on conflict` needs a clause
    },
}


class Witness:
    """The table `transaction_outputs` or `datasource_outputs` of one database."""

    def __init__(self, kind: Kind, dialect: str, schema: str) -> None:
        """`schema` is that of the table on Postgres."""
        self._kind = kind
        self._name = f"{kind}_outputs"
        self._dialect = dialect
        self._schema = schema if dialect == "postgresql" else None
        self._quoted_schema = quote(schema)
        self._table = self._name if self._schema is None else f"{self._quoted_schema}.{self._name}"
        words = {**_WORDS[dialect], "table": self._table}
        self._statements: dict[str, TextClause] = {
            name: text(_filled(body, words)) for _, name, body in parse(_script(f"{self._name}.sql"))
        }

    # ------------------------------------------------------------ the rows

    def find(self, session: Session, key: Key) -> tuple[str, Testimony] | None:
        """What this step came to, if it has happened, and in which life of its workflow's id."""
        row = session.execute(self._statements["find"], key._asdict()).first()
        return None if row is None else (row[0], Testimony(*row[1:]))

    def testify(self, session: Session, key: Key, testimony: Testimony) -> bool:
        """Write the row into the transaction of the session. False: it is there, somebody else was first."""
        values = key._asdict() | testimony._asdict()
        return bool(cast(CursorResult[Any], session.execute(self._statements["testify"], values)).rowcount)

    def aged(self, connection: Connection, age_ms: int, after: str, limit: int) -> list[str]:
        """Workflows with witnesses older than that, in order of their ids, from behind `after`."""
        values = {"age_ms": age_ms, "after": after, "limit": limit}
        return [row[0] for row in connection.execute(self._statements["aged"], values)]

    def forget(self, connection: Connection, steps: Iterable[tuple[str, int]], age_ms: int) -> None:
        """Drop the witnesses of these steps, as far as they are older than that."""
        for workflow_id, step_id in steps:
            values = {"workflow_id": workflow_id, "step_id": step_id, "age_ms": age_ms}
            connection.execute(self._statements["forget"], values)

    def forget_workflows(self, connection: Connection, lives: Iterable[tuple[str, str]]) -> None:
        """Drop every witness of these lives of these workflows: the id may be in use again."""
        for workflow_id, life in lives:
            connection.execute(self._statements["forget_workflow"], {"workflow_id": workflow_id, "life": life})

    # ------------------------------------------------------------ the table

    def install(self, connection: Connection) -> None:
        """Create the table, in its schema, if it is not there. Raises DBOSInitializationError for one that is not ours.

        The connection is in a transaction of its own, which commits afterwards.
        """
        if self._exists(connection):
            return
        if self._schema is not None:
            lock = text("select pg_advisory_xact_lock(hashtextextended(:name, 0))")
            connection.execute(lock, {"name": self._table})
            if inspect(connection).has_schema(self._schema) is False:
                connection.exec_driver_sql(f"create schema {self._quoted_schema}")
        if not self._exists(connection):  # nobody else was faster
            connection.exec_driver_sql(self._definition())

    def verify(self, connection: Connection) -> None:
        """Raises DBOSInitializationError if the table is not there, or not ours."""
        if not self._exists(connection):
            raise DBOSInitializationError(
                f"The table {self._table} does not exist in {_address(connection)}, and migrations are off. "
                "Create it with a role that may: launch once, or create the datasource once, with migrations on."
            )

    def grant(self, connection: Connection, role: str) -> None:
        """Let a role read and write the rows, and no more (Postgres)."""
        if self._schema is not None:
            connection.exec_driver_sql(f"grant usage on schema {self._quoted_schema} to {quote(role)}")
            connection.exec_driver_sql(f"grant select, insert, update, delete on {self._table} to {quote(role)}")

    def _exists(self, connection: Connection) -> bool:
        try:
            columns = {column["name"] for column in inspect(connection).get_columns(self._name, schema=self._schema)}
        except NoSuchTableError:
            return False
        if not {"function_name", "life", "epoch"} <= columns:
            raise DBOSInitializationError(
                f"The table {self._table} in {_address(connection)} is of another library or of an incompatible "
                "release. It was left untouched: choose another database or, on Postgres, another schema."
            )
        return True

    def _definition(self) -> str:
        if self._kind == "transaction":  # the same as in the system database, where a migration makes it
            dialect = "postgres" if self._schema is not None else "sqlite"
            (step,) = (each for each in migrations(dialect) if each.name == "transactions")
            return step.script.replace("{schema}", self._quoted_schema)
        return _filled(_script(f"{self._name}.{self._dialect}.sql"), {"table": self._table})


def _script(file: str) -> str:
    return (files("dbos.userdata") / "sql" / file).read_text(encoding="utf-8")


def _filled(statement: str, words: Mapping[str, str]) -> str:
    for word, meaning in words.items():
        statement = statement.replace("{" + word + "}", meaning)
    return statement


def _address(connection: Connection) -> str:
    return connection.engine.url.render_as_string(hide_password=True)
