"""`dbos workflow`: find workflows, look at them and steer them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import click

from dbos.api.scopes import SetWorkflowID
from dbos.cli.database import Place, on_database
from dbos.cli.failures import Group
from dbos.cli.output import as_json, moment, report, show_fields, show_json, show_rows, text
from dbos.model.status import WorkflowStatus
from dbos.model.workflow import Status

STATUSES = click.Choice([status.value for status in Status], case_sensitive=False)
HEADINGS = ("workflow id", "status", "name", "created", "ended", "queue")  # and for pipes: version, executor


@click.group(cls=Group)
def workflow() -> None:
    """Find workflows, look at them and steer them."""


def filters(default_limit: int | None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options by which workflows are found; named as `list_workflows` names them."""
    options = (
        click.option("-l", "--limit", type=click.IntRange(min=0), default=default_limit, show_default=True,
                     help="At most so many."),
        click.option("-o", "--offset", type=click.IntRange(min=0), help="Skip so many first."),
        click.option("-t", "--start-time", metavar="TIME", help="Created at this time (ISO 8601) or later."),
        click.option("-e", "--end-time", metavar="TIME", help="Created at this time or earlier."),
        click.option("-S", "--status", type=STATUSES, multiple=True, help="Stands so; may be given several times."),
        click.option("-n", "--name", multiple=True, help="Of this workflow function."),
        click.option("-a", "--application-name", multiple=True, help="Of this application."),
        click.option("-d", "--sort-desc", is_flag=True, help="Newest first."),
    )  # fmt: skip

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@workflow.command("list")
@on_database
@filters(default_limit=10)
@click.option("-u", "--user", multiple=True, help="Started on behalf of this user.")
@click.option("-v", "--application-version", multiple=True, help="Of this version of the application.")
@click.option("-q", "--queue-name", multiple=True, help="On this queue.")
@click.option("-p", "--workflow-id-prefix", multiple=True, help="Whose id begins so.")
@as_json
def list_workflows(place: Place, as_json: bool, application_version: tuple[str, ...], **wanted: Any) -> None:
    """List workflows, oldest first."""
    with place.client() as client:
        found = client.list_workflows(
            app_version=application_version, load_input=as_json, load_output=as_json, **_given(wanted)
        )
    _show(found, as_json)


def _given(wanted: dict[str, Any]) -> dict[str, Any]:
    """Several values as the list that listings take."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items()}


def _show(found: list[WorkflowStatus], as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    show_rows(HEADINGS, [_cells(each) for each in found])


def _cells(status: WorkflowStatus) -> list[str]:
    ended = moment(status.completed_at)
    queue, version, executor = status.queue_name or "", status.app_version or "", status.executor_id or ""
    return [status.workflow_id, status.status, status.name, moment(status.created_at), ended, queue, version, executor]


@workflow.command()
@on_database
@click.argument("workflow_id")
@as_json
def get(place: Place, workflow_id: str, as_json: bool) -> None:
    """Show one workflow with its arguments and its outcome."""
    with place.client() as client:
        status = client.retrieve_workflow(workflow_id).get_status()
    show_status(status, as_json)


def show_status(status: WorkflowStatus, as_json: bool) -> None:
    """Everything about one workflow; a person is spared what is empty."""
    if as_json:
        show_json(status)
        return
    fields = {name: text(getattr(status, name)) for name in WorkflowStatus.__dataclass_fields__}
    times = {name: moment(getattr(status, name)) for name in TIMES}
    if status.output is None and status.status == Status.SUCCESS:
        fields["output"] = "null"
    show_fields({name: value for name, value in (fields | times).items() if value})


TIMES = (
    "created_at",
    "updated_at",
    "dequeued_at",
    "completed_at",
    "delay_until_epoch_ms",
    "workflow_deadline_epoch_ms",
)


# ------------------------------------------------------------ steering

workflow_ids = click.argument("workflow_ids", metavar="WORKFLOW_ID...", nargs=-1, required=True)


@workflow.command()
@on_database
@workflow_ids
@click.option("-c", "--cancel-children", is_flag=True, help="Their children, too, and theirs.")
@as_json
def cancel(place: Place, workflow_ids: tuple[str, ...], cancel_children: bool, as_json: bool) -> None:
    """Cancel workflows: each leaves its queue, or stops before its next step.

    One that is unknown or finished is left as it is.
    """
    with place.client() as client:
        client.cancel_workflows(list(workflow_ids), cancel_children=cancel_children)
    _report("Asked to cancel", workflow_ids, as_json)


@workflow.command()
@on_database
@workflow_ids
@click.option("-q", "--queue-name", help="Put them on this queue.")
@as_json
def resume(place: Place, workflow_ids: tuple[str, ...], queue_name: str | None, as_json: bool) -> None:
    """Run workflows on from their last completed step."""
    with place.client() as client:
        client.resume_workflows(list(workflow_ids), queue_name=queue_name)
    _report("Resumed", workflow_ids, as_json)


@workflow.command()
@on_database
@workflow_ids
@click.option("-c", "--delete-children", is_flag=True, help="Their children, too, and theirs.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@as_json
def delete(place: Place, workflow_ids: tuple[str, ...], delete_children: bool, yes: bool, as_json: bool) -> None:
    """Delete workflows with all that they left, whatever their state."""
    if not yes:
        click.confirm(f"Delete {' '.join(workflow_ids)} for good?", abort=True, err=True)
    with place.client() as client:
        client.delete_workflows(list(workflow_ids), delete_children=delete_children)
    _report("Deleted", workflow_ids, as_json)


@workflow.command()
@on_database
@click.argument("workflow_id")
@click.option("-S", "--step", type=click.IntRange(min=1), help="Run from this step on.  [default: 1]")
@click.option("--from-failure", is_flag=True, help="Run from the step on where it failed, in place of --step.")
@click.option("-f", "--forked-workflow-id", metavar="ID", help="The id of the fork.")
@click.option("-v", "--application-version", help="The version that runs it.")
@click.option("-q", "--queue-name", help="The queue to put it on.")
@click.option("--queue-partition-key", help="The partition of that queue.")
@as_json
def fork(
    place: Place,
    workflow_id: str,
    step: int | None,
    from_failure: bool,
    forked_workflow_id: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a workflow once more, under a new id, from one of its steps on."""
    if from_failure and step is not None:
        raise click.UsageError("Give --step or --from-failure, not both")
    with place.client() as client, SetWorkflowID(forked_workflow_id) if forked_workflow_id else nullcontext():
        if from_failure:
            (handle,) = client.fork_from_failure([workflow_id], **options)
        else:
            handle = client.fork_workflow(workflow_id, step or 1, **options)
    forked = handle.workflow_id
    if as_json:
        show_json({"workflow_id": forked, "forked_from": workflow_id})
    else:
        report(f"Forked {workflow_id} as {forked}", forked)


@workflow.command()
@on_database
@click.argument("workflow_id")
@click.option("-S", "--step", type=click.IntRange(min=1), default=1, show_default=True, help="Run from this step on.")
@click.option("-v", "--application-version", help="The version that runs it.")
@click.option("-q", "--queue-name", help="The queue to put it on.")
@as_json
def rewind(place: Place, workflow_id: str, step: int, as_json: bool, **options: Any) -> None:
    """Run a finished workflow again under its own id, from one of its steps on."""
    with place.client() as client:
        client.rewind_workflow(workflow_id, start_step=step, **options)
    _report("Rewound", (workflow_id,), as_json)


def _report(what: str, workflow_ids: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        show_json({"workflow_ids": workflow_ids})
        return
    for each in workflow_ids:
        report(f"{what} {each}", each)


# ------------------------------------------------------------ queued workflows


@workflow.group(cls=Group)
def queue() -> None:
    """Workflows that are on a queue."""


@queue.command("list")
@on_database
@filters(default_limit=None)
@click.option("-q", "--queue-name", multiple=True, help="On this queue.")
@as_json
def list_queued(place: Place, as_json: bool, **wanted: Any) -> None:
    """List the workflows that are on a queue and not finished, oldest first."""
    with place.client() as client:
        found = client.list_queued_workflows(load_input=as_json, load_output=as_json, **_given(wanted))
    _show(found, as_json)
