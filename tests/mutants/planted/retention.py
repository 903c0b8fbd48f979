"""Deleting what has ended long ago."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

RETAINED = "tests/store/test_retention.py::{}[sqlite]"

MUTANTS = (
    Mutant(
        "a child goes that its running parent may ask for",
        "store/sql/retention.sql",
        "where p.workflow_uuid = w.parent_workflow_id and p.completed_at is null",
        "where p.workflow_uuid = w.parent_workflow_id and false",
        RETAINED.format("test_what_an_unfinished_workflow_needs_is_kept"),
    ),
    Mutant(
        "a workflow goes that a running one has named in a step",
        "store/sql/retention.sql",
        "where o.child_workflow_id = w.workflow_uuid and r.completed_at is null",
        "where o.child_workflow_id = w.workflow_uuid and false",
        RETAINED.format("test_what_an_unfinished_workflow_needs_is_kept"),
    ),
    Mutant(
        "a batch skips what was created in the same millisecond",
        "store/sql/retention.sql",
        "(w.created_at > :after_created_at or w.sequence > :after_sequence)",
        "w.created_at > :after_created_at",
        "tests/store/test_retention.py::test_batches_go_on_behind_what_stays_and_behind_equal_times[sqlite-2]",
    ),
)
