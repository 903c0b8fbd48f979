"""`dbos start`: run the commands by which a project is started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click

from dbos.cli.failures import fail
from dbos.cli.project import FILE, read_project

FORWARDED = (signal.SIGINT, signal.SIGTERM)


@click.command()
def start() -> None:
    """Run the `runtimeConfig.start` commands of dbos-config.yaml, one after the other.

    SIGINT and SIGTERM are passed on to the command that runs. The first command that fails ends it, and its exit code
    becomes ours.
    """
    project = read_project(Path.cwd())
    if project is None:
        raise fail(f"There is no {FILE} in {Path.cwd()}: make one with `dbos init --config`")
    if not project.start:
        raise fail(f"{FILE} does not say how to start: list commands under `runtimeConfig: start:`")
    for command in project.start:
        click.echo(f"$ {command}", err=True)
        code = run(command)
        if code != 0:
            click.get_current_context().exit(code)


def run(command: str) -> int:
    """Run a command of the shell to its end. Returns its exit code; 128 + n if signal n ended it."""
    try:
        # In a session of its own: a Ctrl-C at the terminal comes to us alone, and reaches it once.
        process = subprocess.Popen(command, shell=True, start_new_session=True)
    except OSError as error:
        raise fail(f"{command!r} cannot be run: {error.strerror}") from error
    with _forwarding(process):
        code = process.wait()
    return 128 - code if code < 0 else code


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Signals to us go to the process and to all that it started."""

    def forward(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
