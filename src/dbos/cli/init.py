"""`dbos init`: a new project that runs as it is."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from dbos.cli.failures import fail
from dbos.cli.output import as_json, on_terminal, report, show_json
from dbos.cli.project import FILE

TEMPLATES = ("dbos-toolbox", "dbos-app-starter", "dbos-cron-starter", "dbos-db-starter")
COMMON = "common"
NAME = "my-app"
_NAME = re.compile(r"[a-z0-9_-]{3,256}")
_PLACEHOLDER = "project-name"


@click.command()
@click.argument("project_name", required=False)
@click.option("-t", "--template", metavar="NAME", default=TEMPLATES[0], show_default=True,
              help=f"What to begin with: {', '.join(TEMPLATES)}.")  # fmt: skip
@click.option("-c", "--config", is_flag=True, help=f"Only write {FILE}, here.")
@as_json
def init(project_name: str | None, template: str, config: bool, as_json: bool) -> None:
    """Make a new project in a directory of its name."""
    if template not in TEMPLATES:
        raise fail(f"There is no template {template!r}; choose one of {', '.join(TEMPLATES)}")
    name = project_name or (_own_name() if config else click.prompt("The name of the project", NAME, err=True))
    if not _NAME.fullmatch(name):
        raise fail(f"{name!r} cannot be a name: it takes 3 to 256 lowercase letters, digits, - and _")
    directory = Path.cwd() if config else Path.cwd() / name
    contents = {FILE: _read(_templates() / COMMON / FILE, name)} if config else _files(template, name)
    taken = [file for file in contents if (directory / file).exists()]
    if taken:
        raise fail(f"{directory / taken[0]} is there already: nothing was written")
    for file, text in contents.items():
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text(text, encoding="utf-8")
    if as_json:
        show_json({"name": name, "directory": str(directory), "files": list(contents)})
        return
    report(f"Made {directory} out of the template {template}" if not config else f"Wrote {FILE}", str(directory))
    if on_terminal() and not config:
        click.echo(f"\n  cd {name}\n  pip install -r requirements.txt\n  dbos start", err=True)


def _own_name() -> str:
    """The name of the directory we are in, as far as it can be one."""
    return re.sub(r"[^a-z0-9_-]+", "-", Path.cwd().name.lower()).strip("-").ljust(3, "0")


def _files(template: str, name: str) -> dict[str, str]:
    """Path in the project -> content. A template's own files come over those that all have in common."""
    found: dict[str, str] = {}
    for folder in (COMMON, template):
        for entry in (_templates() / folder).iterdir():
            if entry.is_file():
                found[".gitignore" if entry.name == "gitignore" else entry.name] = _read(entry, name)
    return dict(sorted(found.items()))


def _templates() -> Traversable:
    return files("dbos.cli") / "templates"


def _read(file: Traversable, name: str) -> str:
    return file.read_text(encoding="utf-8").replace(_PLACEHOLDER, name)
