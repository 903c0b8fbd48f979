"""Schedules, steered by workflows and by clients, in both styles: killed at each of their effects, too."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dbos import DBOS, SetWorkflowID
from dbos.error import DBOSException
from tests.crash.ledger import Ledger
from tests.crash.scenario import Drive, scenario

ONCE_A_YEAR = "0 0 1 1 *"
KEPT = ["PAUSED", {"a": 1}, ["ACTIVE"], "DBOS Error: Schedule 'RUN-s' already exists", None]


@scenario(gives=KEPT)
def kept_by_a_workflow(ledger: Ledger) -> Drive:
    """Created, paused, looked at, resumed, created in vain and deleted, by one workflow."""

    @DBOS.workflow()
    def target(scheduled: datetime, context: Any) -> None: ...

    @DBOS.workflow()
    def keeper(name: str) -> list[Any]:
        DBOS.create_schedule(schedule_name=name, workflow_fn=target, schedule=ONCE_A_YEAR, context={"a": 1})
        DBOS.pause_schedule(name)
        found = DBOS.get_schedule(name)
        DBOS.resume_schedule(name)
        listed = [each["status"] for each in DBOS.list_schedules(schedule_name_prefix=name)]
        refusal = None
        try:
            DBOS.create_schedule(schedule_name=name, workflow_fn=target, schedule=ONCE_A_YEAR)
        except DBOSException as taken:
            refusal = str(taken)
        DBOS.delete_schedule(name)
        return [found and found["status"], found and found["context"], listed, refusal, DBOS.get_schedule(name)]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return keeper(f"{run_id}-s")

    return drive


@scenario(gives=KEPT)
def async_kept_by_a_workflow(ledger: Ledger) -> Drive:
    """The same in async style."""

    @DBOS.workflow()
    async def target(scheduled: datetime, context: Any) -> None: ...

    @DBOS.workflow()
    async def keeper(name: str) -> list[Any]:
        await DBOS.create_schedule_async(schedule_name=name, workflow_fn=target, schedule=ONCE_A_YEAR, context={"a": 1})
        await DBOS.pause_schedule_async(name)
        found = await DBOS.get_schedule_async(name)
        await DBOS.resume_schedule_async(name)
        listed = [each["status"] for each in await DBOS.list_schedules_async(schedule_name_prefix=name)]
        refusal = None
        try:
            await DBOS.create_schedule_async(schedule_name=name, workflow_fn=target, schedule=ONCE_A_YEAR)
        except DBOSException as taken:
            refusal = str(taken)
        await DBOS.delete_schedule_async(name)
        gone = await DBOS.get_schedule_async(name)
        return [found and found["status"], found and found["context"], listed, refusal, gone]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await keeper(f"{run_id}-s")

    return drive


BACKFILLED = [
    ["sched-RUN-s-2025-01-01T01:00:00+00:00", "sched-RUN-s-2025-01-01T02:00:00+00:00"],
    ["1 x", "2 x"],
    True,
]
START, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, 3, tzinfo=UTC)


@scenario(gives=BACKFILLED)
def run_out_of_turn(ledger: Ledger) -> Drive:
    """Applied, backfilled and triggered by a client."""

    @DBOS.workflow()
    def target(scheduled: datetime, context: str) -> str:
        return f"{scheduled.hour} {context}"

    def drive(run_id: str) -> Any:
        name = f"{run_id}-s"
        DBOS.apply_schedules([{"schedule_name": name, "workflow_fn": target, "schedule": "0 * * * *", "context": "x"}])
        DBOS.pause_schedule(name)
        handles = DBOS.backfill_schedule(name, START, END)
        results = [handle.get_result() for handle in handles]
        triggered = DBOS.trigger_schedule(name)
        triggered.get_result()
        return [[each.workflow_id for each in handles], results, triggered.get_status().schedule_name == name]

    return drive


@scenario(gives=BACKFILLED)
def async_run_out_of_turn(ledger: Ledger) -> Drive:
    """The same in async style."""

    @DBOS.workflow()
    async def target(scheduled: datetime, context: str) -> str:
        return f"{scheduled.hour} {context}"

    async def drive(run_id: str) -> Any:
        name = f"{run_id}-s"
        await DBOS.apply_schedules_async(
            [{"schedule_name": name, "workflow_fn": target, "schedule": "0 * * * *", "context": "x"}]
        )
        await DBOS.pause_schedule_async(name)
        handles = await DBOS.backfill_schedule_async(name, START, END)
        results = [await handle.get_result() for handle in handles]  # type: ignore[func-returns-value]
        triggered = await DBOS.trigger_schedule_async(name)
        await triggered.get_result()
        status = await triggered.get_status()
        return [[each.workflow_id for each in handles], results, status.schedule_name == name]

    return drive
