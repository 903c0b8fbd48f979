"""A database with a past: half a million finished workflows, made in seconds.

A workflow of ours runs once on a fresh database; plain SQL then multiplies the rows it left, whatever columns the
schema has by now. The copies get identifiers that sort before any new one and times that lead up to it, as rows of
the past do. On Postgres `vacuum (analyze)` follows, which autovacuum would have done within a minute of so many
inserts; SQLite gets nothing. The statistics therefore know no pending workflow at all, which is the harder case for
the planner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.catalogue import DatabaseKind
from benchmarks.databases import Databases
from benchmarks.environments import Environment
from benchmarks.measurement import run_script

TABLES = ("workflow_status", "operation_outputs")
IDENTIFIER_COLUMN = "workflow_uuid"
GENERATED_COLUMNS = ("sequence",)  # the database numbers the rows itself
TIME_COLUMNS = ("created_at", "updated_at", "completed_at", "started_at_epoch_ms", "completed_at_epoch_ms")
MILLISECONDS_APART = 100
ROWS_PER_STATEMENT = 50_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """The few things that the two databases say differently."""

    schema: str
    columns: str
    series: str
    identifier: str
    settle: tuple[str, ...]


DIALECTS: dict[DatabaseKind, Dialect] = {
    "postgres": Dialect(
        schema="dbos.",
        columns="select column_name from information_schema.columns where table_schema = 'dbos'"
        " and table_name = '{table}' and is_identity = 'NO' and is_generated = 'NEVER'",
        series="generate_series({first}, {last}) as past (number)",
        identifier="'00000000-0000-7000-8000-' || lpad(past.number::text, 12, '0')",
        settle=("vacuum (analyze) dbos.workflow_status", "vacuum (analyze) dbos.operation_outputs", "checkpoint"),
    ),
    "sqlite": Dialect(
        schema="",
        columns="select name from pragma_table_info('{table}')",
        series="(with recursive series (number) as (select {first} union all select number + 1 from series"
        " where number < {last}) select number from series) as past",
        identifier="'00000000-0000-7000-8000-' || printf('%012d', past.number)",
        settle=("pragma wal_checkpoint(truncate)",),
    ),
}


class AgedDatabases:
    """One aged database per kind, made when first asked for and used again by every later run."""

    def __init__(self, environment: Environment, workflows: int) -> None:
        self._environment = environment
        self._workflows = workflows
        self._urls: dict[DatabaseKind, str] = {}
        self._kept = ExitStack()

    @contextmanager
    def supply(self, databases: Databases) -> Iterator[str]:
        if databases.kind not in self._urls:
            url = self._kept.enter_context(databases.fresh())
            age(databases, url, self._environment, self._workflows)
            self._urls[databases.kind] = url
        yield self._urls[databases.kind]

    def __enter__(self) -> Callable[[Databases], AbstractContextManager[str]]:
        return self.supply

    def __exit__(self, *_: object) -> None:
        self._kept.close()


def age(databases: Databases, url: str, environment: Environment, workflows: int) -> None:
    """Let one workflow leave its rows in a fresh database, and multiply them."""
    run_script(environment, "first_result", url, 0)
    dialect = DIALECTS[databases.kind]
    [(pattern,)] = databases.execute(url, [f"select {IDENTIFIER_COLUMN} from {dialect.schema}workflow_status"])
    statements = []
    for table in TABLES:
        columns = [str(name) for (name,) in databases.execute(url, [dialect.columns.format(table=table)])]
        copied = [name for name in columns if name not in GENERATED_COLUMNS]
        for first in range(1, workflows + 1, ROWS_PER_STATEMENT):
            numbers = range(first, min(first + ROWS_PER_STATEMENT, workflows + 1))
            statements.append(_multiply(dialect, table, copied, str(pattern), numbers, workflows))
    databases.execute(url, [*statements, *dialect.settle])


def _multiply(dialect: Dialect, table: str, columns: list[str], pattern: str, numbers: range, newest: int) -> str:
    values = ", ".join(_value(dialect, name, newest) for name in columns)
    series = dialect.series.format(first=numbers[0], last=numbers[-1])
    return (
        f"insert into {dialect.schema}{table} ({', '.join(columns)}) select {values}"
        f" from {dialect.schema}{table} as pattern cross join {series}"
        f" where pattern.{IDENTIFIER_COLUMN} = '{pattern}' order by past.number"
    )


def _value(dialect: Dialect, column: str, newest: int) -> str:
    if column == IDENTIFIER_COLUMN:
        return dialect.identifier
    if column in TIME_COLUMNS:
        return f"pattern.{column} - ({newest} + 1 - past.number) * {MILLISECONDS_APART}"
    return f"pattern.{column}"
