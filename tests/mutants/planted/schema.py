"""Opening a database that is new, and making its schema."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "a launch that fails leaves half a schema in an empty database",
        "store/migrations/migrate.py",
        "for together in [steps] if version == 0 else [[step] for step in steps]:",
        "for together in [[step] for step in steps]:",
        "tests/store/test_migrations.py::test_an_empty_database_gets_all_steps_or_none[sqlite]",
    ),
    Mutant(
        "the connection that migrated a file leaves it before the others come",
        "store/sqlite/lifecycle.py",
        "                return database, database.connect(Role.WRITER)\n",
        "                connection.close()\n                return database, database.connect(Role.WRITER)\n",
        "tests/store/test_sqlite.py::test_a_new_file_is_opened_without_a_checkpoint",
    ),
)
