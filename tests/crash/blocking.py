"""Example workflows in blocking style. Each builder decorates its functions and returns what a client would do."""

from __future__ import annotations

from typing import Any

from dbos import DBOS, Debouncer, SetWorkflowID, SetWorkflowTimeout
from dbos.error import DBOSAwaitedWorkflowCancelledError, DBOSMaxStepRetriesExceeded
from tests.crash.ledger import Ledger
from tests.crash.scenario import Drive, scenario

LONG_SECONDS = 30.0  # whatever sleeps so long must be cut short: ending by itself is a failure


@scenario(gives={"text": "so it goes", "length": 3})
def sequence(ledger: Ledger) -> Drive:
    """Steps one after another, each fed by the one before."""

    @DBOS.step()
    def append(word: str, to: list[str]) -> list[str]:
        ledger.note()
        return [*to, word]

    @DBOS.workflow()
    def write(words: list[str]) -> dict[str, Any]:
        text: list[str] = []
        for word in words:
            text = append(word, text)
        return {"text": " ".join(text), "length": len(text)}

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return write(["so", "it", "goes"])

    return drive


@scenario(gives=[None, False, "", {}, (1, 2), "StopIteration('enough')"])
def remarkable_values(ledger: Ledger) -> Drive:
    """Outcomes that are easily mistaken for none at all."""
    values: list[Any] = [None, False, "", {}, (1, 2), StopIteration("enough")]

    @DBOS.step()
    def give(index: int) -> Any:
        ledger.note()
        if isinstance(values[index], Exception):
            raise values[index]
        return values[index]

    @DBOS.workflow()
    def collect() -> Any:
        seen: list[Any] = []
        for index in range(len(values)):
            try:
                seen.append(give(index))
            except StopIteration as stop:
                seen.append(repr(stop))
        return seen

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return collect()

    return drive


@scenario(gives=115)
def called_children(ledger: Ledger) -> Drive:
    """Children called like functions, between steps of the parent."""

    @DBOS.step()
    def square(number: int) -> int:
        ledger.note()
        return number * number

    @DBOS.workflow()
    def child(number: int) -> int:
        return square(number) + 1

    @DBOS.workflow()
    def parent() -> int:
        return child(2) + square(10) + child(3)

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(gives=409)
def started_children(ledger: Ledger) -> Drive:
    """Children in the background, one of them under an id of its own."""

    @DBOS.step()
    def square(number: int) -> int:
        ledger.note()
        return number * number

    @DBOS.workflow()
    def child(number: int) -> int:
        return square(number)

    @DBOS.workflow()
    def parent(run_id: str) -> int:
        first = DBOS.start_workflow(child, 2)
        with SetWorkflowID(f"{run_id}-named"):
            second = DBOS.start_workflow(child, 3)
        return first.get_result() * 100 + second.get_result()

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent(run_id)

    return drive


@scenario(gives="parent of child of grandchild")
def nested_children(ledger: Ledger) -> Drive:
    """Three generations, called and started."""

    @DBOS.step()
    def name(generation: str) -> str:
        ledger.note()
        return generation

    @DBOS.workflow()
    def grandchild() -> str:
        return name("grandchild")

    @DBOS.workflow()
    def child() -> str:
        return f"{name('child')} of {DBOS.start_workflow(grandchild).get_result()}"

    @DBOS.workflow()
    def parent() -> str:
        return f"{name('parent')} of {child()}"

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return DBOS.start_workflow(parent).get_result()

    return drive


@scenario(gives=["worked at attempt 2", "2 errors, the last one attempt 1", "attempt 0"])
def retries(ledger: Ledger) -> Drive:
    """A step that fails twice and then works, one that never does, one that should not be tried again."""

    @DBOS.step(retries_allowed=True, interval_seconds=0.002, max_attempts=4, backoff_rate=1.0)
    def flaky() -> str:
        number = ledger.note()
        if number < 2:
            raise ConnectionError(f"attempt {number}")
        return f"worked at attempt {number}"

    @DBOS.step(retries_allowed=True, interval_seconds=0.002, max_attempts=2, backoff_rate=1.0)
    def hopeless() -> str:
        raise ConnectionError(f"attempt {ledger.note()}")

    @DBOS.step(retries_allowed=True, interval_seconds=LONG_SECONDS, should_retry=lambda error: False)
    def fatal() -> str:
        raise PermissionError(f"attempt {ledger.note()}")

    @DBOS.workflow()
    def insist() -> list[str]:
        answers = [flaky()]
        try:
            hopeless()
        except DBOSMaxStepRetriesExceeded as error:
            answers.append(f"{len(error.errors)} errors, the last one {error.errors[-1]}")
        try:
            fatal()
        except PermissionError as error:
            answers.append(str(error))
        return answers

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return insist()

    return drive


@scenario(gives=[0, 1])
def sleeps(ledger: Ledger) -> Drive:
    """Durable sleeps between steps."""

    @DBOS.step()
    def tick(number: int) -> int:
        ledger.note()
        return number

    @DBOS.workflow()
    def clockwork() -> list[int]:
        ticks = [tick(0)]
        DBOS.sleep(0.02)
        ticks.append(tick(1))
        DBOS.sleep(0)
        return ticks

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return clockwork()

    return drive


@scenario(gives=["ValueError('step', 7)", "ValueError('child', 7)", "ValueError('child', 7)"])
def caught_errors(ledger: Ledger) -> Drive:
    """Errors of a step and of children, caught by the workflow that goes on."""

    @DBOS.step()
    def fail(what: str) -> None:
        ledger.note()
        raise ValueError(what, 7)

    @DBOS.workflow()
    def child() -> None:
        fail("child")

    @DBOS.workflow()
    def parent() -> list[str]:
        caught = []
        try:
            fail("step")
        except ValueError as error:
            caught.append(repr(error))
        try:
            child()
        except ValueError as error:
            caught.append(repr(error))
        try:
            DBOS.start_workflow(child).get_result()
        except ValueError as error:
            caught.append(repr(error))
        return caught

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(raises="LookupError: ('nothing here', 1)")
def uncaught_error(ledger: Ledger) -> Drive:
    """A workflow that fails stays failed, and fails alike for everybody who asks."""

    @DBOS.step()
    def prepare() -> int:
        ledger.note()
        return 1

    @DBOS.workflow()
    def doomed() -> None:
        raise LookupError("nothing here", prepare())

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return doomed()

    return drive


@scenario(gives=[2, 4, 6])
def steps_on_the_spot(ledger: Ledger) -> Drive:
    """`run_step` on plain functions, and numbers reserved in another order than they are used."""

    def double(number: int) -> int:
        ledger.note()
        return 2 * number

    @DBOS.workflow()
    def improvise() -> list[int]:
        late, early = DBOS.reserve_step(), DBOS.reserve_step()
        second = early.run({"name": "early"}, double, 2)
        first = late.run({"name": "late"}, double, 1)
        return [first, second, DBOS.run_step(None, double, 3)]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return improvise()

    return drive


@scenario(gives="ALONE")
def bare_step(ledger: Ledger) -> Drive:
    """A step started on its own is a workflow of one step."""

    @DBOS.step()
    def alone(word: str) -> str:
        ledger.note()
        return word.upper()

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return DBOS.start_workflow(alone, "alone").get_result()

    return drive


@scenario(
    gives={
        "status": "SUCCESS",
        "own": ("PENDING", {"mood": "curious", "more": [1]}),
        "listed": ["RUN", "RUN-1"],
        "steps": ["looking_around.<locals>.work"],
        "retrieved": "done",
    }
)
def looking_around(ledger: Ledger) -> Drive:
    """A workflow that reads statuses and listings and writes attributes: each is a step that replays."""

    @DBOS.step()
    def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    def child() -> str:
        return work()

    @DBOS.workflow()
    def curious(run_id: str) -> dict[str, Any]:
        handle = DBOS.start_workflow(child)
        handle.get_result()
        DBOS.update_workflow_attributes(run_id, {"mood": "curious"})
        DBOS.update_workflow_attributes(run_id, {"more": [1]}, merge=True)
        own = DBOS.get_workflow_status(run_id)
        return {
            "status": handle.get_status().status,
            "own": own and (own.status, own.attributes),
            "listed": [each.workflow_id for each in DBOS.list_workflows(workflow_ids=[run_id, handle.workflow_id])],
            "steps": [step["function_name"] for step in DBOS.list_workflow_steps(handle.workflow_id)],
            "retrieved": DBOS.retrieve_workflow(handle.workflow_id).get_result(),
        }

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return curious(run_id)

    return drive


@scenario(gives=["cancelled", "after"], steers=True, races=True)
def cancelled_child(ledger: Ledger) -> Drive:
    """A child that sleeps for long is cancelled by its parent, with its own child."""

    @DBOS.workflow()
    def grandchild() -> None:
        DBOS.sleep(LONG_SECONDS)

    @DBOS.workflow()
    def child() -> None:
        grandchild()

    @DBOS.step()
    def after() -> str:
        ledger.note()
        return "after"

    @DBOS.workflow()
    def parent() -> list[str]:
        handle = DBOS.start_workflow(child)
        DBOS.cancel_workflow(handle.workflow_id, cancel_children=True)
        try:
            handle.get_result()
        except DBOSAwaitedWorkflowCancelledError:
            return ["cancelled", after()]
        return ["it ended by itself"]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(gives=["before", "after"], steers=True)
def resumed_child(ledger: Ledger) -> Drive:
    """A child is cancelled while it sleeps, and resumed: it ends as if nothing had happened."""

    @DBOS.step()
    def note(word: str) -> str:
        ledger.note()
        return word

    @DBOS.workflow()
    def child() -> list[str]:
        words = [note("before")]
        DBOS.sleep(0.03)
        return [*words, note("after")]

    @DBOS.workflow()
    def parent() -> list[str]:
        handle = DBOS.start_workflow(child)
        DBOS.cancel_workflow(handle.workflow_id)
        return DBOS.resume_workflow(handle.workflow_id).get_result()  # type: ignore[no-any-return]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(gives=["out of time", "after"], steers=True, races=True)
def timeouts(ledger: Ledger) -> Drive:
    """A child runs out of time, and so does what it waits for; the parent goes on."""

    @DBOS.workflow()
    def grandchild() -> None:
        DBOS.sleep(LONG_SECONDS)

    @DBOS.workflow()
    def child() -> None:
        grandchild()

    @DBOS.step()
    def after() -> str:
        ledger.note()
        return "after"

    @DBOS.workflow()
    def parent() -> list[str]:
        with SetWorkflowTimeout(0.05):
            handle = DBOS.start_workflow(child)
        try:
            handle.get_result()
        except DBOSAwaitedWorkflowCancelledError:
            return ["out of time", after()]
        return ["it ended by itself"]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(gives=["slow", "quick"])
def first_of_two(ledger: Ledger) -> Drive:
    """The first of two children to end, as it was recorded, whoever is asked again."""

    @DBOS.step()
    def work(word: str) -> str:
        ledger.note()
        return word

    @DBOS.workflow()
    def quick() -> str:
        return work("quick")

    @DBOS.workflow()
    def slow() -> str:
        DBOS.sleep(0.03)
        return work("slow")

    @DBOS.workflow()
    def parent() -> list[str]:
        handles = [DBOS.start_workflow(slow), DBOS.start_workflow(quick)]
        DBOS.wait_first(handles)
        return [handle.get_result() for handle in handles]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(gives=(["last", "last", "other"], 2))
def debounced_children(ledger: Ledger) -> Drive:
    """A child that is debounced three times, twice under one key; it starts with the last input."""

    @DBOS.step()
    def work(text: str) -> str:
        ledger.note()
        return text

    @DBOS.workflow()
    def process(text: str) -> str:
        return work(text)

    debouncer = Debouncer.create(process)

    @DBOS.workflow()
    def parent() -> Any:
        key = DBOS.workflow_id or ""
        handles = [
            debouncer.debounce(key, 3600, "first"),
            debouncer.debounce(key, 0, "last"),
            debouncer.debounce(f"{key} other", 0, "other"),
        ]
        return [handle.get_result() for handle in handles], len({handle.workflow_id for handle in handles})

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive
