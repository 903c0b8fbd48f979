"""Messages to workflows: sending them from anywhere. How one is received is in receiving.py.

A message is durable before `send` returns. Messages of a topic arrive in the order in which the database numbered them,
so whatever was sent after another was acknowledged comes after it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from dbos.error import DBOSException, DBOSNonExistentWorkflowError
from dbos.fields import dataclass
from dbos.model.ids import validate_workflow_id
from dbos.model.mailbox import place, validate_key, validate_topic
from dbos.model.serialization import WorkflowSerializationFormat, require_format
from dbos.runtime.clock import wall_ms
from dbos.runtime.context import Attempt, current_attempt, refuse_in_transaction, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Commit, Operation, Outcome
from dbos.runtime.requests import current_requests
from dbos.runtime.step import encode, record, replay
from dbos.store import records

logger = logging.getLogger("dbos")

SEND = "DBOS.send"
SEND_BULK = "DBOS.send_bulk"

_DEFAULT = WorkflowSerializationFormat.DEFAULT


@dataclass
class SendMessage:
    """One of the messages that `DBOS.send_bulk` sends; see `DBOS.send`."""

    destination_id: str
    message: Any
    topic: str | None = None
    idempotency_key: str | None = None


def send(
    engine: Engine,
    destination_id: str,
    message: Any,
    topic: str | None = None,
    *,
    idempotency_key: str | None = None,
    serialization_type: WorkflowSerializationFormat = _DEFAULT,
    send_to_forks: bool = False,
) -> Operation[None]:
    """Send a message to a workflow, from anywhere; it is durable when this returns.

    Args:
        destination_id: The id of the workflow. One that has ended takes messages too, and nobody receives them.
        message: Any value that can be stored.
        topic: Only a `recv` of the same topic receives it; by default one without a topic.
        idempotency_key: A second message with this key to the same workflow is dropped.
        serialization_type: How the message is stored.
        send_to_forks: Send it also to every fork of the workflow, and to forks of forks, that exists now.

    From a workflow it is a step, and sent exactly once; in a step it may be sent again when the step is. Elsewhere the
    id of a `with SetWorkflowID(...)` is the idempotency key. Raises DBOSNonExistentWorkflowError if there is no such
    workflow, DBOSSerializationError for a message that cannot be stored, DBOSException for other bad arguments.
    """
    if idempotency_key is None and current_attempt() is None:
        idempotency_key = _requested_key()
    letters = [SendMessage(destination_id, message, topic, idempotency_key)]
    yield from _send(engine, SEND, letters, serialization_type, send_to_forks)


def send_bulk(
    engine: Engine,
    messages: Sequence[SendMessage],
    *,
    serialization_type: WorkflowSerializationFormat = _DEFAULT,
    send_to_forks: bool = False,
) -> Operation[None]:
    """Send several messages, in order, all of them or none; from a workflow it is one step.

    Args:
        messages: A list of SendMessage. No two may have the same idempotency key.
        serialization_type: How the messages are stored.
        send_to_forks: See `send`.

    Raises DBOSNonExistentWorkflowError, naming all workflows that do not exist, and whatever `send` raises.
    """
    letters = _letters(messages)
    keys = Counter(letter.idempotency_key for letter in letters if letter.idempotency_key is not None)
    repeated = [str(key) for key, count in keys.items() if count > 1]
    if repeated:
        raise DBOSException(f"Several messages have the same idempotency key: {', '.join(repeated)}")
    yield from _send(engine, SEND_BULK, letters, serialization_type, send_to_forks)


def _letters(messages: Any) -> list[SendMessage]:
    """The messages as a list. Raises DBOSException for anything else."""
    letters: list[Any] = list(messages) if isinstance(messages, Iterable) else [None]
    if not all(isinstance(letter, SendMessage) for letter in letters):
        raise DBOSException(f"DBOS.send_bulk() takes a list of SendMessage, not {messages!r}")
    return letters


def _requested_key() -> str | None:
    """The id of a `with SetWorkflowID(...)` around a send outside of workflows, unless something else has used it."""
    wanted = current_requests().identity
    if wanted is None:
        return None
    if wanted.take():
        return wanted.workflow_id
    logger.warning("SetWorkflowID(%r) was used by an earlier call of its block; this one has none", wanted.workflow_id)
    return None


def _send(
    engine: Engine, name: str, letters: list[SendMessage], format: WorkflowSerializationFormat, to_forks: bool
) -> Operation[None]:
    refuse_in_transaction(name)
    format = require_format(format)
    for letter in letters:
        validate_workflow_id(letter.destination_id)
        validate_topic(letter.topic)
        if letter.idempotency_key is not None:
            validate_key("idempotency key of a message", letter.idempotency_key)
    attempt = workflow_body()
    step_id = None if attempt is None else attempt.next_step_id()
    if attempt is not None and step_id is not None:
        row = attempt.recorded(step_id, name)
        if row is not None:
            replay(attempt, row).unwrap()
            return
        if attempt.must_verify():
            yield from attempt.verify()
    written = _encoded(engine, letters, format, step_id)
    if len(written) == 1 and not to_forks:
        delivery = _deliver_one(engine, written[0], attempt, step_id, name)
    else:
        delivery = _deliver_all(engine, written, to_forks, attempt, step_id, name)
    announce_messages(engine, (yield from delivery))


def _encoded(
    engine: Engine, letters: list[SendMessage], format: WorkflowSerializationFormat, step_id: int | None
) -> list[records.SendMessage]:
    """The messages as records. A step of a workflow names them by its number: sent again, they are the same."""
    sender = current_attempt()
    guard = (None, None) if sender is None else (sender.workflow_id, sender.epoch)
    found = []
    for index, letter in enumerate(letters):
        where = "message" if len(letters) == 1 else f"messages[{index}].message"
        text, codec = engine.codec.encode(letter.message, where, format)
        if letter.idempotency_key is not None:
            message_id = letter.idempotency_key
        elif sender is not None and step_id is not None:
            message_id = f"dbos.send:{sender.token_of(step_id)}:{index}"
        else:
            message_id = engine.new_id()
        topic = validate_topic(letter.topic)
        found.append(records.SendMessage(letter.destination_id, message_id, topic, text, codec, *guard))
    return found


def _deliver_one(
    engine: Engine, message: records.SendMessage, attempt: Attempt | None, step_id: int | None, name: str
) -> Operation[list[records.SendMessage]]:
    """One message: written in one round trip, and only if it is refused the store is asked why."""
    started_at_ms = wall_ms()
    why_not = partial(_why_not, engine, message)
    if attempt is None or step_id is None:
        while (yield Commit(message))[0] is None:
            if (yield from why_not()):
                break
        return [message]
    output, codec = engine.codec.encode(None, "result")
    times = started_at_ms, wall_ms()
    step = records.CheckpointSend(
        attempt.workflow_id,
        attempt.epoch,
        step_id,
        name,
        output,
        codec,
        *times,
        message.destination,
        message.message_id,
    )
    try:
        yield from record(attempt, step, message, otherwise=why_not)
    except DBOSNonExistentWorkflowError as refusal:
        yield from record(attempt, encode(attempt, step_id, name, Outcome(error=refusal), started_at_ms))
        raise
    return [message]


def _why_not(engine: Engine, message: records.SendMessage) -> Operation[bool]:
    """Why a message was not written. True: it is there already; False: try again.

    Raises DBOSNonExistentWorkflowError, or what ends the attempt that sends it.
    """
    yield from _verify_sender()
    exists, there = yield Ask(engine.store.messages.arrived, message.destination, message.message_id)
    if not exists:
        raise DBOSNonExistentWorkflowError(message.destination)
    return there  # type: ignore[no-any-return]


def _verify_sender() -> Operation[None]:
    sender = current_attempt()
    if sender is not None:
        yield from sender.verify_refused()


def _deliver_all(
    engine: Engine,
    messages: list[records.SendMessage],
    to_forks: bool,
    attempt: Attempt | None,
    step_id: int | None,
    name: str,
) -> Operation[list[records.SendMessage]]:
    """Several messages in one transaction, once it is known that every destination exists.

    One that is deleted after that takes its messages along, as if it had been deleted a moment later.
    """
    started_at_ms = wall_ms()
    destinations = list(dict.fromkeys(message.destination for message in messages))
    recipients: dict[str, list[str]] = yield Ask(engine.store.messages.recipients, destinations, to_forks)
    unknown = [each for each in destinations if each not in recipients]
    outcome: Outcome[None] = Outcome(None)
    if unknown:
        outcome = Outcome(error=DBOSNonExistentWorkflowError(", ".join(unknown)))
        messages = []
    copies = [message._replace(destination=each) for message in messages for each in recipients[message.destination]]
    if attempt is not None and step_id is not None:
        yield from record(attempt, encode(attempt, step_id, name, outcome, started_at_ms), *copies)
    elif copies and None in (yield Commit(*copies)):
        yield from _verify_sender()  # nothing else can have refused what is not there already
    outcome.unwrap()
    return copies


def announce_messages(engine: Engine, messages: Iterable[records.SendMessage]) -> None:
    """Wake whoever waits for these messages: here at once; other processes are told only if nobody here does."""
    mailboxes = dict.fromkeys(place(message.destination, message.topic) for message in messages)
    elsewhere = [mailbox for mailbox in mailboxes if not engine.waiters.wake("message", mailbox)]
    if elsewhere:
        engine.store.hints.publish("message", elsewhere)
