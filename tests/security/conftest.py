"""The fixtures of the command line, and an application that has done something."""

from __future__ import annotations

from tests.cli.conftest import run

__all__ = ["run"]
