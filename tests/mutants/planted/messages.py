"""Messages and events."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

RECEIVED = "tests/store/test_messages.py::{}[{}]"

MUTANTS = (
    Mutant(
        "a receiver looks for a message before it listens",
        "runtime/operations/messages.py",
        """    with engine.waiters.register(*mine) as registration:
        (found,) = yield from limit.fix(take())
""",
        """    (found,) = yield from limit.fix(take())
    with engine.waiters.register(*mine) as registration:
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
)
