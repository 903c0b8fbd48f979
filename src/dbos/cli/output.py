"""What was found, in the form that fits who reads it.

A person at a terminal gets a table, a pipe gets one line per row with its fields between tabs and no heading, and
`--json` gives one document on one line. What was stored is never trusted with the terminal: characters that steer it
are shown as escapes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import click

from dbos.error import PortableWorkflowError

as_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")

MOST_LEVELS = 100  # of containers in containers
MOST_BITS = 2_000  # of a whole number: Python writes long ones in no other base than those of a power of two

Row = Sequence[str]


def on_terminal() -> bool:
    """Does a person read this?"""
    return sys.stdout.isatty()


def show_rows(headings: Sequence[str], rows: Iterable[Row]) -> None:
    """A table on a terminal, lines of tab-separated fields elsewhere.

    Args:
        headings: The names of the columns of the table.
        rows: The cells of each row. Those beyond the headings go to pipes only: a terminal is narrow.
    """
    plain = [[printable(cell) for cell in row] for row in rows]
    if not on_terminal():
        for row in plain:
            click.echo("\t".join(row))
        return
    if not plain:
        click.echo("Nothing found.", err=True)
        return
    _print_table(headings, [row[: len(headings)] for row in plain])


def _print_table(headings: Sequence[str], rows: list[list[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    shown = _fitting(widths, console.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings[:shown]):
        table.add_column(heading, overflow="fold", no_wrap=widths[number] <= _unbroken(number))
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row[:shown]))
    console.print(table)
    if left_out := headings[shown:]:
        click.echo(f"Left out, because the terminal is narrow: {', '.join(left_out)}", err=True)


def _fitting(widths: list[int], room: int) -> int:
    """How many columns the terminal has room for, from the left, and two at least: the first is what commands take."""
    needed = 2  # the edges of the table
    for number, width in enumerate(widths):
        needed += min(width, _unbroken(number)) + (SEPARATOR if number else 0)
        if needed > room and number >= 2:
            return number
    return len(widths)


def _unbroken(number: int) -> int:
    """How long a cell of this column may be before it is folded."""
    return LONGEST_UNBROKEN if number else LONGEST_NAME


LONGEST_NAME = (
    40  # characters, of the first column: generated ids, and those of their children, can be copied as a whole
)
LONGEST_UNBROKEN = 24  # of the others
SEPARATOR = 3  # between two columns

STYLES = {
    "SUCCESS": "green",
    "ERROR": "red",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "red",
    "CANCELLED": "yellow",
    "PENDING": "cyan",
    "ACTIVE": "green",
    "PAUSED": "yellow",
}


def show_fields(fields: dict[str, str]) -> None:
    """One thing: a line per field."""
    if not on_terminal():
        for name, value in fields.items():
            click.echo(f"{name}\t{printable(value)}")
        return
    width = max(map(len, fields))
    for name, value in fields.items():
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {printable(value)}")


def show_json(document: Any) -> None:
    """One line of JSON."""
    click.echo(json.dumps(plain(document), allow_nan=False))


def report(sentence: str, machine: str | None = None) -> None:
    """What was done: a sentence for a person, and for a pipe the word that matters, if there is one."""
    if on_terminal():
        click.echo(printable(sentence))
    elif machine is not None:
        click.echo(printable(machine))


def printable(text: str) -> str:
    """On one line, with escapes in place of what would steer a terminal or break a line of fields."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


# ------------------------------------------------------------ values


def moment(epoch_ms: int | None) -> str:
    """A time as the filters take it, in UTC and to the second; empty for none."""
    if epoch_ms is None:
        return ""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def text(value: Any) -> str:
    """A stored value as one text: JSON where it is plain, else as Python shows it; empty for None."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseException):
        return described(value)
    try:
        return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
    except ValueError:
        return _shown(value, repr)


def described(error: BaseException) -> str:
    """An error as a text: what it is called, and what it says."""
    name = error.name if isinstance(error, PortableWorkflowError) else type(error).__name__
    says = _shown(error, str)
    return f"{name}: {says}" if says else name


def plain(value: Any, around: tuple[int, ...] = ()) -> Any:
    """A value as JSON can hold it; what it cannot hold becomes a text. `around`: the ids of what contains it."""
    match value:
        case int() if value.bit_length() > MOST_BITS:
            return hex(value)
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else str(value)  # JSON knows neither infinity nor NaN
        case BaseException():
            return described(value)
    if id(value) in around:
        return "..."
    if len(around) == MOST_LEVELS:
        return _shown(value, str)
    around = (*around, id(value))
    match value:
        case dict():
            return {k if isinstance(k, str) else _shown(k, str): plain(item, around) for k, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item, around) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), around) for field in fields(value)}
    return _shown(value, str)


def _shown(value: Any, show: Callable[[Any], str]) -> str:
    """Classes of users may do anything when they are shown."""
    try:
        return show(value)
    except Exception:
        return f"<{type(value).__name__}>"
