"""The pages tell the truth about what they list: keys, errors, step names, columns, files, commands, links."""

import re
import sqlite3
import typing
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import yaml

from dbos import DBOSConfig, error, run_dbos_database_migrations
from dbos.api.configuration import _DORMANT_KEYS, Settings
from dbos.telemetry.instruments import Description
from dbos.telemetry.metering import ATTRIBUTES
from dbos.telemetry.metrics import LOOKED_UP, Metrics
from dbos.telemetry.prometheus import metric_name
from tests.docs.markdown import ROOT, anchors, blocks, links, pages

EVERYTHING = [*pages(), ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
WITHOUT_PLAIN_DEFAULT = {
    "name": "required",
    "application_version": "computed",
    "system_database_url": "`sqlite:///<name>.sqlite`",
}
LISTED = ("cli", "api", "admin", "services", "runtime", "userdata", "testing", "telemetry", "model")  # module by module
COMPANIONS = {
    "auto_upgrade_grace_sec",
    "auto_upgrade_interval_sec",
    "database_url",
}  # keys that matter together with another one only


def rows(page: str) -> list[list[str]]:
    """The cells of all tables of a page, line by line, without the headings."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


# ---------------------------------------------------------------- references


def test_every_configuration_key_is_documented_with_its_default() -> None:
    documented = {
        cells[0].strip("`"): cells[1:] for cells in rows("docs/reference/configuration.md") if len(cells) == 3
    }
    assert documented.keys() == typing.get_type_hints(DBOSConfig).keys()
    defaults = {name: field.default for name, field in Settings.__dataclass_fields__.items()}
    factories = {name: field.default_factory for name, field in Settings.__dataclass_fields__.items()}
    for key, (default, _) in documented.items():
        if key in WITHOUT_PLAIN_DEFAULT:
            assert default == WITHOUT_PLAIN_DEFAULT[key]
            continue
        field = "application_database_url" if key == "database_url" else key
        value = factories[field]() if callable(factories[field]) else defaults[field]
        assert default == f"`{value!r}`".replace("'", '"'), key


def test_keys_without_effect_are_marked() -> None:
    """Marked are the keys that the library itself reports, and those that only matter together with one of them."""
    marked = {
        cells[0].strip("`") for cells in rows("docs/reference/configuration.md") if "*no effect yet*" in cells[-1]
    }
    assert marked - COMPANIONS <= _DORMANT_KEYS
    assert marked >= _DORMANT_KEYS - {"observability_query_timeout_sec"}


def test_every_error_is_documented_with_its_code() -> None:
    table = rows("docs/reference/errors.md")
    documented = {cells[0].strip("`"): cells[1] for cells in table}
    public = {
        name: kind
        for name, kind in vars(error).items()
        if isinstance(kind, type) and issubclass(kind, BaseException) and not name.startswith("_")
    }
    assert documented.keys() - {"RuntimeError", "ValueError", "AssertionError"} == public.keys()
    for name, kind in public.items():
        code = getattr(kind, "dbos_error_code", None)
        assert documented[name] == ("" if code is None else str(code)), name


def test_every_step_name_is_documented() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/dbos").rglob("*.py"))
    recorded = set(re.findall(r'(?:as_step\((?:attempt, )?|[A-Z_]+ = )"(DBOS\.[\w.-]+)"', code))
    assert len(recorded) >= 10
    assert {cells[0].strip("`").replace("<name>", "") for cells in rows("docs/reference/step-names.md")} == recorded


def described() -> dict[str, Description]:
    """Every metric by the name that Prometheus has for it."""
    every = [*(each.description for each in Metrics().instruments()), *LOOKED_UP]
    return {metric_name(each): each for each in every}


def test_every_metric_is_documented() -> None:
    cells = rows("docs/reference/metrics.md")
    documented = {name.strip("`"): (labels, meaning) for name, labels, meaning in cells if name.startswith("`dbos_")}
    assert documented == {
        name: (", ".join(f"`{label}`" for label in each.labels), each.meaning) for name, each in described().items()
    }
    labels = {name.strip("`"): attribute.strip("`") for name, attribute, _ in cells if not name.startswith("`dbos_")}
    assert labels == ATTRIBUTES


def test_queries_and_alerts_ask_for_what_there_is() -> None:
    text = (ROOT / "docs/how-to/metrics.md").read_text(encoding="utf-8")
    asked = set(re.findall(r"dbos_[a-z_]+", "".join(line for line in text.splitlines() if "startswith" not in line)))
    assert len(asked) >= 10
    assert {name.removesuffix("_bucket") for name in asked} <= described().keys()
    rules = [yaml.safe_load(block.text) for path in pages() for block in blocks(path) if block.language == "yaml"]
    assert {key for each in rules for key in each} == {"scrape_configs", "groups"}


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    run_dbos_database_migrations(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    with closing(sqlite3.connect(tmp_path / "empty.sqlite")) as connection:
        yield connection


def test_every_column_is_documented(migrated: sqlite3.Connection) -> None:
    text = (ROOT / "docs/reference/database.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `(\w+)`$(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL))
    tables = {name for (name,) in migrated.execute("select name from sqlite_master where type = 'table'")}
    assert sections.keys() == {name for name in tables if not name.startswith("sqlite_")}
    for table, section in sections.items():
        lines = [line for line in section.splitlines() if line.startswith("| `")]
        named = {name for line in lines for name in re.findall(r"`(\w+)`", line.split("|")[1])}
        assert named == {row[1] for row in migrated.execute(f"pragma table_info({table})")}, table


def sql(tag: str) -> list[str]:
    """The SQL of that tag on all pages."""
    return [block.text for path in pages() for block in blocks(path) if (block.language, block.tag) == ("sql", tag)]


def test_the_queries_run(migrated: sqlite3.Connection) -> None:
    queries = sql("query")
    assert len(queries) >= 3
    for text in queries:
        migrated.execute(text)


def test_the_statements_for_postgres_run(postgres_url: str) -> None:
    """With a table of orders, whose trigger then starts a workflow for a row."""
    run_dbos_database_migrations(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create table orders (id bigint)")
        for text in sql("postgres"):
            connection.execute(text)
        connection.execute("insert into orders values (7)")
        found = connection.execute("select workflow_uuid, name, queue_name from dbos.workflow_status order by 1")
        assert found.fetchall() == [("order-7", "handle_order", "orders"), ("receipt-17", "send_receipt", "mails")]
        assert connection.execute("select topic from dbos.notifications").fetchall() == [("payments",)]


# ---------------------------------------------------------------- files, commands and links


def test_architecture_lists_what_is_there() -> None:
    tree = next(block for block in blocks(ROOT / "ARCHITECTURE.md") if "src/dbos/" in block.text)
    folders: list[str] = []
    listed = set()
    for line in tree.text.splitlines()[1:]:
        depth = len(re.match(r"[│ ]*", line)[0]) // 4  # type: ignore[index]
        for name in re.findall(r"[\w.]+(?:\.py|/)", line.split("──")[1].partition("   ")[0]):
            path = "/".join([*folders[:depth], name.rstrip("/")])
            listed.add(path)
            assert (ROOT / "src/dbos" / path).exists(), path
            if name.endswith("/"):
                folders[depth:] = [name.rstrip("/")]
    for layer in LISTED:
        modules = {f"{layer}/{path.name}" for path in (ROOT / "src/dbos" / layer).glob("*.py")}
        assert modules - {f"{layer}/__init__.py", f"{layer}/__main__.py"} <= listed


def test_mentioned_files_exist() -> None:
    for path in EVERYTHING:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:src|tests|docs|examples|benchmarks)/[\w./-]+\w)`", text):
            assert (ROOT / name).exists(), f"{path.name}: {name}"


def test_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    mentioned: set[str] = set()
    for path in EVERYTHING:
        text = path.read_text(encoding="utf-8")
        mentioned |= set(re.findall(r"(?:\$ |`)make ([a-z-]+)", text))
        for script in re.findall(r"python ((?:examples|benchmarks)/\S+\.py)", text):
            assert (ROOT / script).exists(), f"{path.name}: {script}"
    assert {"demo", "test", "check"} <= mentioned <= targets


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        if "://" in link:
            continue
        name, _, fragment = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        if fragment:
            assert fragment in anchors(target), link


def test_every_page_and_every_example_is_in_the_index() -> None:
    index = ROOT / "docs/index.md"
    reached = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    pages_and_examples = {*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.py")}
    assert pages_and_examples - {index} == reached
