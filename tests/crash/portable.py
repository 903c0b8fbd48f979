"""Portable workflows on behalf of a user, in both styles: arguments, identity and format are the same in every life."""

from __future__ import annotations

from datetime import date
from typing import Any

from dbos import DBOS, DBOSContextSetAuth, SetWorkflowID, WorkflowSerializationFormat, pydantic_args_validator
from tests.crash.ledger import Ledger
from tests.crash.scenario import Drive, scenario

PORTABLE = WorkflowSerializationFormat.PORTABLE

TOLD = ["ada as clerk on date 2026-01-02", "ada as admin refuses 2026-01-02"]
PUBLISHED = [{"event": ["2026-01-02"]}, [["2026-01-02"]]]


def who() -> str:
    return f"{DBOS.authenticated_user} as {DBOS.assumed_role}"


@scenario(gives=[*TOLD, *PUBLISHED])
def portable(ledger: Ledger) -> Drive:
    """With a step of another role, and a child that fails: its error comes back as a record of what it was."""

    @DBOS.step()
    @DBOS.required_roles(["clerk"])
    def look(day: date) -> str:
        ledger.note()
        return f"{who()} on {type(day).__name__} {day}"

    @DBOS.required_roles(["admin"])
    @DBOS.workflow(serialization_type=PORTABLE, validate_args=pydantic_args_validator)
    def refuse(day: date) -> None:
        raise ValueError(f"{who()} refuses {day}")

    @DBOS.required_roles(["admin", "clerk"])
    @DBOS.workflow(serialization_type=PORTABLE, validate_args=pydantic_args_validator)
    def work(day: date) -> list[str]:
        DBOS.set_event("event", (day,))
        seen = look(day)
        DBOS.write_stream("stream", {day})
        try:
            DBOS.start_workflow(refuse, day).get_result()
        except Exception as failure:
            return [seen, str(failure)]
        raise AssertionError("not refused")

    def drive(run_id: str) -> Any:
        with DBOSContextSetAuth("ada", ["clerk", "admin"]), SetWorkflowID(run_id):
            told = work("2026-01-02")  # type: ignore[arg-type]
        return [*told, DBOS.get_all_events(run_id), list(DBOS.read_stream(run_id, "stream"))]

    return drive


@scenario(gives=[*TOLD, *PUBLISHED])
def portable_coroutines(ledger: Ledger) -> Drive:
    """The same in async style."""

    @DBOS.step()
    @DBOS.required_roles(["clerk"])
    async def look(day: date) -> str:
        ledger.note()
        return f"{who()} on {type(day).__name__} {day}"

    @DBOS.required_roles(["admin"])
    @DBOS.workflow(serialization_type=PORTABLE, validate_args=pydantic_args_validator)
    async def refuse(day: date) -> None:
        raise ValueError(f"{who()} refuses {day}")

    @DBOS.required_roles(["admin", "clerk"])
    @DBOS.workflow(serialization_type=PORTABLE, validate_args=pydantic_args_validator)
    async def work(day: date) -> list[str]:
        await DBOS.set_event_async("event", (day,))
        seen = await look(day)
        await DBOS.write_stream_async("stream", {day})
        try:
            await refuse(day)
        except Exception as failure:
            return [seen, str(failure)]
        raise AssertionError("not refused")

    async def drive(run_id: str) -> Any:
        with DBOSContextSetAuth("ada", ["clerk", "admin"]), SetWorkflowID(run_id):
            told = await work("2026-01-02")  # type: ignore[arg-type]
        published = await DBOS.get_all_events_async(run_id)
        return [*told, published, [value async for value in DBOS.read_stream_async(run_id, "stream")]]

    return drive
