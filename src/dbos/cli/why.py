"""`dbos workflow why`: why a workflow stands where it stands, and what can be done."""

from __future__ import annotations

import click

from dbos.cli.database import Place, on_database
from dbos.cli.output import as_json, on_terminal, printable, show_json, show_rows
from dbos.cli.workflows import workflow


@workflow.command()
@on_database
@click.argument("workflow_id")
@as_json
def why(place: Place, workflow_id: str, as_json: bool) -> None:
    """Say why a workflow does not run, or what it does."""
    with place.client() as client:
        found = client.explain_workflow(workflow_id)
    if as_json:
        show_json(found)
    elif on_terminal():
        for reason in found:
            click.echo(printable(reason.sentence) + ".")
            if reason.remedy is not None:
                click.echo(f"  → {printable(reason.remedy)}")
    else:
        show_rows((), [[reason.code, reason.sentence, reason.remedy or ""] for reason in found])
