"""The command line of the campaign.

    python -m tests.torture --minutes 60 --seed 7          an hour of harm, and then every enumeration
    python -m tests.torture --only fleet --minutes 10      what has that word in its name
    python -m tests.torture --only zombies --reduced       as `make test` plays it
    python -m tests.torture --only simulation --keep --resume    go on with what was kept, part by part
    python -m tests.torture --list
    python -m tests.torture report                         write docs/reliability.md from what was kept

`--minutes` is for harm; the enumerations go on to their end, unless `--limit` says after how many minutes each of them
begins no further part. Each line ends with the command that repeats it. The seed decides what is done and when; how
real processes interleave it cannot decide. Exit status 1 if anything broke. With `--keep`, the results go to
docs/reliability.json.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence

from tests.support.signals import let_children_be_stopped
from tests.torture import campaign, report, results
from tests.torture.enumeration import enumerate_points
from tests.torture.enumerations import ENUMERATIONS
from tests.torture.laboratory import OwnLaboratory
from tests.torture.results import Result
from tests.torture.scenario import SCENARIOS


def main(arguments: Sequence[str]) -> int:
    """Play what was asked for, and print a line for each."""
    options = read(arguments)
    if options.what == "report":
        report.write(list(results.load().values()))
        return 0

    names = SCENARIOS.keys() | ENUMERATIONS.keys()

    def wanted(name: str) -> bool:
        return not options.only or any(name == word if word in names else word in name for word in options.only)

    scenarios = [each for name, each in SCENARIOS.items() if wanted(name)]
    enumerations = [each for name, each in ENUMERATIONS.items() if wanted(name)]
    if options.list:
        print("\n".join(f"{each.name:26} {each.what}" for each in (*scenarios, *enumerations)))
        return 0
    if not scenarios and not enumerations:
        print("nothing has that in its name", file=sys.stderr)
        return 2
    let_children_be_stopped()
    seconds = 0.0 if options.reduced else options.minutes * 60
    shares = sum(each.share for each in scenarios) or 1
    found: list[Result] = []

    def note(result: Result) -> None:
        found.append(result)
        print(report.line(result), flush=True)
        if options.keep:
            results.keep([result])

    if scenarios:
        with OwnLaboratory() as laboratory:
            for each in scenarios:
                share = seconds * each.share / shares
                note(campaign.play(each, laboratory, seed=options.seed, seconds=share, long=not options.reduced))
    if not options.reduced:
        for enumeration in enumerations:
            begun = results.to_resume(enumeration.name, options.seed) if options.resume else None
            note(enumerate_points(enumeration, options.seed, options.limit * 60, begun))
    return 0 if all(each.is_well for each in found) else 1


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", nargs="?", choices=["run", "report"], default="run")
    parser.add_argument("--minutes", type=float, default=30.0, help="of harm, shared by the scenarios (default: 30)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--only", action="append", default=[], help="a name, or a part of names; may be given again")
    parser.add_argument("--reduced", action="store_true", help="one small round of each")
    parser.add_argument("--keep", action="store_true", help="keep the results for the report")
    parser.add_argument("--limit", type=float, default=float("inf"), help="minutes of each enumeration (default: all)")
    parser.add_argument("--resume", action="store_true", help="go on with what was kept of the same seed and commit")
    parser.add_argument("--list", action="store_true", help="only list what there is")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
