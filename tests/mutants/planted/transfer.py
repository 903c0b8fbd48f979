"""Export, import and another name for an application."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a new name takes what nobody owns without being asked",
        "store/sql/ownership.sql",
        "(application_name = :old or (:unclaimed = 1 and application_name is null))",
        "(application_name = :old or (:unclaimed = :unclaimed and application_name is null))",
        "tests/acceptance/test_ownership.py::test_what_nobody_owns_is_adopted_if_it_shall_be[sqlite]",
    ),
    Mutant(
        "an imported workflow loses its place among the versions of its id",
        "store/sql/transfer.sql",
        "        ),\n        :epoch\n    ),\n",
        "        ),\n        :epoch * 0\n    ),\n",
        "tests/acceptance/test_transfer.py::test_export_and_import_are_the_identity[sqlite]",
    ),
    Mutant(
        "whoever is overtaken by an import gives up",
        "store/transfer.py",
        "LOOKS = 3",
        "LOOKS = 1",
        "tests/acceptance/test_transfer.py::test_who_is_overtaken_while_he_looks_finds_who_came_first[postgres]",
    ),
    Mutant(
        "an import takes an older state for the one that is exported",
        "store/transfer.py",
        'if epoch < workflow["epoch"]:',
        "if False:",
        "tests/acceptance/test_transfer.py::test_another_workflow_under_the_id_and_an_older_state[sqlite]",
    ),
)
