"""Operations called by a client, outside any workflow, in both styles: each is killed at each of its effects, too."""

from __future__ import annotations

from typing import Any

from dbos import DBOS, Debouncer, SetWorkflowAttributes, SetWorkflowID
from dbos.error import DBOSAwaitedWorkflowCancelledError
from tests.crash.ledger import Ledger
from tests.crash.scenario import Drive, scenario


@scenario(
    gives={
        "result": ["done", "done", "done"],
        "status": ("SUCCESS", "done", {"kind": "question", "asked": True}, True),
        "listed": 1,
        "steps": [("questions.<locals>.work", "done")],
        "first": "RUN",
    }
)
def questions(ledger: Ledger) -> Drive:
    """Start with attributes, wait, and ask everything there is to ask."""

    @DBOS.step()
    def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    def ask_me() -> str:
        return work()

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id), SetWorkflowAttributes({"kind": "question"}):
            handle = DBOS.start_workflow(ask_me)
        result = handle.get_result()
        DBOS.update_workflow_attributes(run_id, {"asked": True}, merge=True)
        status = DBOS.get_workflow_status(run_id)
        return {
            "result": [result, DBOS.get_result(run_id), DBOS.retrieve_workflow(run_id).get_result()],
            "status": status and (status.status, status.output, status.attributes, status.recovery_attempts > 0),
            "listed": len(DBOS.list_workflows(workflow_ids=[run_id])),
            "steps": [(step["function_name"], step["output"]) for step in DBOS.list_workflow_steps(run_id)],
            "first": DBOS.wait_first([handle]).workflow_id,
        }

    return drive


@scenario(
    gives={
        "result": ["done", "done", "done"],
        "status": ("SUCCESS", "done", {"kind": "question", "asked": True}, True),
        "listed": 1,
        "steps": [("async_questions.<locals>.work", "done")],
        "first": "RUN",
    }
)
def async_questions(ledger: Ledger) -> Drive:
    """The same in async style."""

    @DBOS.step()
    async def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    async def ask_me() -> str:
        return await work()

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id), SetWorkflowAttributes({"kind": "question"}):
            handle = await DBOS.start_workflow_async(ask_me)
        result = await handle.get_result()
        await DBOS.update_workflow_attributes_async(run_id, {"asked": True}, merge=True)
        status = await DBOS.get_workflow_status_async(run_id)
        retrieved = await DBOS.retrieve_workflow_async(run_id)
        steps = await DBOS.list_workflow_steps_async(run_id)
        return {
            "result": [result, await DBOS.get_result_async(run_id), await retrieved.get_result()],
            "status": status and (status.status, status.output, status.attributes, status.recovery_attempts > 0),
            "listed": len(await DBOS.list_workflows_async(workflow_ids=[run_id])),
            "steps": [(step["function_name"], step["output"]) for step in steps],
            "first": (await DBOS.wait_first_async([handle])).workflow_id,
        }

    return drive


@scenario(gives=["before", "after"], steers=True)
def cancel_and_resume(ledger: Ledger) -> Drive:
    """A sleeping workflow is cancelled, seen as cancelled, and resumed to its end."""

    @DBOS.step()
    def note(word: str) -> str:
        ledger.note()
        return word

    @DBOS.workflow()
    def sleeper() -> list[str]:
        words = [note("before")]
        DBOS.sleep(0.03)
        return [*words, note("after")]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            handle = DBOS.start_workflow(sleeper)
        DBOS.cancel_workflow(run_id)
        try:
            handle.get_result()
        except DBOSAwaitedWorkflowCancelledError:
            pass
        return DBOS.resume_workflows([run_id])[0].get_result()

    return drive


@scenario(gives=["before", "after"], steers=True)
def async_cancel_and_resume(ledger: Ledger) -> Drive:
    """The same in async style."""

    @DBOS.step()
    async def note(word: str) -> str:
        ledger.note()
        return word

    @DBOS.workflow()
    async def sleeper() -> list[str]:
        words = [await note("before")]
        await DBOS.sleep_async(0.03)
        return [*words, await note("after")]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            handle = await DBOS.start_workflow_async(sleeper)
        await DBOS.cancel_workflow_async(run_id)
        try:
            await handle.get_result()
        except DBOSAwaitedWorkflowCancelledError:
            pass
        return await (await DBOS.resume_workflows_async([run_id]))[0].get_result()

    return drive


@scenario(gives="connected", reopens_failures=True, steers=True)
def reopened_failure(ledger: Ledger) -> Drive:
    """A workflow that failed in its step is resumed, and its step runs again: this time it works."""
    broken: dict[str, bool] = {}  # the world outside, which outlives any process

    @DBOS.step()
    def connect() -> str:
        ledger.note()
        if broken.setdefault(str(DBOS.workflow_id), True):
            raise ConnectionError("not yet")
        return "connected"

    @DBOS.workflow()
    def patient() -> str:
        return connect()

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            handle = DBOS.start_workflow(patient)
        try:
            handle.get_result()
        except ConnectionError:
            broken[run_id] = False
            return DBOS.resume_workflow(run_id).get_result()
        return handle.get_result()

    return drive


@scenario(gives=(["last", "last"], ["RUN"]))
def debounced(ledger: Ledger) -> Drive:
    """Two calls under one id and key: asked again after a crash, they find the workflow that has the id."""

    @DBOS.step()
    def work(text: str) -> str:
        ledger.note()
        return text

    @DBOS.workflow()
    def process(text: str) -> str:
        return work(text)

    debouncer = Debouncer.create(process)

    def drive(run_id: str) -> Any:
        handles = []
        for text, period in (("first", 3600), ("last", 0)):
            with SetWorkflowID(run_id):
                handles.append(debouncer.debounce(run_id, period, text))
        return [handle.get_result() for handle in handles], sorted({handle.workflow_id for handle in handles})

    return drive


@scenario(gives=(["last", "last"], ["RUN"]))
def async_debounced(ledger: Ledger) -> Drive:
    """Two calls under one id and key: asked again after a crash, they find the workflow that has the id."""

    @DBOS.step()
    async def work(text: str) -> str:
        ledger.note()
        return text

    @DBOS.workflow()
    async def process(text: str) -> str:
        return await work(text)

    debouncer = Debouncer.create(process)

    async def drive(run_id: str) -> Any:
        handles = []
        for text, period in (("first", 3600), ("last", 0)):
            with SetWorkflowID(run_id):
                handles.append(await debouncer.debounce_async(run_id, period, text))
        return [await handle.get_result() for handle in handles], sorted({handle.workflow_id for handle in handles})

    return drive
