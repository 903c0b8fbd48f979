"""Messages of Kafka that become workflows."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

KAFKA = "tests/acceptance/test_kafka.py::{}"

MUTANTS = (
    Mutant(
        "offsets are committed before their messages are recorded",
        "services/kafka.py",
        """                self._record(messages)
                self._commit(consumer, messages)""",
        """                self._commit(consumer, messages)
                self._record(messages)""",
        KAFKA.format("test_a_process_killed_before_it_commits_has_lost_nothing_and_repeats_nothing"),
    ),
    Mutant(
        "a message that comes again is another one",
        "services/kafka.py",
        "message_id(*place, message.offset, self.group)",
        "self.engine.new_id()",
        KAFKA.format("test_messages_that_come_again_change_nothing"),
    ),
    Mutant(
        "partitions are run in parallel",
        "model/kafka.py",
        'QueueSpec("_dbos_kafka_ordered_queue", partition_concurrency=1)',
        'QueueSpec("_dbos_kafka_ordered_queue", partition_concurrency=9)',
        KAFKA.format("test_every_message_is_a_workflow[sqlite]"),
    ),
)
