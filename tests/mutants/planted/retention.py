"""Deleting what has ended long ago."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

RETAINED = "tests/store/test_retention.py::{}[sqlite]"

MUTANTS = (
    Mutant(
        "a child goes that its running parent may ask for",
        "store/sql/retention.sql",
        "where c.workflow_uuid in ({each:ids}) and c.parent_workflow_id is not null",
        "where c.workflow_uuid in ({each:ids}) and false",
        RETAINED.format("test_what_an_unfinished_workflow_needs_is_kept"),
    ),
    Mutant(
        "a workflow goes that a running one has named in a step",
        "store/sql/retention.sql",
        "where o.child_workflow_id in ({each:ids})",
        "where o.child_workflow_id in ({each:ids}) and false",
        RETAINED.format("test_what_an_unfinished_workflow_needs_is_kept"),
    ),
    Mutant(
        "a batch goes by what it saw before its locks",
        "store/retention.py",
        "free = _unneeded(run, _lock(run, [each for each in aged if each not in needed]))",
        "free = _lock(run, [each for each in aged if each not in needed])",
        "tests/store/test_retention.py::test_a_parent_reopened_during_a_batch_keeps_its_child[1-postgres]",
    ),
    Mutant(
        "a batch skips what was created in the same millisecond",
        "store/sql/retention.sql",
        "(w.created_at > :after_created_at or w.sequence > :after_sequence)",
        "w.created_at > :after_created_at",
        "tests/store/test_retention.py::test_batches_go_on_behind_what_stays_and_behind_equal_times[sqlite-2]",
    ),
)
