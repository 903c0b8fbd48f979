"""Example workflows in async style. Each builder decorates its functions and returns what a client would do."""

from __future__ import annotations

import asyncio
from typing import Any

from dbos import DBOS, Debouncer, SetWorkflowID, SetWorkflowTimeout
from dbos.error import DBOSAwaitedWorkflowCancelledError, DBOSMaxStepRetriesExceeded
from tests.crash.ledger import Ledger
from tests.crash.scenario import Drive, scenario

LONG_SECONDS = 30.0  # whatever sleeps so long must be cut short: ending by itself is a failure


@scenario(gives={"text": "so it goes", "length": 3})
def sequence(ledger: Ledger) -> Drive:
    """Steps one after another, async ones and a plain one."""

    @DBOS.step()
    async def append(word: str, to: list[str]) -> list[str]:
        ledger.note()
        await asyncio.sleep(0)
        return [*to, word]

    @DBOS.step()
    def count(text: list[str]) -> int:
        ledger.note()
        return len(text)

    @DBOS.workflow()
    async def write(words: list[str]) -> dict[str, Any]:
        text: list[str] = []
        for word in words:
            text = await append(word, text)
        return {"text": " ".join(text), "length": count(text)}

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await write(["so", "it", "goes"])

    return drive


@scenario(gives=[0, 1, 2, 3, 4])
def gathered_steps(ledger: Ledger) -> Drive:
    """Steps side by side: numbers are drawn in the order of the calls, whoever ends first."""

    @DBOS.step()
    async def work(rank: int) -> int:
        ledger.note()
        for _ in range(5 - rank):
            await asyncio.sleep(0)
        return rank

    @DBOS.workflow()
    async def fan_out() -> list[int]:
        first = await asyncio.gather(*(work(rank) for rank in range(4)))
        return [*first, await work(4)]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await fan_out()

    return drive


@scenario(gives=[0, 10, 20])
def gathered_children(ledger: Ledger) -> Drive:
    """Children called side by side, each with a step."""

    @DBOS.step()
    async def work(rank: int) -> int:
        ledger.note()
        return rank * 10

    @DBOS.workflow()
    async def child(rank: int) -> int:
        return await work(rank)

    @DBOS.workflow()
    async def parent() -> list[int]:
        return await asyncio.gather(*(child(rank) for rank in range(3)))

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(gives=115)
def called_children(ledger: Ledger) -> Drive:
    """Children awaited like functions, between steps of the parent."""

    @DBOS.step()
    async def square(number: int) -> int:
        ledger.note()
        return number * number

    @DBOS.workflow()
    async def child(number: int) -> int:
        return await square(number) + 1

    @DBOS.workflow()
    async def parent() -> int:
        return await child(2) + await square(10) + await child(3)

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(gives=409)
def started_children(ledger: Ledger) -> Drive:
    """An async child on the same loop, and a plain one on a thread."""

    @DBOS.step()
    def square(number: int) -> int:
        ledger.note()
        return number * number

    @DBOS.workflow()
    async def child(number: int) -> int:
        return square(number)

    @DBOS.workflow()
    def plain_child(number: int) -> int:
        return square(number)

    @DBOS.workflow()
    async def parent(run_id: str) -> int:
        first = await DBOS.start_workflow_async(child, 2)
        with SetWorkflowID(f"{run_id}-named"):
            second = await DBOS.start_workflow_async(plain_child, 3)
        return await first.get_result() * 100 + await second.get_result()

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent(run_id)

    return drive


@scenario(gives="parent of child of grandchild")
def nested_children(ledger: Ledger) -> Drive:
    """Three generations, called and started."""

    @DBOS.step()
    async def name(generation: str) -> str:
        ledger.note()
        return generation

    @DBOS.workflow()
    async def grandchild() -> str:
        return await name("grandchild")

    @DBOS.workflow()
    async def child() -> str:
        handle = await DBOS.start_workflow_async(grandchild)
        return f"{await name('child')} of {await handle.get_result()}"

    @DBOS.workflow()
    async def parent() -> str:
        return f"{await name('parent')} of {await child()}"

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await (await DBOS.start_workflow_async(parent)).get_result()

    return drive


@scenario(gives=["worked at attempt 2", "attempt 1", "DBOSStepTimeoutError, DBOSStepTimeoutError"])
def retries(ledger: Ledger) -> Drive:
    """A step that fails twice and then works, one that never does, one that takes too long."""

    @DBOS.step(retries_allowed=True, interval_seconds=0.002, max_attempts=4, backoff_rate=1.0)
    async def flaky() -> str:
        number = ledger.note()
        if number < 2:
            raise ConnectionError(f"attempt {number}")
        return f"worked at attempt {number}"

    async def wanted(error: BaseException) -> bool:
        return "attempt 0" in str(error)

    @DBOS.step(retries_allowed=True, interval_seconds=0.002, max_attempts=4, backoff_rate=1.0, should_retry=wanted)
    async def fussy() -> str:
        raise ConnectionError(f"attempt {ledger.note()}")

    @DBOS.step(retries_allowed=True, interval_seconds=0.002, max_attempts=2, timeout_seconds=0.005)
    async def endless() -> None:
        ledger.note()
        await asyncio.sleep(LONG_SECONDS)

    @DBOS.workflow()
    async def insist() -> list[str]:
        answers = [await flaky()]
        try:
            await fussy()
        except ConnectionError as error:
            answers.append(str(error))
        try:
            await endless()
        except DBOSMaxStepRetriesExceeded as error:
            answers.append(", ".join(type(each).__name__ for each in error.errors))
        return answers

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await insist()

    return drive


@scenario(gives=[0, 1])
def sleeps(ledger: Ledger) -> Drive:
    """Durable sleeps between steps, and two side by side."""

    @DBOS.step()
    async def tick(number: int) -> int:
        ledger.note()
        return number

    @DBOS.workflow()
    async def clockwork() -> list[int]:
        ticks = [await tick(0)]
        await asyncio.gather(DBOS.sleep_async(0.02), DBOS.sleep_async(0.01))
        return [*ticks, await tick(1)]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await clockwork()

    return drive


@scenario(raises="LookupError: (\"ValueError('step', 7)\", \"ValueError('child', 7)\", \"ValueError('both', 7)\")")
def errors(ledger: Ledger) -> Drive:
    """Errors of a step and of a child, caught; the last one is not."""

    @DBOS.step()
    async def fail(what: str) -> None:
        ledger.note()
        raise ValueError(what, 7)

    @DBOS.workflow()
    async def child() -> None:
        await fail("child")

    @DBOS.workflow()
    async def parent() -> None:
        caught = []
        try:
            await fail("step")
        except ValueError as error:
            caught.append(repr(error))
        both = [asyncio.ensure_future(child()), asyncio.ensure_future(fail("both"))]
        await asyncio.wait(both)
        raise LookupError(*caught, *(repr(task.exception()) for task in both))

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(gives=[4, 3, 9])
def steps_on_the_spot(ledger: Ledger) -> Drive:
    """`run_step_async` on functions of both colours, and reserved numbers run side by side."""

    async def double(number: int) -> int:
        ledger.note()
        return 2 * number

    def triple(number: int) -> int:
        ledger.note()
        return 3 * number

    @DBOS.workflow()
    async def improvise() -> list[int]:
        late, early = DBOS.reserve_step(), DBOS.reserve_step()
        both = await asyncio.gather(early.run_async({"name": "early"}, double, 2), late.run_async(None, triple, 1))
        return [*both, await DBOS.run_step_async(None, triple, 3)]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await improvise()

    return drive


@scenario(gives=["one", "two"])
def waiting_for_some(ledger: Ledger) -> Drive:
    """`asyncio_wait`: a replay sees as done what was done, and waits for the rest later."""

    @DBOS.step()
    async def work(word: str) -> str:
        ledger.note()
        return word

    @DBOS.workflow()
    async def parent() -> list[str]:
        tasks = [asyncio.ensure_future(work(word)) for word in ("one", "two")]
        some, _ = await DBOS.asyncio_wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        every, _ = await DBOS.asyncio_wait(tasks)
        return sorted(task.result() for task in some | every)

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(
    gives={
        "status": "SUCCESS",
        "own": ("PENDING", {"mood": "curious"}),
        "listed": ["RUN", "RUN-1"],
        "steps": ["looking_around.<locals>.work"],
        "retrieved": "done",
    }
)
def looking_around(ledger: Ledger) -> Drive:
    """A workflow that reads statuses and listings and writes attributes: each is a step that replays."""

    @DBOS.step()
    async def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    async def child() -> str:
        return await work()

    @DBOS.workflow()
    async def curious(run_id: str) -> dict[str, Any]:
        handle = await DBOS.start_workflow_async(child)
        await handle.get_result()
        await DBOS.update_workflow_attributes_async(run_id, {"mood": "curious"})
        own = await DBOS.get_workflow_status_async(run_id)
        return {
            "status": (await handle.get_status()).status,
            "own": own and (own.status, own.attributes),
            "listed": [
                each.workflow_id for each in await DBOS.list_workflows_async(workflow_ids=[run_id, handle.workflow_id])
            ],
            "steps": [step["function_name"] for step in await DBOS.list_workflow_steps_async(handle.workflow_id)],
            "retrieved": await (await DBOS.retrieve_workflow_async(handle.workflow_id)).get_result(),
        }

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await curious(run_id)

    return drive


@scenario(gives=["cancelled", "before", "after"], steers=True, races=True)
def cancelled_and_resumed(ledger: Ledger) -> Drive:
    """A child is cancelled in its long preemptible step; another one is cancelled and resumed."""

    @DBOS.step(preemptible=True)
    async def endless() -> None:
        ledger.note()
        await asyncio.sleep(LONG_SECONDS)

    @DBOS.workflow()
    async def stubborn() -> None:
        await endless()

    @DBOS.step()
    async def note(word: str) -> str:
        ledger.note()
        return word

    @DBOS.workflow()
    async def gentle() -> list[str]:
        words = [await note("before")]
        await DBOS.sleep_async(0.03)
        return [*words, await note("after")]

    @DBOS.workflow()
    async def parent() -> list[str]:
        first = await DBOS.start_workflow_async(stubborn)
        second = await DBOS.start_workflow_async(gentle)
        await DBOS.cancel_workflows_async([first.workflow_id, second.workflow_id])
        resumed = await DBOS.resume_workflow_async(second.workflow_id)
        try:
            await first.get_result()
        except DBOSAwaitedWorkflowCancelledError:
            return ["cancelled", *await resumed.get_result()]
        return ["it ended by itself"]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(gives=["out of time", "after"], steers=True, races=True)
def timeouts(ledger: Ledger) -> Drive:
    """A child runs out of time; the parent goes on."""

    @DBOS.workflow()
    async def child() -> None:
        await DBOS.sleep_async(LONG_SECONDS)

    @DBOS.step()
    async def after() -> str:
        ledger.note()
        return "after"

    @DBOS.workflow()
    async def parent() -> list[str]:
        with SetWorkflowTimeout(0.05):
            handle = await DBOS.start_workflow_async(child)
        try:
            await handle.get_result()
        except DBOSAwaitedWorkflowCancelledError:
            return ["out of time", await after()]
        return ["it ended by itself"]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(gives=["slow", "quick"])
def first_of_two(ledger: Ledger) -> Drive:
    """The first of two children to end, as it was recorded, whoever is asked again."""

    @DBOS.step()
    async def work(word: str) -> str:
        ledger.note()
        return word

    @DBOS.workflow()
    async def quick() -> str:
        return await work("quick")

    @DBOS.workflow()
    async def slow() -> str:
        await DBOS.sleep_async(0.03)
        return await work("slow")

    @DBOS.workflow()
    async def parent() -> list[str]:
        handles = [await DBOS.start_workflow_async(slow), await DBOS.start_workflow_async(quick)]
        await DBOS.wait_first_async(handles)
        return [await handle.get_result() for handle in handles]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(gives=(["last", "last", "other"], 2))
def debounced_children(ledger: Ledger) -> Drive:
    """A child that is debounced three times, twice under one key; it starts with the last input."""

    @DBOS.step()
    async def work(text: str) -> str:
        ledger.note()
        return text

    @DBOS.workflow()
    async def process(text: str) -> str:
        return await work(text)

    debouncer = Debouncer.create(process)

    @DBOS.workflow()
    async def parent() -> Any:
        key = DBOS.workflow_id or ""
        handles = [
            await debouncer.debounce_async(key, 3600, "first"),
            await debouncer.debounce_async(key, 0, "last"),
            await debouncer.debounce_async(f"{key} other", 0, "other"),
        ]
        return [await handle.get_result() for handle in handles], len({handle.workflow_id for handle in handles})

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive
