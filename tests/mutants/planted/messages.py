"""Messages and events, and what all waits share."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

RECEIVED = "tests/store/test_messages.py::{}[{}]"
LISTENED = (
    "tests/acceptance/test_waits.py::test_what_happens_between_the_look_and_the_wait_is_not_slept_through[sqlite-{}]"
)
IN_TIME = (
    "tests/acceptance/test_waits.py::"
    "test_what_came_in_time_is_found_though_the_answer_to_the_look_comes_late[sqlite-{}]"
)

MUTANTS = (
    Mutant(
        "closing waits until the listener has looked up by itself",
        "store/postgres/hints.py",
        "        self._notifier.close()\n        self.interrupt()\n",
        "        self._notifier.close()\n",
        "tests/store/test_hints.py::test_closing_returns_at_once[postgres]",
    ),
    Mutant(
        "a receiver looks for a message before it listens",
        "runtime/operations/receiving.py",
        """    with engine.waiters.register(*mine) as registration:
        over = limit.remaining_seconds() <= 0
        (found,) = yield from limit.fix(take())
""",
        """    over = limit.remaining_seconds() <= 0
    (found,) = yield from limit.fix(take())
    with engine.waiters.register(*mine) as registration:
        over = limit.remaining_seconds() <= 0
""",
        "tests/acceptance/test_messages.py::test_a_message_between_the_check_and_the_wait_is_not_slept_through"
        "[sqlite-plain]",
    ),
    Mutant(
        "a message that was received stays to be received",
        "store/sqlite/database.py",
        '            self._connection.execute(self._statements["consume_message"].sql, values)\n',
        "            pass\n",
        RECEIVED.format("test_the_oldest_message_is_taken_once_whatever_the_clock_said", "sqlite"),
    ),
    Mutant(
        "a message is received by an attempt of any epoch",
        "store/sqlite/sql/messages.sql",
        "    where w.workflow_uuid = i.workflow_id and w.epoch = i.epoch and w.completed_at is null\n",
        "    where w.workflow_uuid = i.workflow_id and w.completed_at is null\n",
        RECEIVED.format("test_whoever_lost_the_workflow_takes_nothing", "sqlite"),
    ),
    Mutant(
        "messages are received in the order of a clock",
        "store/postgres/sql/messages.sql",
        "        order by n.sequence\n",
        "        order by n.created_at_epoch_ms\n",
        RECEIVED.format("test_the_oldest_message_is_taken_once_whatever_the_clock_said", "postgres"),
    ),
    Mutant(
        "a message that somebody is just receiving is received again",
        "store/postgres/sql/messages.sql",
        "n.sequence = due.sequence and not n.consumed\n",
        "n.sequence = due.sequence\n",
        "tests/store/test_messages.py::test_a_second_run_of_a_receive_whose_first_is_still_under_way_takes_nothing",
    ),
    Mutant(
        "a send is recorded without its message",
        "store/sql/messages.sql",
        "    where n.destination_uuid = i.destination and n.message_uuid = i.message_id\n",
        "",
        RECEIVED.format("test_the_step_of_a_send_is_recorded_only_with_its_message", "sqlite"),
    ),
    Mutant(
        "a message wakes nobody in its own process",
        "runtime/operations/messages.py",
        'if not engine.waiters.wake("message", mailbox)]',
        "if mailbox]",
        "tests/acceptance/test_messages.py::test_in_the_same_process_nothing_but_the_commit_wakes[sqlite-plain]",
    ),
    Mutant(
        "the history of an event is not kept",
        "runtime/operations/events.py",
        "changes = SetEvent(*event), KeepEvent(*event)",
        "changes = (SetEvent(*event),)",
        "tests/acceptance/test_events.py::test_the_latest_value_of_each_key_stays[sqlite-plain]",
    ),
    Mutant(
        "a receiver whose time ran out during its look gives up a message that came before",
        "runtime/operations/receiving.py",
        "        over = limit.remaining_seconds() <= 0\n        (found,) = yield from limit.fix(take())\n",
        "        (found,) = yield from limit.fix(take())\n        over = limit.remaining_seconds() <= 0\n",
        IN_TIME.format("recv-coroutine"),
    ),
    Mutant(
        "whoever waits for an event, and whose time ran out during its look, gives it up",
        "runtime/operations/events.py",
        "            if found is not None or over:\n",
        "            if found is not None or engine.clock.remaining_seconds(due_ms) <= 0:\n",
        IN_TIME.format("get_event-plain"),
    ),
    Mutant(
        "whoever waits for an event looks before it listens",
        "runtime/operations/events.py",
        """    with engine.waiters.register(*keys) as registration:
        while True:
            ensure_going(engine, caller)
            over = engine.clock.remaining_seconds(due_ms) <= 0
            found: Stored | None = yield Ask(engine.event, event)
""",
        """    looked = [(yield Ask(engine.event, event))]
    with engine.waiters.register(*keys) as registration:
        while True:
            ensure_going(engine, caller)
            over = engine.clock.remaining_seconds(due_ms) <= 0
            found: Stored | None = looked.pop() if looked else (yield Ask(engine.event, event))
""",
        LISTENED.format("get_event-plain"),
    ),
    Mutant(
        "whoever waits for a result looks before it listens",
        "runtime/outcomes.py",
        """    with engine.waiters.register(*_keys(caller, workflow_id)) as registration:
        while True:
            ensure_going(engine, caller)
            if attempt is not None""",
        """    looked = [(yield Ask(engine.load, workflow_id))]
    with engine.waiters.register(*_keys(caller, workflow_id)) as registration:
        while True:
            ensure_going(engine, caller)
            if looked and looked.pop().status not in FINISHED:
                yield Wait(registration)
            if attempt is not None""",
        LISTENED.format("get_result-plain"),
    ),
    Mutant(
        "a thread that is woken before it waits goes to sleep",
        "runtime/waiters.py",
        "            if not self._woken:\n                longest",
        "            if True:\n                longest",
        LISTENED.format("recv-plain"),
    ),
    Mutant(
        "a coroutine that is woken before it waits goes to sleep",
        "runtime/waiters.py",
        "            if not self._woken:\n                if timeout_seconds is not None",
        "            if True:\n                if timeout_seconds is not None",
        LISTENED.format("read_stream-coroutine"),
    ),
)
