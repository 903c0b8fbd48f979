"""Where the program `dbos` begins: it says how to install what the command line takes, if that is not there."""

from __future__ import annotations

import sys

REQUIRED = ("click", "rich", "yaml")


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    try:
        from dbos.cli.commands import dbos
    except ModuleNotFoundError as missing:
        if missing.name not in REQUIRED:
            raise
        sys.exit(f"The command line needs {missing.name}: pip install 'dbos[cli]'")
    dbos.main(prog_name="dbos")
