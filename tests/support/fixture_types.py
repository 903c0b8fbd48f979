"""The types of the fixtures that are functions."""

from collections.abc import Callable
from typing import Any

from dbos import DBOS, WorkflowHandle

Launch = Callable[..., type[DBOS]]
"""Launch DBOS on the test's database, with these configuration keys; once more for what a restart does."""

Replay = Callable[[str], WorkflowHandle[Any]]
"""Run a finished workflow again from its recorded steps, as if its process had died just before the end."""
