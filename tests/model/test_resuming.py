"""What a failed workflow forgets when it is resumed: enough to try again, never so much that its replay goes astray.

Small programs of steps, `try` and `gather` are run with a clock of their own, fail, forget, and run again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbos.model.resuming import ASYNCIO_WAIT, EndedStep, steps_to_forget

# ------------------------------------------------------------ by example


def step(
    number: int, outcome: str, started: int | None, completed: int | None, epoch: int = 1, name: str = "step"
) -> EndedStep:
    return EndedStep(number, name, None if outcome == "ok" else outcome, None, started, completed, epoch)


def wait(number: int, started: int, completed: int | None, epoch: int = 1) -> EndedStep:
    return step(number, "ok", started, completed, epoch, ASYNCIO_WAIT)


@pytest.mark.parametrize(
    ("steps", "forgotten"),
    [
        ([], []),
        ([step(1, "ok", 0, 100), step(2, "ok", 100, 200)], []),  # the body raised by itself
        # nothing completed after them
        ([step(1, "ok", 0, 100), step(2, "boom", 100, 200)], [2]),
        ([step(1, "ok", 0, 100), step(2, "other", 100, 200), step(3, "boom", 200, 300)], [2, 3]),
        ([step(1, "boom", 0, 1), step(2, "ok", 1, 2), step(3, "other", 2, 3)], [3]),
        ([step(1, "other", 0, None)], [1]),
        # something did, beside them
        ([step(1, "boom", 0, 500), step(2, "ok", 1, 900)], [1]),
        ([step(1, "boom", 0, 1), step(2, "ok", 0, 20)], [1]),
        ([step(1, "boom", 0, 500), step(2, "other", 1, 300), step(3, "ok", 2, 600)], [1, 2]),
        ([step(1, "boom", 0, 500), step(2, "ok", 1, 300), step(3, "other", 2, 600)], [1, 3]),
        ([step(1, "boom", 0, 1, epoch=2), step(2, "ok", 300, 400)], [1]),  # recorded by the attempt before
        # it was waited for, and the wait came to an end
        ([wait(1, 0, 101), step(2, "boom", 0, 101)], [2, 1]),
        ([wait(1, 0, 100), step(2, "boom", 0, 101)], [2, 1]),
        ([wait(1, 0, 99), step(2, "boom", 0, 101)], [2]),  # because of something else
        ([wait(1, 0, 101), step(2, "boom", 0, 101), step(3, "ok", 0, 50)], [2, 1]),
        ([wait(1, 0, 101), step(2, "boom", 0, 101), step(3, "ok", 101, 102)], []),  # and the workflow went on
        ([wait(1, 0, None), step(2, "boom", 0, 101)], [2, 1]),
        ([wait(1, 900, 999), step(2, "boom", 0, 101, epoch=2)], [2]),
        ([wait(1, 0, 1, epoch=2), step(2, "boom", 900, 999)], [2, 1]),
        # something did, because of them
        ([step(1, "other", 0, 0), step(2, "ok", 1, 2)], []),  # the body raised something else
        ([step(1, "boom", 0, 100), step(2, "ok", 100, 200)], []),  # it cleaned up and raised the same
        # nobody knows
        ([step(1, "boom", 0, None), step(2, "ok", 1, 2)], []),
        ([step(1, "boom", None, 1), step(2, "ok", 1, 2)], []),
        ([step(1, "boom", 0, 1), step(2, "ok", None, 2)], []),
        ([step(1, "boom", 9, 9), step(2, "ok", 1, 2, epoch=2)], []),  # another attempt, another clock
    ],
)
def test_what_is_forgotten(steps: list[EndedStep], forgotten: list[int]) -> None:
    assert [each.step_id for each in steps_to_forget(steps)] == forgotten


# ------------------------------------------------------------ by replay


@dataclass(frozen=True)
class Step:
    name: str
    duration: int


@dataclass(frozen=True)
class Try:
    body: tuple[Program, ...]
    handler: tuple[Program, ...]


@dataclass(frozen=True)
class Gather:
    steps: tuple[Step, ...]
    collects: bool  # return_exceptions


Program = Step | Try | Gather

steps = st.builds(Step, st.sampled_from("abcdefgh"), st.sampled_from([100, 200, 300]))
gathers = st.builds(Gather, st.lists(steps, min_size=2, max_size=4).map(tuple), st.booleans())
programs = st.recursive(
    st.lists(steps | gathers, min_size=1, max_size=4).map(tuple),
    lambda inner: st.tuples(st.builds(Try, inner, inner), st.builds(Try, inner, inner) | steps | gathers, steps),
    max_leaves=5,
)


class Failure(Exception):
    """What a step raises."""


class Astray(Exception):
    """The replay asked for another step than was recorded."""


@dataclass
class Workflow:
    """One workflow and what it recorded, over all its attempts."""

    program: tuple[Program, ...]
    records: dict[int, EndedStep] = field(default_factory=dict)
    executed: list[int] = field(default_factory=list)  # in the latest attempt
    succeeded: list[int] = field(default_factory=list)  # in all attempts
    error: str | None = None
    ended_by: int | None = None  # the step whose failure left the body
    now: int = 0
    epoch: int = 0

    def attempt(self, fails: Callable[[str], bool], body_raises: bool) -> bool:
        """Run or replay it; True if it succeeds."""
        self.epoch += 1
        self.executed, self.ended_by, self._numbers, self._unfinished = [], None, 0, list[EndedStep]()
        self._fails = fails
        try:
            self._run(self.program)
            self.error = "the body raised" if body_raises else None
        except Failure as failure:
            self.ended_by, self.error = failure.args
        finally:
            for ended in self._unfinished:  # siblings of a failure, as far as they came
                if ended.completed_at_ms is not None and ended.completed_at_ms <= self.now:
                    self._record(ended)
            self.now += 1
        return self.error is None

    def forget(self) -> None:
        for each in steps_to_forget([self.records[number] for number in sorted(self.records)]):
            del self.records[each.step_id]

    def _run(self, program: tuple[Program, ...]) -> None:
        for part in program:
            match part:
                case Step():
                    (ended,) = self._begin([part])
                    self._settle(ended)
                case Try(body, handler):
                    try:
                        self._run(body)
                    except Failure:
                        self._run(handler)
                case Gather(members, collects):
                    self._gather(self._begin(members), collects)

    def _gather(self, running: list[EndedStep], collects: bool) -> None:
        running.sort(key=lambda each: each.completed_at_ms if each.epoch == self.epoch else 0)
        for place, ended in enumerate(running):
            try:
                self._settle(ended)
            except Failure:
                if not collects:
                    self._unfinished += running[place + 1 :]
                    raise

    def _begin(self, members: tuple[Step, ...] | list[Step]) -> list[EndedStep]:
        """Draw a number for each, and tell how it ended or will end."""
        begun = []
        for member in members:
            self._numbers += 1
            number = self._numbers
            recorded = self.records.get(number)
            if recorded is None:
                self.executed.append(number)
                end = self.now + member.duration
                error = f"{member.name} failed" if self._fails(member.name) else None
                recorded = EndedStep(number, member.name, error, None, self.now, end, self.epoch)
            elif recorded.name != member.name:
                raise Astray(f"{member.name} as step {number}, which was {recorded.name}")
            begun.append(recorded)
        return begun

    def _settle(self, ended: EndedStep) -> None:
        if ended.epoch == self.epoch:
            assert ended.completed_at_ms is not None
            self.now = max(self.now, ended.completed_at_ms)
            self._record(ended)
        if ended.error is not None:
            raise Failure(ended.step_id, ended.error)

    def _record(self, ended: EndedStep) -> None:
        self.records[ended.step_id] = ended
        if ended.error is None and ended.epoch == self.epoch:
            self.succeeded.append(ended.step_id)


FAILING = st.lists(st.tuples(st.sets(st.sampled_from("abcdefgh")), st.booleans()), min_size=1, max_size=4)


@given(programs, FAILING)
def test_a_resumed_program_never_goes_astray(
    program: tuple[Program, ...], attempts: list[tuple[set[str], bool]]
) -> None:
    workflow = Workflow(program)
    for failing, body_raises in [*attempts, (set[str](), False)]:
        if workflow.attempt(failing.__contains__, body_raises):
            break
        workflow.forget()
    assert len(workflow.succeeded) == len(set(workflow.succeeded))  # what completed never ran again


@given(programs, FAILING)
def test_what_nothing_was_built_upon_is_tried_again(
    program: tuple[Program, ...], attempts: list[tuple[set[str], bool]]
) -> None:
    workflow = Workflow(program)
    for failing, body_raises in attempts:
        if workflow.attempt(failing.__contains__, body_raises):
            return
        culprit = workflow.ended_by
        last = max(workflow.records, default=0)
        workflow.forget()
        if culprit is not None and culprit == last:
            assert workflow.attempt(lambda name: False, body_raises=False)
            assert workflow.executed
            return
