"""The command `dbos` with all its groups."""

from __future__ import annotations

import logging

import click

from dbos.cli import moving, steps, watching, why  # they add their commands to the group of workflows
from dbos.cli.failures import Group
from dbos.cli.init import init
from dbos.cli.migrations import migrate, reset
from dbos.cli.moving import rename_application
from dbos.cli.postgres import postgres
from dbos.cli.queues import queue
from dbos.cli.schedules import schedule
from dbos.cli.start import start
from dbos.cli.versions import version
from dbos.cli.workflows import workflow

__all__ = ["dbos", "moving", "steps", "watching", "why"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def dbos() -> None:
    """Durable execution: set projects up, look at workflows and steer them.

    The system database is the one of --sys-db-url, of dbos-config.yaml in this directory, or of the variable
    DBOS_SYSTEM_DATABASE_URL. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)  # to stderr


for command in (init, start, migrate, reset, workflow, queue, schedule, version, rename_application, postgres):
    dbos.add_command(command)
