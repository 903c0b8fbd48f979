"""Records as tests need them: everything but what the test is about has a plain value."""

from __future__ import annotations

import uuid
from typing import Any

from dbos.model.stream import CLOSED_SERIALIZATION, CLOSED_TEXT
from dbos.store.executors import Owner
from dbos.store.records import (
    Checkpoint,
    CheckpointDebounce,
    CheckpointSend,
    Debounce,
    FinishWorkflow,
    KeepEvent,
    ReceiveMessage,
    SendMessage,
    SetEvent,
    StartWorkflow,
    UpdateAttributes,
    WriteStream,
)

APPLICATION = "app"
VERSION = "v1"
RUNNABLE = [("function", "", "")]


def owner(instance: str = "here", executor_id: str = "local", version: str = VERSION) -> Owner:
    return Owner(instance, executor_id, APPLICATION, version)


def start(workflow_id: str, **fields: Any) -> StartWorkflow:
    pending = fields.get("status", "PENDING") == "PENDING"
    plain: dict[str, Any] = {
        **dict.fromkeys(StartWorkflow._fields),
        "workflow_id": workflow_id,
        "token": uuid.uuid4().hex,
        "status": "PENDING",
        "name": "function",
        "inputs": '{"args": [], "kwargs": {}}',
        "serialization": "json",
        "application_name": APPLICATION,
        "application_version": VERSION if pending else None,
        "application_id": "",
        "executor_id": "local" if pending else None,
        "executor_instance": "here" if pending else None,
        "priority": 0,
    }
    return StartWorkflow(**{**plain, **fields})


def checkpoint(workflow_id: str, step_id: int, epoch: int = 1, **fields: Any) -> Checkpoint:
    plain: dict[str, Any] = {
        "name": "step",
        "output": f"{step_id}",
        "error": None,
        "serialization": "json",
        "child_workflow_id": None,
        "started_at_ms": 1_700_000_000_000,
        "completed_at_ms": 1_700_000_000_001,
    }
    return Checkpoint(workflow_id, epoch, step_id, **{**plain, **fields})


def finish(workflow_id: str, epoch: int = 1, status: str = "SUCCESS", **fields: Any) -> FinishWorkflow:
    plain: dict[str, Any] = {
        "output": '"done"' if status == "SUCCESS" else None,
        "error": None,
        "serialization": "json",
    }
    return FinishWorkflow(workflow_id, epoch, status, **{**plain, **fields})


def attributes(
    workflow_id: str, text: str | None, merge: bool = False, guard: tuple[str, int] | tuple[None, None] = (None, None)
) -> UpdateAttributes:
    return UpdateAttributes(workflow_id, text, merge, *guard)


def message(
    destination: str,
    text: str = '"hello"',
    topic: str = "",
    message_id: str | None = None,
    guard: tuple[str, int] | tuple[None, None] = (None, None),
) -> SendMessage:
    return SendMessage(destination, message_id or uuid.uuid4().hex, topic, text, "json", *guard)


def sent(workflow_id: str, step_id: int, of: SendMessage, epoch: int = 1) -> CheckpointSend:
    return CheckpointSend(workflow_id, epoch, step_id, "DBOS.send", "null", "json", 1, 2, of.destination, of.message_id)


def receive(workflow_id: str, step_id: int, topic: str = "", epoch: int = 1) -> ReceiveMessage:
    return ReceiveMessage(workflow_id, epoch, step_id, "DBOS.recv", topic, 1, 2)


def event(workflow_id: str, step_id: int, value: str, key: str = "k", epoch: int = 1) -> tuple[SetEvent, KeepEvent]:
    fields = workflow_id, epoch, step_id, key, value, "json"
    return SetEvent(*fields), KeepEvent(*fields)


def stream_value(workflow_id: str, step_id: int, epoch: int = 1, **fields: Any) -> WriteStream:
    """Written by the body of a workflow, as its step of this number; with a token, from inside that step."""
    plain: dict[str, Any] = {
        "key": "s",
        "value": f"{step_id}",
        "serialization": "json",
        "function_id": step_id,
        "step_attempt": None,
        "token": "",
        "written_at_ms": 1_700_000_000_000,
    }
    return WriteStream(workflow_id, epoch, **{**plain, **fields})


def stream_end(workflow_id: str, step_id: int, epoch: int = 1, **fields: Any) -> WriteStream:
    end = {"value": CLOSED_TEXT, "serialization": CLOSED_SERIALIZATION}
    return stream_value(workflow_id, step_id, epoch, **{**end, **fields})


def debounce(key: str = "key", **fields: Any) -> Debounce:
    plain: dict[str, Any] = {
        **dict.fromkeys(Debounce._fields),
        "deduplication_id": key,
        "token": uuid.uuid4().hex,
        "workflow_id": uuid.uuid4().hex,
        "queue_name": "queue",
        "name": "function",
        "inputs": '{"args": [], "kwargs": {}}',
        "serialization": "json",
        "period_ms": 60_000,
        "application_name": APPLICATION,
        "application_version": VERSION,
        "application_id": "",
        "priority": 0,
    }
    return Debounce(**{**plain, **fields})


def checkpoint_debounce(workflow_id: str, step_id: int, token: str, epoch: int = 1) -> CheckpointDebounce:
    return CheckpointDebounce(workflow_id, epoch, step_id, "function", token, 1_700_000_000_000, 1_700_000_000_001)
