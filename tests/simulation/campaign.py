"""One seed after the other; and of one that fails, the smallest part that still does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tests.simulation.plan import Plan, plan_of
from tests.simulation.reached import Reached
from tests.simulation.world import World

T = TypeVar("T")

SHRINKING_RUNS = 150  # that shrinking one failure may take


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a plan."""

    plan: Plan
    problems: list[str]
    trace: str
    choices: int  # of the schedule

    def replay(self) -> str:
        """The command that runs it again."""
        plan, whole = self.plan, plan_of(self.plan.seed)
        words = [f"python -m tests.simulation --start {plan.seed} --seeds 1"]
        if plan.acts != whole.acts:
            words.append(f"--acts {_numbers([act.number for act in plan.acts])}")
        if plan.faults != whole.faults:
            words.append(f"--faults {_numbers([fault.number for fault in plan.faults])}")
        if plan.disorder is not None:
            words.append(f"--choices {plan.disorder}")
        return " ".join(words)

    def report(self) -> str:
        """What went wrong, in which run, and how to have it again."""
        return "\n".join(
            [
                f"seed {self.plan.seed}, {self.plan.executors} executors:",
                *(f"  {problem}" for problem in self.problems),
                *(f"    {act}" for act in self.plan.acts),
                *(f"    {fault}" for fault in self.plan.faults),
                f"REPLAY: {self.replay()}",
            ]
        )


def run(plan: Plan, reached: Reached | None = None) -> Run:
    """Play a plan."""
    world = World(plan)
    problems = world.play()
    if reached is not None:
        reached.counts.update(world.reached.counts)
    return Run(plan, problems, world.machine.trace, world.machine.choices)


def campaign(seeds: Iterable[int], reached: Reached, tell: Callable[[Run], None] = lambda run: None) -> list[Run]:
    """Run seeds; those that failed. `tell` hears of every one."""
    failed = []
    for seed in seeds:
        done = run(plan_of(seed), reached)
        tell(done)
        if done.problems:
            failed.append(done)
    return failed


def shrink(failure: Run) -> Run:
    """A smaller run that fails, too: with fewer faults, fewer acts, and less disorder."""
    smallest, runs = failure, 0

    def fails(plan: Plan) -> bool:
        nonlocal smallest, runs
        runs += 1
        if runs > SHRINKING_RUNS:
            return False
        tried = run(plan)
        if tried.problems:
            smallest = tried
        return bool(tried.problems)

    _thin(failure.plan.faults, lambda faults: fails(smallest.plan.thinned(smallest.plan.acts, faults)))
    _thin(smallest.plan.acts, lambda acts: fails(smallest.plan.thinned(acts, smallest.plan.faults)))
    _thin(smallest.plan.faults, lambda faults: fails(smallest.plan.thinned(smallest.plan.acts, faults)))
    few, many = 0, smallest.choices
    while few < many and runs < SHRINKING_RUNS:
        middle = (few + many) // 2
        if fails(replace(smallest.plan, disorder=middle)):
            many = middle
        else:
            few = middle + 1
    return smallest


def _thin(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> None:
    """Leave out halves, quarters and so on, for as long as what is left fails."""
    size = len(items)
    while size > 0:
        start = 0
        while start < len(items):
            rest = [*items[:start], *items[start + size :]]
            if fails(rest):
                items = rest
            else:
                start += size
        size //= 2


def _numbers(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers)) or "none"
