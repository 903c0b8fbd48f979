"""Steering other workflows from a workflow, in both styles: each verb happens once, however often it is asked for."""

from __future__ import annotations

from typing import Any

from dbos import DBOS, SetWorkflowID
from tests.crash.ledger import Ledger
from tests.crash.scenario import Drive, scenario


@scenario(gives=["done", "done"], steers=True, rewinds=True)
def rewound_child(ledger: Ledger) -> Drive:
    """A child that has ended is rewound behind its step, and ends once more."""

    @DBOS.step()
    def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    def child() -> str:
        done = work()
        DBOS.set_event("at", done)
        return done

    @DBOS.workflow()
    def parent() -> list[str]:
        handle = DBOS.start_workflow(child)
        first = handle.get_result()
        return [first, DBOS.rewind_workflow(handle.workflow_id, start_step=2).get_result()]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(gives=["done", "done"], steers=True, rewinds=True)
def async_rewound_child(ledger: Ledger) -> Drive:
    """The same in async style."""

    @DBOS.step()
    async def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    async def child() -> str:
        done = await work()
        await DBOS.set_event_async("at", done)
        return done

    @DBOS.workflow()
    async def parent() -> list[str]:
        handle = await DBOS.start_workflow_async(child)
        first = await handle.get_result()
        return [first, await (await DBOS.rewind_workflow_async(handle.workflow_id, start_step=2)).get_result()]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(gives=["done", "done", None], steers=True, rewinds=True)
def forked_and_deleted(ledger: Ledger) -> Drive:
    """A child that has ended is forked, and deleted when the fork has ended."""

    @DBOS.step()
    def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    def child() -> str:
        return work()

    @DBOS.workflow()
    def parent() -> list[Any]:
        handle = DBOS.start_workflow(child)
        first = handle.get_result()
        second = DBOS.fork_workflow(handle.workflow_id, 1).get_result()
        DBOS.delete_workflow(handle.workflow_id)
        return [first, second, DBOS.get_workflow_status(handle.workflow_id)]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(gives=["done", "done", None], steers=True, rewinds=True)
def async_forked_and_deleted(ledger: Ledger) -> Drive:
    """The same in async style."""

    @DBOS.step()
    async def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    async def child() -> str:
        return await work()

    @DBOS.workflow()
    async def parent() -> list[Any]:
        handle = await DBOS.start_workflow_async(child)
        first = await handle.get_result()
        second = await (await DBOS.fork_workflow_async(handle.workflow_id, 1)).get_result()
        await DBOS.delete_workflow_async(handle.workflow_id)
        return [first, second, await DBOS.get_workflow_status_async(handle.workflow_id)]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(gives=["ValueError", "done", ["GONE"]], steers=True, rewinds=True)
def forked_from_failure(ledger: Ledger) -> Drive:
    """A child that failed is forked from where it failed, and both are deleted."""
    mended: set[str] = set()  # in the world outside, which outlives any process

    @DBOS.step()
    def work(parent_id: str) -> str:
        ledger.note()
        if parent_id not in mended:
            raise ValueError("not yet")
        return "done"

    @DBOS.workflow()
    def child(parent_id: str) -> str:
        return work(parent_id)

    @DBOS.workflow()
    def parent() -> list[Any]:
        run_id = str(DBOS.workflow_id)
        handle = DBOS.start_workflow(child, run_id)
        try:
            handle.get_result()
        except ValueError as error:
            failure = type(error).__name__
        mended.add(run_id)
        (fork,) = DBOS.fork_from_failure([handle.workflow_id])
        second = fork.get_result()
        both = [handle.workflow_id, fork.workflow_id]
        DBOS.delete_workflows(both)
        return [failure, second, DBOS.list_workflows(workflow_ids=both) or ["GONE"]]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(gives=["ValueError", "done", ["GONE"]], steers=True, rewinds=True)
def async_forked_from_failure(ledger: Ledger) -> Drive:
    """The same in async style."""
    mended: set[str] = set()  # in the world outside, which outlives any process

    @DBOS.step()
    async def work(parent_id: str) -> str:
        ledger.note()
        if parent_id not in mended:
            raise ValueError("not yet")
        return "done"

    @DBOS.workflow()
    async def child(parent_id: str) -> str:
        return await work(parent_id)

    @DBOS.workflow()
    async def parent() -> list[Any]:
        run_id = str(DBOS.workflow_id)
        handle = await DBOS.start_workflow_async(child, run_id)
        try:
            await handle.get_result()
        except ValueError as error:
            failure = type(error).__name__
        mended.add(run_id)
        (fork,) = await DBOS.fork_from_failure_async([handle.workflow_id])
        second = await fork.get_result()
        both = [handle.workflow_id, fork.workflow_id]
        await DBOS.delete_workflows_async(both)
        return [failure, second, await DBOS.list_workflows_async(workflow_ids=both) or ["GONE"]]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive


@scenario(gives=["done", True, "done"])
def patched(ledger: Ledger) -> Drive:
    """A workflow takes the new way at a patch, and passes one that is deprecated."""

    @DBOS.step()
    def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    def changed() -> list[Any]:
        done: list[Any] = [work()]
        if DBOS.patch("second"):
            done.append(DBOS.deprecate_patch("gone"))
            done.append(work())
        return done

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return changed()

    return drive


@scenario(gives=["done", True, "done"])
def async_patched(ledger: Ledger) -> Drive:
    """The same in async style."""

    @DBOS.step()
    async def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    async def changed() -> list[Any]:
        done: list[Any] = [await work()]
        if await DBOS.patch_async("second"):
            done.append(await DBOS.deprecate_patch_async("gone"))
            done.append(await work())
        return done

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await changed()

    return drive


@scenario(gives=(["RUN-1"], 0, 0, "done"))
def housekeeping(ledger: Ledger) -> Drive:
    """A child that has ended is exported and imported again; nothing is old enough to go."""

    @DBOS.step()
    def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    def child() -> str:
        return work()

    @DBOS.workflow()
    def parent() -> tuple[list[str], int, int, str]:
        handle = DBOS.start_workflow(child)
        handle.get_result()
        imported = DBOS.import_workflow(DBOS.export_workflow(handle.workflow_id))
        collected = DBOS.garbage_collect(cutoff_epoch_timestamp_ms=0)
        return imported, collected, DBOS.global_timeout(0), handle.get_result()

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent()

    return drive


@scenario(gives=(["RUN-1"], 0, 0, "done"))
def async_housekeeping(ledger: Ledger) -> Drive:
    """The same in async style."""

    @DBOS.step()
    async def work() -> str:
        ledger.note()
        return "done"

    @DBOS.workflow()
    async def child() -> str:
        return await work()

    @DBOS.workflow()
    async def parent() -> tuple[list[str], int, int, str]:
        handle = await DBOS.start_workflow_async(child)
        await handle.get_result()
        imported = await DBOS.import_workflow_async(await DBOS.export_workflow_async(handle.workflow_id))
        collected = await DBOS.garbage_collect_async(cutoff_epoch_timestamp_ms=0)
        return imported, collected, await DBOS.global_timeout_async(0), await handle.get_result()

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent()

    return drive
