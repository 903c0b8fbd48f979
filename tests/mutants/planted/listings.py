"""Listings that find little by reading much."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PLANS = "tests/store/test_sqlite.py::test_listings_by_status_read_what_has_it_and_not_the_history"
ANY_STATUSES = "tests/store/test_search.py::test_any_statuses_together_in_either_order[sqlite]"

MUTANTS = (
    Mutant(
        "several statuses are looked for among all workflows",
        "store/sqlite/database.py",
        "unites_indexes = False",
        "unites_indexes = True",
        PLANS,
    ),
    Mutant(
        "what failed is asked for in other words than its index",
        "store/search.py",
        'f"status in ({indexed}) and {_any(failed)}"',
        "_any(failed)",
        PLANS,
    ),
    Mutant(
        "what is on its way is looked for from the newest workflow back",
        "store/search.py",
        "by_creation or (wanted.sort_desc and unites_indexes) else",
        "by_creation or wanted.sort_desc else",
        PLANS,
    ),
    Mutant(
        "only the first of several statuses is told by the other filters",
        "store/search.py",
        '{_where([one, *conditions])}" for one in standings)',
        '{_where([one, *conditions[place:]])}" for place, one in enumerate(standings))',
        ANY_STATUSES,
    ),
)
