"""Names become SQL in one place: nothing that a user can name is put into a statement but quoted by that function."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import dbos
from dbos.store.quoting import quote

SOURCE = Path(dbos.__file__).parent
DOUBLES_QUOTES = re.compile(r"""replace\('"', '""'\)""")
STATEMENT = re.compile(
    r"^\s*"
    r"(select|insert into|update|delete from|create|drop|alter|grant|revoke|truncate|listen|notify|pragma|set local)"
    r"\s(?!.*[.:] )",  # unlike a sentence for people
    re.DOTALL,
)
OURS = {
    "store/postgres/lifecycle.py": {"LOCK_TIMEOUT_SECONDS", "tables"},  # quoted where they are put together
    "store/postgres/pooler.py": {"role", "name", "_ADVISED[name]", "values", "connection.info.backend_pid"},
    "store/postgres/rights.py": {"ROW_RIGHTS", "where", "who"},  # quoted above
    "store/postgres/scripts.py": {"migration.version", "LINEAGE"},
    "store/postgres/session.py": {"round(timeout_seconds * 1000)"},
    "store/search.py": {  # of fixed columns, and placeholders for values
        "where",
        "_where([one, *conditions])",
        "_creation(wanted, unites_indexes)",
        "direction",
    },
    "store/sqlite/database.py": {"pragma", "BUSY_TIMEOUT_MS"},
    "store/sqlite/lifecycle.py": {"table"},  # of a list
    "testing/shifting.py": {"TABLE"},
    "userdata/witness.py": {"self._quoted_schema", "self._table"},  # quoted where the table is named
}
"""What else stands in statements: constants of ours, numbers, and names that were quoted a few lines before."""


def composed() -> Iterator[tuple[str, set[str]]]:
    """Of each statement that is put together: its file, and what is put into it."""
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE).as_posix()
        if place.startswith("cli/templates/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
                parts = {ast.unparse(part.value) for part in node.values if isinstance(part, ast.FormattedValue)}
                if STATEMENT.match(text):
                    yield place, parts


def test_what_is_put_into_a_statement_is_quoted(record_property: Callable[[str, object], None]) -> None:
    statements = list(composed())
    unknown = {
        (place, part)
        for place, parts in statements
        for part in parts - OURS.get(place, set())
        if not part.startswith("quote(")
    }
    assert unknown == set()
    assert {place for place, _ in statements} >= OURS.keys(), "there is less of it"
    record_property("statements put together", len(statements))


def test_one_function_quotes() -> None:
    quoting = [
        path.relative_to(SOURCE).as_posix()
        for path in sorted(SOURCE.rglob("*.py"))
        if DOUBLES_QUOTES.search(path.read_text(encoding="utf-8"))
    ]
    assert quoting == ["store/quoting.py"]
    assert quote('a"b; drop table x') == '"a""b; drop table x"'
