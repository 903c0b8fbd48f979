"""`dbos queue`: the queues that are kept in the database."""

from __future__ import annotations

from typing import Any

import click

from dbos.api.client import DBOSClient
from dbos.api.queue import Queue
from dbos.cli.database import Place, on_database
from dbos.cli.failures import Group, fail
from dbos.cli.output import as_json, report, show_fields, show_json, show_rows, text

LIMITS = (
    "concurrency",
    "worker_concurrency",
    "limiter",
    "partition_concurrency",
    "partition_worker_concurrency",
    "partition_limiter",
    "priority_enabled",
    "partition_queue",
    "polling_interval_sec",
)
HEADINGS = ("queue", "application", "concurrency", "worker concurrency", "limiter", "polling seconds")


@click.group(cls=Group)
def queue() -> None:
    """Queues that are kept in the database; those that are declared in code are known to their application alone."""


@queue.command("list")
@on_database
@click.option("-a", "--application-name", multiple=True, help="Of this application.")
@as_json
def list_queues(place: Place, application_name: tuple[str, ...], as_json: bool) -> None:
    """List the queues, the oldest first."""
    with place.client() as client:
        found = [_definition(each) for each in client.list_queues(application_name=list(application_name))]
    if as_json:
        show_json(found)
        return
    shown = ("name", "application_name", "concurrency", "worker_concurrency", "limiter", "polling_interval_sec")
    show_rows(HEADINGS, [[text(each[name]) for name in shown] for each in found])


@queue.command()
@on_database
@click.argument("name")
@as_json
def get(place: Place, name: str, as_json: bool) -> None:
    """Show one queue with all its limits."""
    with place.client() as client:
        definition = _definition(_require(client, name))
    if as_json:
        show_json(definition)
    else:
        show_fields({key: text(value) for key, value in definition.items() if value is not None})


@queue.command()
@on_database
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@as_json
def delete(place: Place, name: str, yes: bool, as_json: bool) -> None:
    """Remove a queue. What waits on it stays until there is a queue of that name again."""
    if not yes:
        click.confirm(f"Delete queue {name}?", abort=True, err=True)
    with place.client() as client:
        _require(client, name)
        client.delete_queue(name)
    if as_json:
        show_json({"name": name})
    else:
        report(f"Deleted queue {name}", name)


def _require(client: DBOSClient, name: str) -> Queue:
    found = client.retrieve_queue(name)
    if found is None:
        raise fail(f"There is no queue {name!r} in the database")
    return found


def _definition(queue: Queue) -> dict[str, Any]:
    settings = {limit: getattr(queue, limit) for limit in LIMITS}
    return {"name": queue.name, "application_name": queue.application_name, **settings}
