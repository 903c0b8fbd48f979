"""The enumerations: what is gone through to the last point, and how much of it is wanted."""

from __future__ import annotations

import tests.crash.every_scenario  # noqa: F401
from tests.crash.scenario import SCENARIOS as CRASH_SCENARIOS
from tests.mutants.planted import FAMILIES as FAMILIES_OF_BUGS
from tests.torture.enumeration import Enumeration


def suite(*arguments: str) -> tuple[str, ...]:
    """Tests of the suite, in the random order of the seed."""
    return ("pytest", "-q", "--randomly-seed={seed}", *arguments)


FAMILIES = tuple(sorted({name.partition("-")[0] for name in CRASH_SCENARIOS}))
"""Of scenarios of the crash suite: each is a part."""
SEEDS, SEEDS_OF_A_PART = 20_000, 1_000  # of the simulation


def seeds_from(seed: int) -> tuple[str, ...]:
    """The first seed of each part of the simulation."""
    return tuple(str(first) for first in range(seed, seed + SEEDS, SEEDS_OF_A_PART))


CRASH = ("I1", "I3", "I4", "I5", "I6", "I7", "I9", "I10", "I11", "I12", "I14")
CRASH_POINTS = "tests/crash/test_crash_points.py::test_a_killed_run_is_recovered_at_every_effect"
DOUBLE_CRASHES = "tests/crash/test_crash_points.py::test_a_run_killed_again_while_it_recovers_is_recovered"

CRASHES = (
    Enumeration(
        "crash-points-sqlite",
        "Every scenario of the crash suite is killed before and after every effect, and recovered.",
        ("F1",),
        CRASH,
        suite(CRASH_POINTS, "-k", "sqlite-{part}-", "--all-points"),
        goals={"tests": len(CRASH_SCENARIOS)},
        parts=lambda seed: FAMILIES,
    ),
    Enumeration(
        "crash-points-postgres",
        "The same on Postgres.",
        ("F1",),
        CRASH,
        suite(CRASH_POINTS, "-k", "postgres-{part}-", "--all-points"),
        goals={"tests": len(CRASH_SCENARIOS)},
        parts=lambda seed: FAMILIES,
    ),
    Enumeration(
        "double-crashes",
        "The run that recovers is killed too: pairs of points, evenly spread over every scenario.",
        ("F3",),
        CRASH,
        suite(DOUBLE_CRASHES, "-k", "sqlite", "--pairs=36"),
        goals={"double crashes": 2_000},
    ),
    Enumeration(
        "kills-at-commits",
        "Processes are killed before, during and after every commit.",
        ("F2", "F3"),
        ("I1", "I4", "I5", "I10"),
        suite("tests/processes/test_kill_at_commit.py", "--all-points"),
        goals={"kills": 1_000},
    ),
    Enumeration(
        "kills-in-transactions",
        "Processes are killed around every phase of a transaction of the user's.",
        ("F2",),
        ("I15", "I16"),
        suite("tests/processes/test_kill_in_transaction.py"),
    ),
    Enumeration(
        "kills-elsewhere",
        "Receivers, writers of streams and schedulers are killed again and again: nothing is lost or doubled.",
        ("F13",),
        ("I29", "I30", "I33", "I34", "I37"),
        suite(
            "tests/processes/test_message_faults.py",
            "tests/processes/test_stream_faults.py",
            "tests/processes/test_schedulers.py",
        ),
    ),
    Enumeration(
        "stale-executors",
        "An executor sleeps past its lease after ever more steps of one workflow, and wakes.",
        ("F14",),
        ("I4", "I6", "I16"),
        suite("tests/processes/test_two_executors.py", "--all-points"),
    ),
)
ERRORS = (
    Enumeration(
        "cancel-points",
        "The task of every asynchronous scenario is cancelled before, during and after every effect.",
        ("F25",),
        ("I4", "I5", "I9", "I42"),
        suite("tests/crash/test_cancel_points.py", "--all-points"),
        goals={"cancellations": 3_000},
    ),
    Enumeration(
        "error-points",
        "Every exchange of every scenario with the database fails once, by each class of errors in turn.",
        ("F5",),
        ("I4", "I5", "I9", "I11", "I12"),
        suite("tests/crash/test_error_points.py", "-k", "{part}-", "--all-points"),
        goals={"tests": len(CRASH_SCENARIOS)},
        parts=lambda seed: FAMILIES,
    ),
    Enumeration(
        "lost-replies",
        "Every record of every scenario is written twice, as after a reply that was lost.",
        ("F4",),
        ("I1", "I4", "I9", "I29", "I32"),
        suite("tests/crash/test_lost_replies.py", "--all-points"),
    ),
    Enumeration(
        "unknown-commits",
        "The connection is cut before and after every write of the journal, in both colours.",
        ("F4",),
        ("I1", "I4", "I7", "I11"),
        suite("tests/processes/test_unknown_commit.py"),
    ),
    Enumeration(
        "transactions",
        "Transactions of the user's lose replies and connections, clash, are cancelled and run twice.",
        ("F4",),
        ("I15", "I16", "I17"),
        suite("tests/acceptance/test_transaction_faults.py", "tests/acceptance/test_async_transaction_faults.py"),
    ),
    Enumeration(
        "state-machines",
        "Random sequences of verbs against independent models: statuses, queues, messages, streams, management.",
        ("F31",),
        ("I2", "I3", "I19", "I20", "I21", "I22", "I23", "I24", "I25", "I29", "I30", "I34", "I41", "I43", "I44"),
        suite("tests/crash", "-k", "machine"),
    ),
)
SURROUNDINGS = (
    Enumeration(
        "difficult-databases",
        "Everything through a pooler, by a single connection, and with timeouts of 50 ms that somebody has set.",
        ("F10", "F11", "F12"),
        ("I5",),
        suite(
            "tests/acceptance/test_adverse_database.py",
            "tests/acceptance/test_pooler.py",
            "tests/store/test_pooler.py",
            "tests/store/test_lifecycle.py",
        ),
    ),
    Enumeration(
        "suite-through-a-pooler",
        "The whole suite, through pgbouncer in transaction mode.",
        ("F10",),
        (),
        suite("-n", "2", "--dist", "worksteal", "--pooler"),
    ),
    Enumeration(
        "suite-as-a-worker",
        "What the suite tests on Postgres, as the role of least privilege that `dbos migrate --app-role` sets up.",
        (),
        (),
        suite("-n", "2", "--dist", "worksteal", "--worker-role", "-k", "postgres"),
    ),
    Enumeration(
        "texts-and-values",
        "Random values there and back, hostile texts in every parameter that is one, and what nobody can store.",
        ("F23",),
        ("I2", "I14"),
        suite(
            "tests/model",
            "tests/acceptance/test_bad_input.py",
            "tests/acceptance/test_serialization.py",
            "tests/security/test_texts.py",
        ),
    ),
    Enumeration(
        "crowds",
        "Ten thousand who wait, a thousand partitions, thousands of threads' work: what waits costs next to nothing.",
        ("F24",),
        ("I22", "I49"),
        suite(
            "tests/acceptance/test_costs.py",
            "tests/acceptance/test_queue_costs.py",
            "tests/store/test_claims.py::test_many_partitions_none_of_which_starves",
            "tests/store/test_workflows.py::test_ten_thousand_waiters_are_one_query",
        ),
    ),
    Enumeration(
        "security",
        "Pickles that act when read, passwords that must not show, hostile texts. (Counts of both databases.)",
        (),
        (),
        suite(
            "tests/security",
            "tests/model/test_database_url.py",
            "tests/api/test_configuration.py::test_secrets_show_neither_in_errors_nor_in_settings",
            "tests/store/test_search.py::test_values_stay_values",
            "tests/store/test_lifecycle.py::test_every_schema_and_several_side_by_side",
            "tests/store/test_lifecycle.py::test_a_role_that_may_only_run_workflows",
        ),
        goals={"malicious pickles": 50},
    ),
)
PROOFS = (
    Enumeration(
        "simulation",
        "Several executors, one database and the clock on one thread: a seed is a run, harm and schedule included.",
        ("F32",),
        ("I1", "I3", "I4", "I5", "I6", "I9", "I10"),
        ("tests.simulation", "--seeds", str(SEEDS_OF_A_PART), "--start", "{part}"),
        r"(?P<seeds>\d+) seeds from \d+: (?P<failed>\d+) failed, (?P<rare_states_reached>\d+) rare states",
        goals={"seeds": SEEDS, "rare states reached": 40},
        parts=seeds_from,
        levels=frozenset(("rare states reached",)),
    ),
    Enumeration(
        "oracles",
        "What judges all this is shown red: every rule of it is broken once, and noticed.",
        ("F33",),
        (),
        suite("tests/torture/test_verdict.py", "tests/mutants/test_oracles.py"),
    ),
    Enumeration(
        "planted-bugs",
        "Bugs planted in a copy of the source, each of which a test must find.",
        ("F33",),
        (),
        ("tests.mutants", "--family", "{part}"),
        r"(?P<planted_bugs_found>\d+) of (?P<planted_bugs>\d+) planted",
        goals={"planted bugs found": 60},
        parts=lambda seed: FAMILIES_OF_BUGS,
    ),
)
ALL = (*CRASHES, *ERRORS, *SURROUNDINGS, *PROOFS)
ENUMERATIONS = {each.name: each for each in ALL}
