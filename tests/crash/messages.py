"""Examples of messages and events, in both styles: between workflows, from steps, and from clients."""

from __future__ import annotations

import asyncio
from typing import Any

from dbos import DBOS, SendMessage, SetWorkflowID
from dbos.error import DBOSConcurrentReceiveError, DBOSNonExistentWorkflowError
from tests.crash.ledger import Ledger
from tests.crash.scenario import Drive, scenario

PATIENCE_SECONDS = 30.0  # whatever waits so long has lost its message: the outcome is another one then

CONVERSATION = {
    "answers": ["HELLO", "BULK 0", "BULK 1", "BY A STEP"],
    "timeout": None,
    "refused": ["nobody", "nobody, none"],
    "mood": "busy",
    "events": {"mood": "done", "seen": 4},
}


@scenario(gives=CONVERSATION)
def conversation(ledger: Ledger) -> Drive:
    """Parent and child send, answer, time out, fail to send, and publish."""

    @DBOS.step()
    def knock(child_id: str) -> None:
        ledger.note()
        DBOS.send(child_id, "by a step", idempotency_key="knock")

    @DBOS.step()
    def count(seen: int) -> None:
        ledger.note()
        DBOS.set_event("seen", seen)

    @DBOS.workflow()
    def child(parent_id: str) -> None:
        DBOS.set_event("mood", "busy")
        for _ in range(4):
            DBOS.send(parent_id, DBOS.recv(timeout_seconds=PATIENCE_SECONDS).upper(), "answers")
        count(4)
        DBOS.recv("go on", PATIENCE_SECONDS)
        DBOS.set_event("mood", "done")

    @DBOS.workflow()
    def parent(run_id: str) -> dict[str, Any]:
        handle = DBOS.start_workflow(child, run_id)
        DBOS.send(handle.workflow_id, "hello")
        DBOS.send_bulk([SendMessage(handle.workflow_id, f"bulk {number}") for number in range(2)])
        knock(handle.workflow_id)
        refused = []
        for letters in (["nobody"], ["nobody", "none"]):
            try:
                if len(letters) == 1:
                    DBOS.send(letters[0], 0)
                else:
                    DBOS.send_bulk([SendMessage(each, 0) for each in (run_id, *letters)])
            except DBOSNonExistentWorkflowError as refusal:
                refused.append(refusal.destination_id)
        answers = [DBOS.recv("answers", PATIENCE_SECONDS) for _ in range(4)]
        mood = DBOS.get_event(handle.workflow_id, "mood", PATIENCE_SECONDS)
        timeout = DBOS.recv("silence", 0.01)
        DBOS.send(handle.workflow_id, None, "go on")
        handle.get_result()
        events = DBOS.get_all_events(handle.workflow_id)
        return {"answers": answers, "timeout": timeout, "refused": refused, "mood": mood, "events": events}

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return parent(run_id)

    return drive


@scenario(gives=CONVERSATION)
def async_conversation(ledger: Ledger) -> Drive:
    """The same as coroutines."""

    @DBOS.step()
    async def knock(child_id: str) -> None:
        ledger.note()
        await DBOS.send_async(child_id, "by a step", idempotency_key="knock")

    @DBOS.step()
    async def count(seen: int) -> None:
        ledger.note()
        await DBOS.set_event_async("seen", seen)

    @DBOS.workflow()
    async def child(parent_id: str) -> None:
        await DBOS.set_event_async("mood", "busy")
        for _ in range(4):
            message = await DBOS.recv_async(timeout_seconds=PATIENCE_SECONDS)
            await DBOS.send_async(parent_id, message.upper(), "answers")
        await count(4)
        await DBOS.recv_async("go on", PATIENCE_SECONDS)
        await DBOS.set_event_async("mood", "done")

    @DBOS.workflow()
    async def parent(run_id: str) -> dict[str, Any]:
        handle = await DBOS.start_workflow_async(child, run_id)
        await DBOS.send_async(handle.workflow_id, "hello")
        await DBOS.send_bulk_async([SendMessage(handle.workflow_id, f"bulk {number}") for number in range(2)])
        await knock(handle.workflow_id)
        refused = []
        for letters in (["nobody"], ["nobody", "none"]):
            try:
                if len(letters) == 1:
                    await DBOS.send_async(letters[0], 0)
                else:
                    await DBOS.send_bulk_async([SendMessage(each, 0) for each in (run_id, *letters)])
            except DBOSNonExistentWorkflowError as refusal:
                refused.append(refusal.destination_id)
        answers = [await DBOS.recv_async("answers", PATIENCE_SECONDS) for _ in range(4)]
        mood = await DBOS.get_event_async(handle.workflow_id, "mood", PATIENCE_SECONDS)
        timeout = await DBOS.recv_async("silence", 0.01)
        await DBOS.send_async(handle.workflow_id, None, "go on")
        await handle.get_result()
        events = await DBOS.get_all_events_async(handle.workflow_id)
        return {"answers": answers, "timeout": timeout, "refused": refused, "mood": mood, "events": events}

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await parent(run_id)

    return drive


@scenario(gives=(["first", "second", "third"], "open", {"door": "open"}))
def a_client_writes(ledger: Ledger) -> Drive:
    """A client sends with keys, reads events, and does it all again if the application died."""

    @DBOS.workflow()
    def answering() -> list[Any]:
        DBOS.set_event("door", "open")
        return [DBOS.recv("t", PATIENCE_SECONDS) for _ in range(3)]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            handle = DBOS.start_workflow(answering)
        door = DBOS.get_event(run_id, "door", PATIENCE_SECONDS)
        DBOS.send(run_id, "first", "t", idempotency_key="1")
        with SetWorkflowID("2"):
            DBOS.send(run_id, "second", "t")
        DBOS.send_bulk([SendMessage(run_id, "third", "t", "3")], send_to_forks=True)
        return handle.get_result(), door, DBOS.get_all_events(run_id)

    return drive


@scenario(gives=(["first", "second", "third"], "open", {"door": "open"}))
def async_client_writes(ledger: Ledger) -> Drive:
    """The same as coroutines."""

    @DBOS.workflow()
    async def answering() -> list[Any]:
        await DBOS.set_event_async("door", "open")
        return [await DBOS.recv_async("t", PATIENCE_SECONDS) for _ in range(3)]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            handle = await DBOS.start_workflow_async(answering)
        door = await DBOS.get_event_async(run_id, "door", PATIENCE_SECONDS)
        await DBOS.send_async(run_id, "first", "t", idempotency_key="1")
        with SetWorkflowID("2"):
            await DBOS.send_async(run_id, "second", "t")
        await DBOS.send_bulk_async([SendMessage(run_id, "third", "t", "3")], send_to_forks=True)
        return await handle.get_result(), door, await DBOS.get_all_events_async(run_id)

    return drive


@scenario(gives=["A", "B", "two at once", "event"])
def async_side_by_side(ledger: Ledger) -> Drive:
    """Several waits at the same time: on two topics, twice on one of them, and for an event."""

    async def receive(topic: str) -> Any:
        try:
            return await DBOS.recv_async(topic, PATIENCE_SECONDS)
        except DBOSConcurrentReceiveError:
            return "two at once"

    async def answer(own_id: str) -> None:
        await DBOS.sleep_async(0.02)
        for topic in "ab":
            await DBOS.send_async(own_id, topic.upper(), topic)
        await DBOS.set_event_async("k", "event")

    @DBOS.workflow()
    async def waiting() -> list[Any]:
        own_id = DBOS.workflow_id or ""
        event = DBOS.get_event_async(own_id, "k", PATIENCE_SECONDS)
        *found, _ = await asyncio.gather(*(receive(topic) for topic in ("a", "b", "b")), event, answer(own_id))
        return found

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return await waiting()

    return drive
