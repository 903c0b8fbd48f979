"""`dbos init` makes projects that run as they are, and `dbos start` runs them."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from dbos.cli.init import TEMPLATES
from tests.cli.conftest import Run
from tests.support.postgres import probably_free_port
from tests.support.waiting import eventually

DBOS = [sys.executable, "-m", "dbos.cli"]


@contextmanager
def started(
    directory: Path, errors: IO[str] | int = subprocess.DEVNULL, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """`dbos start` in a directory, with our Python as `python`; interrupted in the end."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DBOS_")}
    process = subprocess.Popen(
        [*DBOS, "start"],
        cwd=directory,
        env=inherited | {"PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    try:
        yield process
        process.send_signal(signal.SIGINT)
        process.wait(20)
    finally:
        process.kill()
        process.wait()
        stream(process).close()


def stream(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def test_the_toolbox_runs(run: Run) -> None:
    made = run("init", "toy-shop")
    assert (made.code, made.out) == (0, f"{Path.cwd() / 'toy-shop'}\n")
    assert {path.name for path in Path("toy-shop").iterdir()} == {
        ".gitignore",
        "dbos-config.yaml",
        "main.py",
        "requirements.txt",
    }
    with started(Path("toy-shop")) as process:
        assert stream(process).read() == "Hello, Ada!\nHello, Grace!\n"
        assert process.wait(20) == 0
    os.chdir("toy-shop")
    assert len(run("workflow", "list", "-S", "SUCCESS").rows) == 3  # it finds the database by itself


def test_the_starter_with_a_database_runs(run: Run) -> None:
    run("init", "toy-shop", "-t", "dbos-db-starter")
    with started(Path("toy-shop")) as process:
        assert stream(process).read() == "1 greetings so far\n2 greetings so far\n"


def test_the_starter_with_a_clock_runs_until_it_is_interrupted(run: Run) -> None:
    run("init", "toy-shop", "--template", "dbos-cron-starter")
    with Path("errors").open("w") as errors, started(Path("toy-shop"), errors) as process:
        assert stream(process).readline().startswith("It was ")
        assert process.poll() is None
    assert process.returncode in (0, 128 + signal.SIGINT)  # the shell may have been interrupted, too
    assert "Traceback" not in Path("errors").read_text()


def test_the_starter_of_an_app_runs(run: Run) -> None:
    run("init", "toy-shop", "-t", "dbos-app-starter")
    port = probably_free_port()
    page = f"http://127.0.0.1:{port}/jobs/a?steps=1"

    def result() -> bool:
        try:
            with urllib.request.urlopen(page, timeout=5) as response:
                return b'"SUCCESS"' in response.read()
        except OSError:
            return False

    with started(Path("toy-shop"), PORT=str(port)):
        eventually(result)


def test_init_asks_for_a_name_and_can_write_the_file_alone(run: Run) -> None:
    asked = run("init", terminal=True, says="asked-shop\n")
    assert asked.code == 0
    assert "Made" in asked.out
    assert "dbos start" in asked.err
    assert Path("asked-shop/main.py").exists()

    assert run("init", "--config", "--json").json["files"] == ["dbos-config.yaml"]
    assert Path("dbos-config.yaml").read_text().splitlines()[1] == "name: here"


def test_every_template_is_complete(run: Run) -> None:
    for template in TEMPLATES:
        made = run("init", f"of-{template}", "-t", template, "--json").json
        assert made["files"] == [".gitignore", "dbos-config.yaml", "main.py", "requirements.txt"]
        for file in made["files"]:
            assert "project-name" not in Path(made["directory"], file).read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("toy-shop -t none", "There is no template 'none'; choose one of dbos-toolbox"),
        ("Toy/Shop", "'Toy/Shop' cannot be a name"),
        ("taken", "is there already: nothing was written"),
    ],
)
def test_what_init_refuses(run: Run, arguments: str, sentence: str) -> None:
    Path("taken").mkdir()
    Path("taken/main.py").write_text("mine")
    ran = run("init", *arguments.split())
    assert (ran.code, ran.out) == (1, "")
    assert sentence in ran.err
    assert Path("taken/main.py").read_text() == "mine"
    assert [path.name for path in Path().rglob("*")] == ["taken", "main.py"]


def test_start_runs_commands_until_one_fails(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert "There is no dbos-config.yaml" in run("start").err
    Path("dbos-config.yaml").write_text("name: shop\n")
    assert "does not say how to start" in run("start").err
    Path("dbos-config.yaml").write_text(
        "runtimeConfig: {start: ['echo one', 'echo two; exit 7', 'echo three', 'kill -9 $$']}\n"
    )
    assert run("start").code == 7
    assert capfd.readouterr().out == "one\ntwo\n"
    Path("dbos-config.yaml").write_text("runtimeConfig: {start: ['kill -9 $$']}\n")
    assert run("start").code == 128 + 9
