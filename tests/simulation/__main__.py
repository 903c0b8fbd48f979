"""Run worlds by their seeds.

    python -m tests.simulation --seeds 20000 --start 1000    so many, from this one on
    python -m tests.simulation --start 17 --seeds 1          one that failed
    ... --acts 0,3 --faults none --choices 120               and of it only these parts

A failure is shrunk and told with the command that replays it. Exit status 1 if there is one, or if a rare state that
has a name was never reached by a campaign of at least 300 seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from tests.simulation.campaign import Run, campaign, run, shrink
from tests.simulation.plan import Plan, plan_of
from tests.simulation.reached import Reached

ENOUGH_SEEDS = 300  # to reach everything
REPORT_SECONDS = 30.0


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Run worlds by their seeds.")
    parser.add_argument("--seeds", type=int, default=ENOUGH_SEEDS, help="how many (default: %(default)s)")
    parser.add_argument("--start", type=int, default=0, help="the first one (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="stop after so long, however many are left")
    parser.add_argument("--acts", help="of one seed only these acts, by number, or none")
    parser.add_argument("--faults", help="of one seed only these faults, by number, or none")
    parser.add_argument("--choices", type=int, help="how many choices of the schedule are left to the seed")
    parser.add_argument("--no-shrink", action="store_true", help="tell of a failure as it is")
    options = parser.parse_args(arguments)
    if options.acts or options.faults or options.choices is not None:
        return _one(_part(plan_of(options.start), options))
    return _many(options)


def _part(plan: Plan, options: argparse.Namespace) -> Plan:
    acts, faults = _chosen(options.acts), _chosen(options.faults)
    return replace(
        plan,
        acts=tuple(act for act in plan.acts if acts is None or act.number in acts),
        faults=tuple(fault for fault in plan.faults if faults is None or fault.number in faults),
        disorder=options.choices,
    )


def _chosen(text: str | None) -> set[int] | None:
    return None if text is None else {int(word) for word in text.split(",") if word != "none"}


def _one(plan: Plan) -> int:
    done = run(plan)
    print(done.report() if done.problems else f"all is well, trace {done.trace}")
    return 1 if done.problems else 0


def _many(options: argparse.Namespace) -> int:
    reached, began, count, told = Reached(), time.monotonic(), 0, time.monotonic()
    failed: list[Run] = []
    for seed in range(options.start, options.start + options.seeds):
        if options.seconds is not None and time.monotonic() - began > options.seconds:
            break
        for failure in campaign([seed], reached):
            smallest = failure if options.no_shrink else shrink(failure)
            failed.append(failure)
            print(f"{smallest.report()}\n", flush=True)
        count += 1
        if time.monotonic() - told > REPORT_SECONDS:
            told = time.monotonic()
            print(f"{count} seeds, {len(failed)} failed", flush=True)
    missing = reached.missing() if count >= ENOUGH_SEEDS else []
    for name in missing:
        print(f"never reached: {name}")
    print(
        f"{count} seeds from {options.start}: {len(failed)} failed,"
        f" {len([each for each in reached.counts.values() if each])} rare states reached,"
        f" {time.monotonic() - began:.1f} s"
    )
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
