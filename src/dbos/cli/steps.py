"""`dbos workflow steps`: what a workflow has done so far, as a timeline."""

from __future__ import annotations

import click

from dbos.cli.database import Place, on_database
from dbos.cli.output import STYLES, as_json, moment, on_terminal, printable, show_json, show_rows, text
from dbos.cli.timeline import Span, bars, duration
from dbos.cli.workflows import workflow
from dbos.model.status import StepInfo, WorkflowStatus

NARROWEST_BAR, WIDEST_BAR = 10, 60


@workflow.command()
@on_database
@click.argument("workflow_id")
@click.option("-l", "--limit", type=click.IntRange(min=0), help="At most so many.")
@click.option("-o", "--offset", type=click.IntRange(min=0), help="Skip so many first.")
@as_json
def steps(place: Place, workflow_id: str, limit: int | None, offset: int | None, as_json: bool) -> None:
    """Show the recorded steps of a workflow: on a terminal as a timeline."""
    with place.client() as client:
        status = client.retrieve_workflow(workflow_id).get_status()
        found = client.list_workflow_steps(workflow_id, limit=limit, offset=offset)
    if as_json:
        show_json(found)
    elif on_terminal():
        _draw(status, found)
    else:
        show_rows((), [step_fields(step) for step in found])


def step_fields(step: StepInfo) -> list[str]:
    """Number, name, begin, end, milliseconds, child, output, error."""
    begin, end = step["started_at_epoch_ms"], step["completed_at_epoch_ms"]
    lasted = "" if begin is None or end is None else str(end - begin)
    times = [moment(begin), moment(end), lasted]
    outcome = [step["child_workflow_id"] or "", text(step["output"]), text(step["error"])]
    return [str(step["function_id"]), step["function_name"], *times, *outcome]


def _draw(status: WorkflowStatus, found: list[StepInfo]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    spans = [span_of(step) for step in found]
    whole = whole_of(status, spans)
    console = Console(highlight=False)
    longest = max((len(printable(step["function_name"])) for step in found), default=0)
    width = min(WIDEST_BAR, max(NARROWEST_BAR, console.width - longest - 36))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("step", justify="right")
    table.add_column("name", overflow="fold")
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column(f"0 to {duration(whole.end_ms - whole.begin_ms)}", no_wrap=True, min_width=width)
    for step, span, bar in zip(found, spans, bars(spans, whole, width), strict=True):
        after = "" if span is None else duration(span.begin_ms - whole.begin_ms)
        took = "" if span is None else duration(span.end_ms - span.begin_ms)
        name = printable(step["function_name"])
        failed = step["error"] is not None
        number = Text(f"{'✗ ' if failed else ''}{step['function_id']}", style="red" if failed else "")
        table.add_row(number, Text(name), after, took, Text(bar, style="red" if failed else "cyan"))
    head = Text(f"{printable(status.workflow_id)}  {printable(status.name)}  ")
    console.print(head + Text(status.status, style=STYLES.get(status.status, "")))
    console.print(table if found else "No steps so far.")


def span_of(step: StepInfo) -> Span | None:
    """When a step ran, as far as that was recorded."""
    begin, end = step["started_at_epoch_ms"], step["completed_at_epoch_ms"]
    if begin is None and end is None:
        return None
    first = begin if begin is not None else end
    last = end if end is not None else begin
    assert first is not None
    assert last is not None
    return Span(first, max(first, last))


def whole_of(status: WorkflowStatus, spans: list[Span | None]) -> Span:
    """From when the workflow was created to its end, or to the end of what is known of it."""
    known = [span for span in spans if span is not None]
    begin = status.created_at if status.created_at is not None else min((span.begin_ms for span in known), default=0)
    ends = [span.end_ms for span in known]
    if status.completed_at is not None:
        ends.append(status.completed_at)
    return Span(begin, max([begin, *ends]))
