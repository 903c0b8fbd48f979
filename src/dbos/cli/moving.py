"""`dbos workflow export` and `import`, and `dbos rename-application`: what moves between databases and names."""

from __future__ import annotations

import json
from typing import IO

import click

from dbos.cli.database import Place, on_database
from dbos.cli.failures import fail
from dbos.cli.output import as_json, report, show_json, show_rows
from dbos.cli.workflows import workflow


@workflow.command("export")
@on_database
@click.argument("workflow_id")
@click.option("-c", "--export-children", is_flag=True, help="What it started, too, and what that started.")
@click.option("--json", "_", is_flag=True, help="Accepted; it is JSON in any case.")
def export_workflow(place: Place, workflow_id: str, export_children: bool, _: bool) -> None:
    """Print a workflow with its history as one line of JSON, for `dbos workflow import`."""
    with place.client() as client:
        document = client.export_workflow(workflow_id, export_children=export_children)
    show_json(document)


@workflow.command("import")
@on_database
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
@as_json
def import_workflow(place: Place, file: IO[str], as_json: bool) -> None:
    """Import what `dbos workflow export` printed, from FILE or from the standard input."""
    try:
        document = json.load(file)
    except (ValueError, RecursionError):
        raise fail("This is not what `dbos workflow export` prints: it is not JSON") from None
    with place.client() as client:
        ids = client.import_workflow(document)
    if as_json:
        show_json({"workflow_ids": ids})
        return
    for workflow_id in ids:
        report(f"Imported {workflow_id}", workflow_id)


@click.command("rename-application")
@on_database
@click.option("-t", "--to", "new", required=True, metavar="NAME", help="The new name.")
@click.option("-f", "--from", "old", metavar="NAME", help="The name so far.")
@click.option("--adopt-unclaimed-rows", is_flag=True, help="Take what nobody owns as well.")
@click.option("--batch-size", type=click.IntRange(min=1), default=10_000, show_default=True,
              help="So many workflows that have ended are renamed by one transaction.")  # fmt: skip
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@as_json
def rename_application(
    place: Place, new: str, old: str | None, adopt_unclaimed_rows: bool, batch_size: int, yes: bool, as_json: bool
) -> None:
    """Give everything that an application has to its new name. Stop the application first."""
    if old is None and not adopt_unclaimed_rows:
        raise click.UsageError("Say whose things they are: --from NAME, or --adopt-unclaimed-rows for what nobody owns")
    if not yes:
        click.confirm(f"Rename {old or 'what nobody owns'} to {new} in {place}?", abort=True, err=True)
    with place.client() as client:
        counts = client.rename_application(old, new, batch_size=batch_size, adopt_unclaimed_rows=adopt_unclaimed_rows)
    if as_json:
        show_json(counts)
        return
    show_rows(("renamed", "count"), [[what, str(count)] for what, count in counts.items()])
