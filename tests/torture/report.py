"""Results in, docs/reliability.md out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import tests.torture.scenarios  # noqa: F401 (fills the list of them)
from tests.torture.enumeration import Enumeration
from tests.torture.enumerations import ENUMERATIONS
from tests.torture.invariants import INVARIANTS
from tests.torture.results import ROOT, Result
from tests.torture.scenario import SCENARIOS, Scenario

DOCUMENT = ROOT / "docs" / "reliability.md"

Line = Scenario | Enumeration
LINES: dict[str, Line] = {**SCENARIOS, **ENUMERATIONS}
"""All that a campaign does."""

INTRODUCTION = """\
# Reliability

This page is generated: `python -m tests.torture report` writes it from the results in
[reliability.json](reliability.json). What is promised stands in [Guarantees](explanation/guarantees.md); here is what
tried to break it, and how often.

```console
$ make torture MINUTES=60 SEED=7                 # an hour of harm, and then every enumeration
$ make torture ARGS="--only fleet --keep"        # one kind of harm; the result is kept for this page
$ make test                                      # plays each of them in a reduced form
```

How much is wanted is part of each line: "512 of 20,000 seeds" is what was done of what the programme asks of a night. A
line that nobody has run yet is there, too.

Every scenario uses the public interface in real processes on real servers, and ends with a quiet period in which each
workflow has to come to its end. Then three witnesses are compared: triggers in the database, which saw every change; a
ledger to which each step body writes when it begins; and what the scenario was promised. A seed decides what is done
and when. How real processes interleave it cannot decide, so a command below repeats a plan, not its every moment.
"""

UNTESTED = """\
## What is not tested here

- More than the figures above. They are those of runs of minutes on a machine that others used as well; the same
  commands with more minutes do more, up to fleets of 20 executors and 100,000 workflows.
- Machines that lose power: processes and servers are killed, disks are not. What the database calls written counts as
  written.
- Networks between machines: a proxy cuts, stalls, delays and drops on one machine.
- A clock of the machine that jumps. Those of processes do, inside Python; leases, deadlines and sleeps do not use them.
"""


def write(results: Sequence[Result]) -> None:
    """Write the page."""
    DOCUMENT.write_text(page(results), encoding="utf-8")


def page(results: Sequence[Result]) -> str:
    """The whole page."""
    parts = [INTRODUCTION, "## What was done\n"]
    ordered = sorted(results, key=lambda each: (each.machine, each.name))
    for machine, group in groupby(ordered, key=lambda each: each.machine):
        parts.append(f"On {machine}:\n")
        parts.append("\n".join(_table(list(group))) + "\n")
    names = {each.name for each in results}
    untried = [each for name, each in LINES.items() if name not in names]
    if untried:
        parts.append("Not run yet:\n")
        parts += [f"- **{each.name}** ({_about(each)}): {each.what}" for each in untried]
        parts.append("")
    parts.append("### To repeat a line\n")
    parts.append(_console(each.command for each in sorted(results, key=lambda each: each.name)))
    incomplete = [command for each in sorted(results, key=lambda each: each.name) for command in _to_complete(each)]
    incomplete += [f"python -m tests.torture --only {each.name} --keep" for each in untried]
    if incomplete:
        parts.append("### To do what is wanted\n")
        parts.append("As far as one can tell by how long it took so far:\n")
        parts.append(_console(incomplete))
    parts.append("## Where each invariant is checked\n")
    parts.append("The numbers are those that the tests use. Tests named here fail if what they guard is broken.\n")
    parts.append("\n".join(_invariants(results)) + "\n")
    parts.append(UNTESTED)
    return "\n".join(parts)


def line(result: Result) -> str:
    """One line for a terminal."""
    words = f"  {result.words}" if result.words else ""
    return (
        f"{result.verdict:12} {result.name:26} {result.seconds:7.1f} s  {_counts(result)}{words}\n"
        f"{'':12} {result.command}"
    )


def _counts(result: Result) -> str:
    goals = _goals(result.name)
    return ", ".join(_count(count, name, goals.get(name)) for name, count in result.counts.items())


def _count(count: int, name: str, goal: int | None) -> str:
    if goal is None:
        return f"{count:,} {name}"
    return f"{count:,} of {goal:,} {name}" if count < goal else f"{count:,} {name} ({goal:,} wanted)"


def _goals(name: str) -> Mapping[str, int]:
    return LINES[name].goals if name in LINES else {}


def _about(line: Line | Result) -> str:
    """The faults of the fault model; a line without any is about security."""
    return ", ".join(line.faults) or "security"


def _console(commands: Iterable[str]) -> str:
    return "\n".join(["```console", *(f"$ {each}" for each in commands), "```\n"])


def _to_complete(result: Result) -> Iterator[str]:
    """The command that does what is wanted, if that was not reached."""
    line = LINES.get(result.name)
    if isinstance(line, Enumeration):
        if result.parts < len(line.parts(result.seed)):
            yield f"{result.command} --keep --resume"
        return
    shares = [result.counts.get(name, 0) / goal for name, goal in _goals(result.name).items()]
    if shares and 0 < min(shares) < 1:
        minutes = math.ceil(result.seconds / 60 / min(shares))
        yield f"python -m tests.torture --only {result.name} --minutes {minutes} --seed {result.seed} --keep"


def _table(results: Sequence[Result]) -> list[str]:
    lines = ["| what | how often | verdict | duration | commit |", "| --- | --- | --- | ---: | --- |"]
    for each in results:
        verdict = f"{each.verdict}: {each.words}" if each.words else each.verdict
        what = f"**{each.name}** ({_about(each)}): {each.what}"
        cells = what, _counts(each), verdict, f"{each.seconds:,.0f} s", each.commit
        lines.append(f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |")
    return lines


def _invariants(results: Sequence[Result]) -> list[str]:
    lines = ["| invariant | in the campaign | in the suite |", "| --- | --- | --- |"]
    for number, (meaning, checks) in INVARIANTS.items():
        held = [each.name for each in results if number in each.invariants and each.verdict == "held"]
        names = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in checks) or "–"
        lines.append(f"| **{number}** {meaning} | {', '.join(held) or '–'} | {names} |")
    return lines
