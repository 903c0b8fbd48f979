"""`dbos schedule`: look at schedules, pause and resume them, and run them out of turn."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from dbos.api.client import DBOSClient
from dbos.cli.database import Place, on_database
from dbos.cli.failures import Group, fail
from dbos.cli.output import as_json, report, show_fields, show_json, show_rows, text
from dbos.model.schedule import WorkflowSchedule

HEADINGS = ("schedule", "status", "expression", "zone", "workflow", "queue", "last fired")
name = click.argument("name")


@click.group(cls=Group)
def schedule() -> None:
    """Look at schedules, pause and resume them, run them out of turn."""


@schedule.command("list")
@on_database
@click.option("-S", "--status", type=click.Choice(["ACTIVE", "PAUSED"], case_sensitive=False), help="Stands so.")
@click.option("-n", "--workflow-name", help="Runs this workflow.")
@click.option("-p", "--name-prefix", help="Whose name begins so.")
@as_json
def list_schedules(
    place: Place, status: str | None, workflow_name: str | None, name_prefix: str | None, as_json: bool
) -> None:
    """List the schedules."""
    with place.client() as client:
        found = client.list_schedules(status=status, workflow_name=workflow_name, schedule_name_prefix=name_prefix)
    if as_json:
        show_json(found)
        return
    shown = ("schedule_name", "status", "schedule", "cron_timezone", "workflow_name", "queue_name", "last_fired_at")
    show_rows(HEADINGS, [[text(dict(each)[key]) for key in shown] for each in found])


@schedule.command()
@on_database
@name
@as_json
def get(place: Place, name: str, as_json: bool) -> None:
    """Show one schedule."""
    with place.client() as client:
        found = _require(client, name)
    if as_json:
        show_json(found)
    else:
        show_fields({key: text(value) for key, value in found.items() if value is not None})


@schedule.command()
@on_database
@name
@as_json
def pause(place: Place, name: str, as_json: bool) -> None:
    """Let a schedule fire no more until it is resumed."""
    with place.client() as client:
        _require(client, name)
        client.pause_schedule(name)
    _report("Paused", name, as_json)


@schedule.command()
@on_database
@name
@as_json
def resume(place: Place, name: str, as_json: bool) -> None:
    """Let a paused schedule fire again."""
    with place.client() as client:
        _require(client, name)
        client.resume_schedule(name)
    _report("Resumed", name, as_json)


@schedule.command()
@on_database
@name
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@as_json
def delete(place: Place, name: str, yes: bool, as_json: bool) -> None:
    """Remove a schedule; its runs stay."""
    if not yes:
        click.confirm(f"Delete schedule {name}?", abort=True, err=True)
    with place.client() as client:
        _require(client, name)
        client.delete_schedule(name)
    _report("Deleted", name, as_json)


@schedule.command()
@on_database
@name
@as_json
def trigger(place: Place, name: str, as_json: bool) -> None:
    """Run the workflow of a schedule now, whether it is paused or not."""
    with place.client() as client:
        workflow_id = client.trigger_schedule(name).workflow_id
    if as_json:
        show_json({"workflow_id": workflow_id})
    else:
        report(f"Enqueued {workflow_id}", workflow_id)


@schedule.command()
@on_database
@name
@click.argument("start")
@click.argument("end")
@as_json
def backfill(place: Place, name: str, start: str, end: str, as_json: bool) -> None:
    """Run the workflow of a schedule for every tick after START and before END (ISO 8601, UTC without a zone)."""
    with place.client() as client:
        handles = client.backfill_schedule(name, _moment(start), _moment(end))
    ids = [handle.workflow_id for handle in handles]
    if as_json:
        show_json({"workflow_ids": ids})
        return
    for workflow_id in ids:
        report(f"Enqueued {workflow_id}", workflow_id)


def _require(client: DBOSClient, name: str) -> WorkflowSchedule:
    found = client.get_schedule(name)
    if found is None:
        raise fail(f"There is no schedule {name!r}")
    return found


def _moment(given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise fail(f"{given!r} is not an ISO 8601 time such as '2026-01-31T12:00:00Z'") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _report(what: str, name: str, as_json: bool) -> None:
    if as_json:
        show_json({"schedule_name": name})
    else:
        report(f"{what} schedule {name}", name)
