"""Enqueueing and sending out of SQL."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a workflow that SQL enqueues wakes nobody",
        "store/migrations/postgres/0009_sql_functions.sql",
        "'sql', 'enqueued', json_build_array(queue_name)",
        "'sql', 'message', json_build_array(queue_name)",
        "tests/acceptance/test_sql_functions.py::test_the_commit_tells_the_listeners",
    ),
    Mutant(
        "SQL sends a message to nobody",
        "store/migrations/postgres/0009_sql_functions.sql",
        "    if not found then",
        "    if false then",
        "tests/acceptance/test_sql_functions.py::test_psql_sends_what_a_workflow_receives",
    ),
)
