"""The command line: build the environments, measure, print the table, and keep it in the documentation.

A complete run (every workload, both databases, the original release, at least three rounds) also replaces the table in
`docs/performance.md`; anything less is only printed. All single figures go to `.bench/`, as JSON.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterable

from benchmarks import machine, report
from benchmarks.catalogue import BOTH, WORKLOADS, DatabaseKind, Workload
from benchmarks.databases import Databases, OpenDatabases
from benchmarks.environments import CHECKOUT, DIRECTORY, ORIGINAL, OURS
from benchmarks.history import AgedDatabases
from benchmarks.measurement import Contender, Series, measure
from benchmarks.report import Comparison
from benchmarks.targets import AGED_TARGET, Target, Verdict, target

DOCUMENT = CHECKOUT / "docs" / "performance.md"
LEAST_ROUNDS = 3  # fewer say nothing about scatter, and are not published
AGED_WORKFLOWS = 500_000


def main() -> int:
    """Returns 1 if a script failed or a figure fell below what is accepted."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinding ends the running script and drops its database
    workloads = [one.sized(quick=options.quick) for one in WORKLOADS if not options.only or one.name in options.only]
    kinds: list[DatabaseKind] = [options.database] if options.database else list(BOTH)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the caches must be there to be warm
    for environment in (OURS, ORIGINAL) if _needs_original(options) else (OURS,):
        environment.build()
        environment.evaluate("dbos")  # fills the bytecode caches: a first import would compile

    with OpenDatabases(kinds) as databases:
        run = _aged if options.aged else _side_by_side
        rows, contender, other = run(workloads, list(databases.values()), options)
        facts = _facts(databases.values())

    text = "\n\n".join([report.table(rows, contender, other), report.LEGEND, _described(facts)])
    print(text)
    section = "aged" if options.aged else "benchmark"
    DIRECTORY.mkdir(exist_ok=True)
    report.write_json(DIRECTORY / f"{section}.json", facts, rows)
    series = [one for row in rows for one in (row.ours, row.other) if one is not None]
    if trouble := report.failures(series):
        print(trouble, file=sys.stderr)
    elif _is_complete(options):
        report.replace_section(DOCUMENT, section, text)
    return int(bool(trouble) or any(row.verdict is Verdict.MISSED for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    names = [one.name for one in WORKLOADS]
    parser.add_argument("--rounds", type=int, help=f"how often everything runs (default {LEAST_ROUNDS}; quick: 1)")
    parser.add_argument("--only", action="append", choices=names, metavar="WORKLOAD", help=", ".join(names))
    parser.add_argument("--database", choices=BOTH, help="only this kind of database")
    parser.add_argument("--quick", action="store_true", help="small counts: minutes instead of a quarter of an hour")
    parser.add_argument("--no-original", action="store_true", help="measure only this checkout")
    parser.add_argument(
        "--aged",
        type=int,
        nargs="?",
        const=AGED_WORKFLOWS,
        metavar="WORKFLOWS",
        help=f"compare with our own figures on a database that holds so many finished workflows ({AGED_WORKFLOWS:,})",
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else LEAST_ROUNDS)
    return options


def _needs_original(options: argparse.Namespace) -> bool:
    return not (options.no_original or options.aged)


def _is_complete(options: argparse.Namespace) -> bool:
    partial = options.quick or options.only or options.database or options.no_original
    return not partial and options.rounds >= LEAST_ROUNDS and options.aged in (None, AGED_WORKFLOWS)


Outcome = tuple[list[Comparison], str, str | None]


def _side_by_side(workloads: list[Workload], databases: list[Databases], options: argparse.Namespace) -> Outcome:
    """This checkout beside the original release, each on fresh databases."""
    contenders = [Contender("ours", OURS)]
    if _needs_original(options):
        contenders.append(Contender("original 3.4.0", ORIGINAL))
    series = measure(workloads, databases, contenders, rounds=options.rounds)
    other = contenders[1].label if len(contenders) > 1 else None
    return _compare(series, "ours", other, target), "ours", other


def _aged(workloads: list[Workload], databases: list[Databases], options: argparse.Namespace) -> Outcome:
    """This checkout on a database with a long history, beside itself on empty ones."""
    aged, empty = f"{options.aged:,} finished workflows", "empty database"
    with AgedDatabases(OURS, options.aged) as supply:
        contenders = [Contender(aged, OURS, supply), Contender(empty, OURS)]
        asked = [one for one in workloads if one.on_history]
        series = measure(asked, databases, contenders, rounds=options.rounds)
    return _compare(series, aged, empty, lambda workload, database: AGED_TARGET), aged, empty


def _compare(
    series: list[Series], contender: str, other: str | None, target_of: Callable[[str, DatabaseKind], Target | None]
) -> list[Comparison]:
    found = {(one.workload.name, one.database, one.contender): one for one in series}
    return [
        Comparison(
            one.workload,
            one.database,
            one,
            found[one.workload.name, one.database, other] if other else None,
            target_of(one.workload.name, one.database),
        )
        for one in series
        if one.contender == contender
    ]


def _facts(databases: Iterable[Databases]) -> dict[str, str]:
    return {
        "command": shlex.join(["python", "benchmarks/run.py", *sys.argv[1:]]),
        "machine": machine.hardware(),
        "versions": ", ".join(
            [f"Python {OURS.evaluate('platform.python_version()')}", *(one.version() for one in databases)]
        ),
        "commit": machine.commit(),
    }


def _described(facts: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {f'`{value}`' if name == 'command' else value}" for name, value in facts.items())
