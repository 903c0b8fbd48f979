"""api.md §8.1: messages between workflows."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dbos import DBOS, SendMessage, SetWorkflowID, WorkflowHandle, WorkflowSerializationFormat, error
from dbos.api.launched import current_engine
from dbos.runtime.operations.messages import announce_messages
from dbos.store import records
from dbos.store.pool import Pool
from dbos.testing.shifting import Shift
from tests.support.fixture_types import Launch, Replay
from tests.support.raw_sql import count_rows, run_sql
from tests.support.waiting import Gate, eventually

FOREVER = 1000.0

Receiver = Callable[..., Any]


@pytest.fixture(params=["plain", "coroutine"])
def receiver(request: pytest.FixtureRequest, launch: Launch) -> Receiver:
    """A workflow that receives so many messages, in either colour."""

    @DBOS.workflow()
    def receive(count: int, topic: str | None = None, timeout_seconds: float = FOREVER) -> list[Any]:
        return [DBOS.recv(topic, timeout_seconds) for _ in range(count)]

    @DBOS.workflow()
    async def receive_async(count: int, topic: str | None = None, timeout_seconds: float = FOREVER) -> list[Any]:
        return [await DBOS.recv_async(topic, timeout_seconds) for _ in range(count)]

    return receive if request.param == "plain" else receive_async


def started(workflow: Receiver, *arguments: Any, workflow_id: str = "w") -> WorkflowHandle[Any]:
    with SetWorkflowID(workflow_id):
        return DBOS.start_workflow(workflow, *arguments)


def steps_of(workflow_id: str) -> list[tuple[int, str]]:
    return [(step["function_id"], step["function_name"]) for step in DBOS.list_workflow_steps(workflow_id)]


def await_receivers(count: int = 1) -> None:
    """Until so many mailboxes are waited at."""
    eventually(lambda: len(current_engine().waiters.waiting_for("message")) >= count)


def await_sleeper() -> None:
    """Until somebody who waits for a message has looked for one, and sleeps."""
    registered = current_engine().waiters._registered
    eventually(lambda: any(each.is_asleep for group in tuple(registered.get("message", {}).values()) for each in group))


def messages(database_url: str) -> list[tuple[Any, ...]]:
    return run_sql(database_url, "select destination_uuid, topic, message from notifications order by sequence")


# ---------------------------------------------------------------- receiving


def test_messages_are_received_in_order_each_once(launch: Launch, receiver: Receiver, replay: Replay) -> None:
    launch()
    handle = started(receiver, 3, "t")
    before = time.time()
    for number in range(3):
        DBOS.send("w", {"number": number}, "t")
    expected = [{"number": number} for number in range(3)]
    assert handle.get_result() == expected
    recorded = DBOS.list_workflow_steps("w")
    assert steps_of("w") == [(n, ("DBOS.sleep", "DBOS.recv")[n % 2]) for n in range(1, 7)]
    assert [step["output"] for step in recorded[::2]] == expected
    assert all(before + FOREVER - 60 < step["output"] < time.time() + FOREVER + 60 for step in recorded[1::2])
    DBOS.send("w", "too late", "t")
    assert replay("w").get_result() == expected
    assert DBOS.list_workflow_steps("w") == recorded


def test_a_message_may_come_before_its_receiver(launch: Launch, receiver: Receiver) -> None:
    with Gate() as gate:

        @DBOS.step()
        def pause() -> None:
            gate.pass_through()

        @DBOS.workflow()
        def workflow() -> Any:
            pause()
            return DBOS.recv(timeout_seconds=FOREVER)

        launch()
        handle = started(workflow)
        gate.wait_for_arrival()
        DBOS.send("w", "early")
        gate.open()
        assert handle.get_result() == "early"


@pytest.mark.parametrize("value", [None, False, "", [], {"a": (1, 2)}, {3}, ValueError("x")])
def test_any_value_can_be_a_message(launch: Launch, receiver: Receiver, replay: Replay, value: Any) -> None:
    launch()
    handle = started(receiver, 1)
    DBOS.send("w", value)
    for received in (handle.get_result()[0], replay("w").get_result()[0]):
        assert repr(received) == repr(value)


def test_topics_are_mailboxes_of_their_own(launch: Launch, receiver: Receiver) -> None:
    launch()
    with_topic, without = started(receiver, 1, "t"), started(receiver, 1, None, workflow_id="x")
    await_receivers(2)
    for destination in ("w", "x"):
        DBOS.send(destination, "no topic")
        DBOS.send(destination, "other topic", "u")
        DBOS.send(destination, "topic", "t")
    assert with_topic.get_result() == ["topic"]
    assert without.get_result() == ["no topic"]


def test_no_message_in_time_gives_none_for_good(launch: Launch, receiver: Receiver, replay: Replay) -> None:
    launch()
    begun = time.monotonic()
    handle = started(receiver, 1, None, 0.2)
    assert handle.get_result() == [None]
    assert time.monotonic() - begun >= 0.19
    DBOS.send("w", "too late")
    assert replay("w").get_result() == [None]


@pytest.mark.parametrize("seconds", [0, -1, -0.0])
def test_without_time_it_only_looks(launch: Launch, receiver: Receiver, seconds: float) -> None:
    launch()
    assert started(receiver, 2, None, seconds).get_result() == [None, None]
    assert [name for _, name in steps_of("w")] == ["DBOS.recv", "DBOS.sleep"] * 2


@pytest.mark.owner("makes the table that moves the time of a database")
def test_a_restart_does_not_prolong_the_wait(launch: Launch) -> None:
    """It waits for two hours, and the process ends after each of them."""

    @DBOS.workflow()
    def workflow() -> Any:
        return DBOS.recv(timeout_seconds=7200)

    shift = Shift()
    with shift.installed():
        launch()
        started(workflow)
        for _ in range(2):
            await_receivers()
            eventually(lambda: steps_of("w") == [(2, "DBOS.sleep")])
            shift.forward(3_600_000)
            launch()
        eventually(lambda: DBOS.retrieve_workflow("w").get_status().status == "SUCCESS")
        assert DBOS.get_result("w") is None


def test_a_message_finds_its_receiver_after_a_restart(launch: Launch, receiver: Receiver) -> None:
    launch()
    started(receiver, 2)
    await_receivers()
    DBOS.send("w", 1)
    eventually(lambda: (4, "DBOS.sleep") in steps_of("w"))
    launch()
    await_receivers()
    DBOS.send("w", 2)
    assert DBOS.get_result("w") == [1, 2]


def test_a_cancellation_ends_the_wait(launch: Launch, receiver: Receiver) -> None:
    launch()
    handle = started(receiver, 1)
    await_receivers()
    begun = time.monotonic()
    DBOS.cancel_workflow("w")
    with pytest.raises(error.DBOSAwaitedWorkflowCancelledError):
        handle.get_result()
    DBOS.destroy(workflow_completion_timeout_sec=20)
    assert time.monotonic() - begun < 10


def test_an_attempt_that_was_superseded_receives_nothing(launch: Launch, receiver: Receiver) -> None:
    launch()
    handle = started(receiver, 2)
    await_receivers()
    for epoch in (2, 3):
        DBOS._recover_pending_workflows([DBOS.executor_id])
        eventually(lambda epoch=epoch: current_engine().active()["w"].epoch == epoch)
    await_receivers()
    DBOS.send("w", 1)
    DBOS.send("w", 2)
    assert handle.get_result() == [1, 2]
    assert len(steps_of("w")) == 4


def test_a_wait_that_is_given_up_loses_no_message(launch: Launch) -> None:
    @DBOS.workflow()
    async def workflow() -> Any:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(DBOS.recv_async(timeout_seconds=FOREVER), 0.05)
        return await DBOS.recv_async(timeout_seconds=FOREVER)

    launch()
    handle = started(workflow)
    eventually(lambda: (4, "DBOS.sleep") in steps_of("w"))
    DBOS.send("w", "here")
    assert handle.get_result() == "here"


def test_side_by_side_on_different_topics(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow()
    async def workflow() -> list[Any]:
        return await asyncio.gather(*(DBOS.recv_async(topic, FOREVER) for topic in "abc"))

    launch()
    handle = started(workflow)
    await_receivers(3)
    for topic in "cab":
        DBOS.send("w", topic.upper(), topic)
    assert handle.get_result() == ["A", "B", "C"]
    assert replay("w").get_result() == ["A", "B", "C"]


def test_two_receivers_on_one_topic_are_refused(launch: Launch, replay: Replay) -> None:
    @DBOS.workflow()
    async def workflow(topic: str | None) -> list[Any]:
        first = asyncio.ensure_future(DBOS.recv_async(topic, FOREVER))
        await asyncio.sleep(0)
        try:
            await DBOS.recv_async(topic, FOREVER)
        except error.DBOSConcurrentReceiveError as refusal:
            return [refusal.topic, refusal.workflow_id, await first]
        raise AssertionError("two at once")

    launch()
    handles = [started(workflow, topic, workflow_id=f"w{topic}") for topic in (None, "t")]
    for topic in (None, "t"):
        eventually(lambda topic=topic: (3, "DBOS.recv") in steps_of(f"w{topic}"))
        DBOS.send(f"w{topic}", "hello", topic)
    for topic, handle in zip((None, "t"), handles, strict=True):
        assert handle.get_result() == [topic, f"w{topic}", "hello"]
        assert replay(f"w{topic}").get_result() == [topic, f"w{topic}", "hello"]


def test_receiving_needs_the_body_of_a_workflow(launch: Launch) -> None:
    @DBOS.step()
    def step() -> None:
        DBOS.recv("t", 0)

    @DBOS.workflow()
    def workflow() -> None:
        step()

    launch()
    with pytest.raises(error.DBOSException, match=r"DBOS.recv\(\) must be called from within a workflow"):
        DBOS.recv("t", 0)
    with pytest.raises(error.DBOSException, match=r"DBOS.recv\(\) must be called from within a workflow"):
        asyncio.run(DBOS.recv_async("t", 0))
    with pytest.raises(error.DBOSException, match="not from within a step"):
        workflow()


def test_a_blocking_wait_on_an_event_loop_is_refused(launch: Launch) -> None:
    @DBOS.workflow()
    async def workflow() -> None:
        DBOS.recv("t", 0)

    launch()
    with pytest.raises(RuntimeError, match=r"Use await DBOS.recv_async\(...\) instead"):
        asyncio.run(workflow())


# ---------------------------------------------------------------- sending


def test_from_a_workflow_a_message_is_a_step_and_sent_once(launch: Launch, receiver: Receiver, replay: Replay) -> None:
    @DBOS.workflow()
    def sender() -> None:
        DBOS.send("w", "plain", "t")

    @DBOS.workflow()
    async def sender_async() -> None:
        await DBOS.send_async("w", "coroutine", "t")

    launch()
    handle = started(receiver, 2, "t")
    for number, workflow in enumerate((sender, sender_async)):
        sending = started(workflow, workflow_id=f"s{number}")
        assert sending.get_result() is None
        assert steps_of(f"s{number}") == [(1, "DBOS.send")]
        assert replay(f"s{number}").get_result() is None
    assert handle.get_result() == ["plain", "coroutine"]
    assert len(DBOS.list_workflow_steps("w")) == 4


def test_from_a_step_a_message_leaves_no_row_and_may_be_repeated(launch: Launch, receiver: Receiver) -> None:
    @DBOS.step(retries_allowed=True, interval_seconds=0.001)
    def step() -> None:
        status = DBOS.step_status
        assert status is not None
        DBOS.send("w", status.current_attempt)
        if status.current_attempt == 0:
            raise ConnectionError

    @DBOS.workflow()
    def sender() -> None:
        step()

    launch()
    handle = started(receiver, 2)
    started(sender, workflow_id="s").get_result()
    assert handle.get_result() == [0, 1]
    assert [name.rpartition(".")[2] for _, name in steps_of("s")] == ["step"]


def test_a_workflow_whose_id_was_used_before_sends_its_own_message(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def receive() -> list[Any]:
        return [DBOS.recv(), DBOS.recv()]

    @DBOS.workflow()
    def greet(greeting: str) -> None:
        DBOS.send("receiver", greeting)

    launch()
    handle = started(receive, workflow_id="receiver")
    started(greet, "first").get_result()
    run_sql(database_url, "delete from operation_outputs where workflow_uuid = 'w'")
    run_sql(database_url, "delete from workflow_status where workflow_uuid = 'w'")
    started(greet, "second").get_result()
    assert handle.get_result() == ["first", "second"]


def test_an_unknown_destination_is_refused(launch: Launch, database_url: str, replay: Replay) -> None:
    @DBOS.step()
    def step() -> None:
        DBOS.send("nobody", 1)

    @DBOS.workflow()
    def sender(directly: bool) -> str:
        try:
            if directly:
                DBOS.send("nobody", 1)
            else:
                step()
        except error.DBOSNonExistentWorkflowError as refusal:
            return f"{refusal} ({refusal.destination_id})"
        return "sent"

    launch()
    text = "Sent to non-existent destination workflow ID: nobody"
    recorded = f"DBOS Error 5: {text} (nobody)"
    with pytest.raises(error.DBOSNonExistentWorkflowError, match=text):
        DBOS.send("nobody", 1)
    with pytest.raises(error.DBOSNonExistentWorkflowError, match=text):
        asyncio.run(DBOS.send_async("nobody", 1))
    for directly in (True, False):
        workflow_id = f"s{directly}"
        assert started(sender, directly, workflow_id=workflow_id).get_result() == recorded
        (step_row,) = DBOS.list_workflow_steps(workflow_id)
        assert isinstance(step_row["error"], error.DBOSNonExistentWorkflowError)
        assert replay(workflow_id).get_result() == recorded
    assert messages(database_url) == []


def test_a_finished_workflow_takes_messages_silently(launch: Launch, receiver: Receiver, database_url: str) -> None:
    launch()
    assert started(receiver, 0).get_result() == []
    DBOS.send("w", "nobody reads this")
    assert len(messages(database_url)) == 1


def test_a_key_delivers_once_per_destination(launch: Launch, receiver: Receiver) -> None:
    @DBOS.workflow()
    def sender() -> None:
        DBOS.send("w", "from a workflow", idempotency_key="key")
        DBOS.send("w", "the last one")

    launch()
    first, second = started(receiver, 2), started(receiver, 1, workflow_id="x")
    DBOS.send("w", 1, idempotency_key="key")
    DBOS.send("w", 2, idempotency_key="key")
    asyncio.run(DBOS.send_async("w", 3, idempotency_key="key"))
    DBOS.send("x", 4, idempotency_key="key")
    started(sender, workflow_id="s").get_result()
    assert first.get_result() == [1, "the last one"]
    assert second.get_result() == [4]


def test_a_workflow_id_around_a_send_is_its_key(
    launch: Launch, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    launch()
    handle = started(receiver, 3)
    for number in range(3):
        with SetWorkflowID("key"):
            DBOS.send("w", number)
    with SetWorkflowID("other key"), caplog.at_level(logging.WARNING, "dbos"):
        DBOS.send("w", "a")
        DBOS.send("w", "b")
    assert handle.get_result() == [0, "a", "b"]
    assert "was used by an earlier call" in caplog.text


def test_many_messages_arrive_in_order_all_or_none(launch: Launch, receiver: Receiver, database_url: str) -> None:
    @DBOS.workflow()
    def sender() -> None:
        DBOS.send_bulk([SendMessage("w", number, "t") for number in range(20)])

    launch()
    handle = started(receiver, 40, "t")
    started(sender, workflow_id="s").get_result()
    asyncio.run(DBOS.send_bulk_async([SendMessage("w", number, "t") for number in range(20, 40)]))
    assert steps_of("s") == [(1, "DBOS.send_bulk")]
    assert handle.get_result() == list(range(40))
    before = messages(database_url)
    with pytest.raises(error.DBOSNonExistentWorkflowError, match="nobody, none"):
        DBOS.send_bulk([SendMessage(to, 1) for to in ("w", "nobody", "w", "none", "nobody")])
    with pytest.raises(error.DBOSException, match="same idempotency key: key"):
        DBOS.send_bulk([SendMessage("w", n, idempotency_key="key") for n in range(2)])
    DBOS.send_bulk([])
    assert messages(database_url) == before


def test_a_bulk_that_is_refused_is_a_step_that_failed(launch: Launch, database_url: str, replay: Replay) -> None:
    @DBOS.workflow()
    def sender() -> str:
        with pytest.raises(error.DBOSNonExistentWorkflowError) as refusal:
            DBOS.send_bulk([SendMessage("s", 1), SendMessage("nobody", 2)])
        return str(refusal.value)

    launch()
    handle = started(sender, workflow_id="s")
    assert "nobody" in handle.get_result()
    assert messages(database_url) == []
    with SetWorkflowID("nobody"):
        DBOS.start_workflow(sender)
    assert "nobody" in replay("s").get_result()


def test_forks_get_the_message_too(launch: Launch, receiver: Receiver, database_url: str, replay: Replay) -> None:
    @DBOS.workflow()
    def sender() -> None:
        DBOS.send("w", "step", send_to_forks=True)

    launch()
    handles = [started(receiver, 3, workflow_id=each) for each in ("w", "fork", "fork of fork")]
    for fork, origin in (("fork", "w"), ("fork of fork", "fork")):
        run_sql(database_url, "update workflow_status set forked_from = ? where workflow_uuid = ?", origin, fork)
    DBOS.send("w", "plain", send_to_forks=True)
    started(sender, workflow_id="s").get_result()
    replay("s").get_result()
    DBOS.send_bulk([SendMessage("w", "bulk")], send_to_forks=True)
    for handle in handles:
        assert handle.get_result() == ["plain", "step", "bulk"]


def test_how_a_message_is_stored_can_be_chosen(launch: Launch, receiver: Receiver, database_url: str) -> None:
    launch()
    handle = started(receiver, 2)
    DBOS.send("w", 1, serialization_type=WorkflowSerializationFormat.NATIVE)
    DBOS.send_bulk([SendMessage("w", 2)], serialization_type=WorkflowSerializationFormat.DEFAULT)
    assert handle.get_result() == [1, 2]
    assert [row[0] for row in run_sql(database_url, "select serialization from notifications order by sequence")] == [
        "py_pickle",
        "json",
    ]


# ---------------------------------------------------------------- what cannot work

BAD_TEXTS: list[Any] = ["a\0b", "\ud800", "x" * 513, "ü" * 257, 7, b"t"]
BAD_SECONDS: list[Any] = [float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), None, "1"]


def test_bad_arguments_write_nothing(launch: Launch, receiver: Receiver, database_url: str) -> None:
    @DBOS.workflow()
    def workflow() -> None:
        for topic in BAD_TEXTS:
            with pytest.raises(error.DBOSException, match="topic of a message"):
                DBOS.recv(topic, 0)
        for seconds in BAD_SECONDS:
            with pytest.raises(error.DBOSException, match="finite number of seconds"):
                DBOS.recv(None, seconds)

    launch()
    started(receiver, 0).get_result()
    for text in BAD_TEXTS:
        with pytest.raises(error.DBOSException, match="topic of a message"):
            DBOS.send("w", 1, text)
        with pytest.raises(error.DBOSException, match="idempotency key of a message"):
            DBOS.send("w", 1, idempotency_key=text)
        with pytest.raises(error.DBOSException, match="workflow ID"):
            DBOS.send(text, 1)
    for wrong in (None, "w", [SendMessage("w", 1), ("w", 2)], 7, SendMessage("w", 1)):
        with pytest.raises(error.DBOSException, match="takes a list of SendMessage"):
            DBOS.send_bulk(wrong)  # type: ignore[arg-type]
    with pytest.raises(error.DBOSException, match="shard key"):
        DBOS.send("w", 1, shard_key="s")  # type: ignore[call-arg]
    started(workflow, workflow_id="checks").get_result()
    assert steps_of("checks") == []
    assert messages(database_url) == []


def test_a_message_that_cannot_be_stored_names_the_part(launch: Launch, database_url: str) -> None:
    @DBOS.workflow()
    def sender() -> None:
        DBOS.send(DBOS.workflow_id or "", {"lock": threading.Lock()})

    launch()
    started(DBOS.workflow()(lambda: None)).get_result()
    with pytest.raises(error.DBOSSerializationError, match=r"message\['lock'\]"):
        DBOS.send("w", {"lock": threading.Lock()})
    with pytest.raises(error.DBOSSerializationError, match=r"messages\[1\].message"):
        DBOS.send_bulk([SendMessage("w", 1), SendMessage("w", threading.Lock())])
    before = count_rows(database_url)
    with pytest.raises(error.DBOSSerializationError, match=r"message\['lock'\]"):
        started(sender, workflow_id="s").get_result()
    assert DBOS.retrieve_workflow("s").get_status().status == "ERROR"
    assert count_rows(database_url) == {**before, "workflow_status": before["workflow_status"] + 1}
    assert messages(database_url) == []


def test_a_message_that_cannot_be_read_fails_the_receiver_and_is_not_lost(
    launch: Launch, receiver: Receiver, database_url: str
) -> None:
    launch()
    handle = started(receiver, 1)
    await_receivers()
    run_sql(
        database_url,
        "insert into notifications (destination_uuid, message_uuid, topic, message, serialization, created_at_epoch_ms)"
        " values ('w', 'm', '', '{', 'somebody elses', 0)",
    )
    with pytest.raises(error.DBOSDeserializationError, match="somebody elses"):
        handle.get_result()
    assert [name for _, name in steps_of("w")] == ["DBOS.recv", "DBOS.sleep"]


# ---------------------------------------------------------------- waking up


def test_in_the_same_process_nothing_but_the_commit_wakes(launch: Launch, receiver: Receiver) -> None:
    """Neither notifications nor polling: both are off."""
    launch(use_listen_notify=False, notification_listener_polling_interval_sec=FOREVER)
    handle = started(receiver, 50)
    begun = time.monotonic()
    for number in range(50):
        await_sleeper()
        DBOS.send("w", number)
    assert handle.get_result() == list(range(50))
    assert time.monotonic() - begun < 20


def test_a_message_between_the_check_and_the_wait_is_not_slept_through(
    launch: Launch, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent when the store has just answered that there is none, and nothing but its commit wakes anybody."""
    launch(use_listen_notify=False, notification_listener_polling_interval_sec=FOREVER)
    engine = current_engine()
    look = Pool._perform
    sent: list[bool] = []

    def look_and_send(self: Pool, lender: Any, work: Any, closing: Any = None) -> Any:
        answer = look(self, lender, work, closing)
        checked = isinstance(answer, list) and len(answer) == 2 and answer == [(), None]
        if checked and not sent:
            sent.append(True)
            message = records.SendMessage("w", "m", "", '"hello"', "json", None, None)
            assert look(self, engine.store.journal._pool._turns, lambda session: session.write_batch([message])[0])
            announce_messages(engine, [message])
        return answer

    monkeypatch.setattr(Pool, "_perform", look_and_send)
    started(receiver, 1)
    eventually(lambda: DBOS.retrieve_workflow("w").get_status().status == "SUCCESS")
    assert sent
    assert DBOS.get_result("w") == ["hello"]


def test_a_message_written_past_the_library_is_found_by_polling(
    launch: Launch, receiver: Receiver, database_url: str
) -> None:
    """As the SQL function does, or a client whose notification was lost."""
    launch(use_listen_notify=False, notification_listener_polling_interval_sec=0.1)
    handle = started(receiver, 1, "t")
    await_receivers()
    run_sql(
        database_url,
        "insert into notifications (destination_uuid, message_uuid, topic, message, serialization, created_at_epoch_ms)"
        " values ('w', 'm', 't', '1', 'json', 0)",
    )
    assert handle.get_result() == [1]
