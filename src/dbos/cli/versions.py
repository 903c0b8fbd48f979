"""`dbos version`: the version of the command, and those of applications."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import click

from dbos.cli.database import Place, on_database
from dbos.cli.failures import Group, fail
from dbos.cli.output import as_json, moment, report, show_json, show_rows, text


@click.group(cls=Group, invoke_without_command=True)
@as_json
@click.pass_context
def version(context: click.Context, as_json: bool) -> None:
    """Show the version of this command; or list the versions of applications, and choose the latest."""
    if context.invoked_subcommand is not None:
        return
    try:
        number = installed("dbos")
    except PackageNotFoundError:
        number = "unknown"  # run from a source tree that was never installed
    if as_json:
        show_json({"version": number})
    else:
        click.echo(f"DBOS CLI version: {number}")


@version.command("list")
@on_database
@as_json
def list_versions(place: Place, as_json: bool) -> None:
    """List the versions of applications that were ever launched, the latest first."""
    with place.client() as client:
        found = client.list_application_versions()
    if as_json:
        show_json(found)
        return
    rows = [
        [each["version_name"], text(each["application_name"]), moment(each["version_timestamp"]),
         moment(each["created_at"])]
        for each in found
    ]  # fmt: skip
    show_rows(("version", "application", "latest since", "first launched"), rows)


@version.command("set-latest")
@on_database
@click.argument("version_name")
@click.option("-a", "--application-name", help="Whose version, if several applications have one of this name.")
@as_json
def set_latest(place: Place, version_name: str, application_name: str | None, as_json: bool) -> None:
    """Let a version run what is enqueued without one."""
    with place.client() as client:
        if version_name not in {each["version_name"] for each in client.list_application_versions()}:
            raise fail(f"Version {version_name!r} was never launched")
        client.set_latest_application_version(version_name, application_name=application_name)
    if as_json:
        show_json({"version_name": version_name})
    else:
        report(f"Version {version_name} is the latest now", version_name)
