"""What is wrong is said in one sentence on stderr, with an exit code; nobody ever sees a traceback."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dbos import run_dbos_database_migrations
from dbos.cli import output
from dbos.cli.commands import dbos
from dbos.cli.output import plain, printable, text
from tests.cli.conftest import Run

NOWHERE = "postgresql://ada:secret@127.0.0.1:1/shop"


@pytest.fixture
def empty(sqlite_url: str) -> str:
    run_dbos_database_migrations(sqlite_url)
    return sqlite_url


WRONG: dict[str, tuple[int, str]] = {
    "workflow get nope": (1, "Error: Non-existent target workflow ID: nope"),
    "workflow steps nope": (1, "nope"),
    "workflow watch nope": (1, "nope"),
    "workflow resume nope": (1, "nope"),
    "workflow fork nope": (1, "nope"),
    "workflow fork nope --from-failure": (1, "nope"),
    "workflow fork nope --from-failure -S 1": (2, "--step or --from-failure, not both"),
    "workflow why nope": (1, "Error: Non-existent target workflow ID: nope"),
    "workflow cancel nope": (0, ""),
    "workflow list -t yesterday": (1, "start_time must be an ISO 8601 time"),
    "workflow list -l -1": (2, "-1 is not in the range"),
    "workflow list -S LOST": (2, "'LOST' is not one of"),
    "workflow list -l 9223372036854775808": (1, "fits into 64 bits"),
    "workflow fork nope -S 0": (2, "0 is not in the range"),
    "workflow queue list -t yesterday": (1, "start_time must be an ISO 8601 time"),
    "workflow watch": (2, "Missing argument 'WORKFLOW_ID'"),
    "workflow cancel": (2, "Missing argument 'WORKFLOW_ID...'"),
    "queue get nope": (1, "There is no queue 'nope'"),
    "schedule trigger nope": (1, "nope"),
    "schedule get nope": (1, "There is no schedule 'nope'"),
    "rename-application -t shop -y": (2, "--from NAME"),
    "version set-latest nope": (1, "Version 'nope' was never launched"),
    "frobnicate": (2, "No such command 'frobnicate'"),
}


@pytest.mark.parametrize("command", WRONG)
def test_a_clear_sentence(run: Run, empty: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBOS_SYSTEM_DATABASE_URL", empty)
    code, sentence = WRONG[command]
    ran = run(*command.split())
    assert ran.code == code
    assert sentence in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ("nope\n" if code == 0 else "")


DATABASES = {
    "": "Missing database URL: please set it using CLI flags or your dbos-config.yaml file.",
    "-s sqlite:///absent.sqlite": "absent.sqlite does not exist",
    "-s mysql://host/shop": "mysql:// is not supported",
    "-s shop": "it is not a URL",
    f"-s {NOWHERE}": "127.0.0.1:1/shop cannot be used",
    f"-s {NOWHERE} --schema 1": "an identifier",
}


@pytest.mark.parametrize("options", DATABASES)
@pytest.mark.parametrize("command", ["workflow list", "migrate", "reset -y"])
def test_a_database_that_cannot_be_used(run: Run, options: str, command: str) -> None:
    if "absent" in options and command != "workflow list":
        return  # making one is the business of `migrate`, and `reset` has nothing to do
    ran = run(*command.split(), *options.split())
    assert (ran.code, ran.out) == (1, "")
    assert DATABASES[options] in ran.err
    assert ran.err.count("Error") == 1
    assert "secret" not in ran.err


def test_which_database(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option, then the file, then the variable, then the file that an application of this name has by default."""
    for name in ("option", "file", "variable", "shop_one"):
        run_dbos_database_migrations(f"sqlite:///{name}.sqlite")
        with sqlite3.connect(f"{name}.sqlite") as connection:
            connection.execute(
                "insert into application_versions (version_id, version_name, version_timestamp, created_at,"
                " application_name) values (?, ?, 0, 0, 'shop')",
                (name, name),
            )
        connection.close()
    config = Path("dbos-config.yaml")

    def chosen(*options: str) -> str:
        return run("version", "list", *options).rows[0][0]

    config.write_text("name: shop-one\nsystem_database_url: ${UNSET_VARIABLE}\n")
    assert chosen() == "shop_one"
    monkeypatch.setenv("DBOS_SYSTEM_DATABASE_URL", "sqlite:///variable.sqlite")
    assert chosen() == "variable"
    monkeypatch.setenv("WHERE", "file")
    config.write_text("name: shop-one\nsystem_database_url: sqlite:///${WHERE}.sqlite\n")
    assert chosen() == "file"
    assert chosen("-s", "sqlite:///option.sqlite") == "option"
    assert chosen("-D", "sqlite:///option.sqlite") == "option"


BAD_FILES = {
    "a: [": "is not valid YAML",
    "- a": "the file must be a mapping",
    "name: 3": "name must be a text",
    "runtimeConfig: {start: run}": "start must be a list of commands",
    "runtimeConfig: []": "runtimeConfig must be a mapping",
}


@pytest.mark.parametrize("content", BAD_FILES)
def test_a_file_that_cannot_be_meant(run: Run, content: str) -> None:
    Path("dbos-config.yaml").write_text(content)
    for command in ("workflow list", "start"):
        ran = run(*command.split())
        assert (ran.code, ran.out) == (1, "")
        assert BAD_FILES[content] in ran.err


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def test_whatever_is_stored_can_be_shown() -> None:
    assert plain({"a": (1, float("nan")), 2: {3}, "h": Hostile()}) == {"a": [1, "nan"], "2": [3], "h": "<Hostile>"}
    circle: list[object] = [1]
    circle.append(circle)
    assert plain(circle) == [1, "..."]
    assert plain([circle, circle, 10**5000]) == [[1, "..."], [1, "..."], hex(10**5000)]
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    assert text(deep).count("[") == 401
    assert text(["ü", None]) == '["ü", null]'
    assert text(Hostile()) == '"<Hostile>"'
    assert text(ValueError()) == "ValueError"
    assert printable("a\tb\x1b[0m\u202e\n") == r"a\tb\x1b[0m\u202e\n"


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name, command in group.commands.items():
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [((*path, name), command)]
    return found


def test_every_command_has_json_and_says_what_it_does(run: Run) -> None:
    for path, command in commands(dbos):  # type: ignore[arg-type]
        options = {option for each in command.params for option in each.opts}
        assert "--json" in options or path == ("start",), path
        assert run(*path, "--help").code == 0
        assert all(each.help for each in command.params if isinstance(each, click.Option) and each.name != "port"), path


@pytest.mark.parametrize("group", ["", "workflow", "version"])
def test_help_lists_commands_with_whole_sentences(run: Run, group: str) -> None:
    ran = run(*group.split(), "--help")
    commands = ran.out.partition("Commands:\n")[2]
    assert commands.count(".\n") >= 2
    assert "..." not in commands


def test_a_narrow_terminal_shows_whole_cells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    headings = ["workflow id", "status", "name", "created", "ended"]
    row = ["01a21a42-8fc4-77e3-bd2a-b4cef969b965-1", "SUCCESS", "greet_all", *["2026-11-26T23:48:19Z"] * 2]
    for columns, shown in (("80", 3), ("100", 4), ("120", 5), ("20", 2)):
        monkeypatch.setenv("COLUMNS", columns)
        output.show_rows(headings, [row])
        said = capsys.readouterr()
        if columns != "20":
            assert said.out.splitlines()[3].split() == row[:shown]
        left_out = f"Left out, because the terminal is narrow: {', '.join(headings[shown:])}\n"
        assert said.err == (left_out if shown < len(headings) else "")


def test_a_place_that_cannot_be_written_to(run: Run) -> None:
    Path("toy-shop").write_text("a file where the directory would be")
    ran = run("init", "toy-shop")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"Error: {Path.cwd() / 'toy-shop'}: File exists\n"
    with Path("/dev/full").open("w") as full:
        listed = subprocess.run(
            [sys.executable, "-m", "dbos.cli", "version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (listed.returncode, listed.stderr) == (1, "Error: No space left on device\n")
