"""Transactions and their witnesses."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

TRANSACTIONS = "tests/acceptance/test_transactions.py::{}[sqlite-same{}]"
FAULTS = "tests/acceptance/test_transaction_faults.py::{}[{}]"

MUTANTS = (
    Mutant(
        "transactions: the witness is in a transaction of its own",
        "userdata/database.py",
        "        return self.witness.testify(session, key, testimony)\n",
        "        with self._engine.begin() as other:\n"
        "            return self.witness.testify(Session(other), key, testimony)\n",
        FAULTS.format("test_a_commit_whose_reply_was_lost_is_found_out", "postgres-transaction-before"),
    ),
    Mutant(
        "transactions: a replay does not look for the witness",
        "runtime/transaction.py",
        "    looks = work.attempt is not None and work.attempt.epoch > 1 ",
        "    looks = False ",
        TRANSACTIONS.format("test_a_crash_between_the_two_commits_is_repaired_on_replay", "-False"),
    ),
    Mutant(
        "transactions: whoever commits second keeps his writes",
        "runtime/transaction.py",
        "        elif not written.value:\n            return None",
        "        elif not written.value and work.attempt.revoked is None:\n            return None",
        FAULTS.format("test_a_zombie_that_commits_second_takes_its_writes_back_and_stops", "sqlite-READ COMMITTED"),
    ),
    Mutant(
        "transactions: whoever lost goes on",
        "runtime/step.py",
        "        yield from attempt.verify_refused()\n"
        "        row = yield Ask(attempt.engine.store.steps.recorded, attempt.workflow_id, checkpoint.step_id)\n"
        "        if row is not None and row.epoch == attempt.epoch:\n",
        "        row = yield Ask(attempt.engine.store.steps.recorded, attempt.workflow_id, checkpoint.step_id)\n"
        "        if row is not None:\n",
        FAULTS.format("test_whoever_lost_his_workflow_elsewhere_stops_at_the_transaction", "sqlite"),
    ),
    Mutant(
        "transactions: a file that stays busy is an answer",
        "userdata/troubles.py",
        "_BUSY = {5, 6}",
        "_BUSY = {0}",
        FAULTS.format("test_a_busy_file_is_waited_for", "sqlite"),
    ),
    Mutant(
        "transactions: an outage that lasts is an answer",
        "runtime/patience.py",
        "(lost and self._attempt is not None)",
        "(lost and self._attempt is not None and self._troubled_since is None)",
        FAULTS.format("test_an_outage_is_waited_for", "sqlite"),
    ),
    Mutant(
        "transactions: every error is worth another try",
        "userdata/troubles.py",
        "    return any(_state(each) in _CLASHES or _code(each) in _BUSY for each in _causes(error))\n",
        "    return True\n",
        "tests/userdata/test_troubles.py",
    ),
    Mutant(
        "transactions: clashes are answers",
        "userdata/troubles.py",
        '_CLASHES = {"40001", "40P01"}',
        '_CLASHES = {"00000"}',
        "tests/acceptance/test_transactions.py::test_a_deadlock_is_overcome[sqlite]",
    ),
    Mutant(
        "transactions: a commit that is refused takes the writes back",
        "userdata/database.py",
        "    if not session.info.get(_MAY_COMMIT) and not session.in_nested_transaction():\n",
        "    if session.info.get(_MAY_COMMIT) is None and session.in_nested_transaction() is None:\n",
        TRANSACTIONS.format("test_a_commit_that_is_refused_takes_nothing_back", ""),
    ),
    Mutant(
        "transactions: a witness of an older life counts",
        "runtime/operations/starting.py",
        "identity_of(row), life=row.token)",
        "identity_of(row), life='')",
        TRANSACTIONS.format("test_a_reused_id_sees_no_witness_of_an_older_life", ""),
    ),
    Mutant(
        "transactions: whoever was deleted overwrites the witness of a younger workflow",
        "runtime/transaction.py",
        "    yield from work.attempt.verify_life()\n",
        "",
        FAULTS.format("test_whoever_was_deleted_takes_nothing_from_a_younger_workflow_of_his_id", "postgres-False"),
    ),
    Mutant(
        "transactions: the witness of an older workflow stays",
        "runtime/transaction.py",
        "    work.older_life = life\n",
        "    return _decoded(work, testimony)\n",
        FAULTS.format("test_an_older_workflow_of_the_same_id_gives_way", "sqlite-False"),
    ),
    Mutant(
        "transactions: a commit is as careless as the database's default",
        "userdata/witness.py",
        "coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on')",
        "current_setting('synchronous_commit')",
        FAULTS.format("test_what_is_recorded_elsewhere_is_durable_here", "sqlite-transaction-off-on"),
    ),
    Mutant(
        "transactions: a failure whose witness was lost on its way has none",
        "runtime/transaction.py",
        "        elif not patience.covers(answer.error, is_away(answer.error)):\n            logger",
        "        else:\n            logger",
        FAULTS.format("test_the_error_of_a_failed_transaction_survives_a_lost_reply", "sqlite-before"),
    ),
    Mutant(
        "transactions: the next try continues what could not be committed",
        "userdata/database.py",
        "        leave_nothing_open(engine)\n",
        "",
        FAULTS.format("test_a_commit_that_finds_the_file_busy_is_taken_back", "sqlite-datasource"),
    ),
    Mutant(
        "transactions: a file that others use is no database",
        "userdata/engines.py",
        "    return is_clash(error) and time",
        "    return since < 0 and time",
        "tests/acceptance/test_datasources.py"
        "::test_a_file_that_others_use_is_waited_for_when_a_datasource_is_created[async-reads]",
    ),
    Mutant(
        "transactions: the function may commit beneath its session",
        "userdata/database.py",
        '        event.listen(engine, "commit", _refuse_beneath)\n',
        "",
        TRANSACTIONS.format("test_only_the_library_commits", ""),
    ),
    Mutant(
        "transactions: the witness of another function counts",
        "runtime/transaction.py",
        "    if testimony.name != work.spec.name:\n",
        "    if not testimony.name:\n",
        TRANSACTIONS.format("test_the_witness_of_another_function_is_not_replayed", ""),
    ),
    Mutant(
        "transactions: a failure counts for ever",
        "userdata/sql/transaction_outputs.sql",
        "or error is null or epoch > :resumed_epoch)",
        "or error is null or epoch >= 0)",
        TRANSACTIONS.format("test_a_failed_transaction_is_tried_again_when_its_workflow_is_resumed", ""),
    ),
    Mutant(
        "transactions: nothing takes the place of a failure",
        "userdata/sql/transaction_outputs.sql",
        "    or (w.life = excluded.life and w.error is not null and w.epoch <= :resumed_epoch)",
        "",
        TRANSACTIONS.format("test_a_failed_transaction_is_tried_again_when_its_workflow_is_resumed", ""),
    ),
    Mutant(
        "transactions: a lost connection is an answer",
        "runtime/patience.py",
        "is_clash(error) or (lost and self._attempt is not None)",
        "is_clash(error)",
        FAULTS.format("test_a_commit_whose_reply_was_lost_is_found_out", "sqlite-transaction-before"),
    ),
    Mutant(
        "transactions: every further try is told of",
        "runtime/patience.py",
        "        self._reported_after = passed_seconds + self._reported_every\n",
        "",
        TRANSACTIONS.format("test_whoever_waits_for_the_end_of_many_tries_is_told_why", ""),
    ),
    Mutant(
        "transactions: a cancellation comes before the record",
        "runtime/transaction.py",
        "        owed = work == self.database.commit\n",
        "        owed = False\n",
        "tests/acceptance/test_datasources.py"
        "::test_what_was_committed_is_recorded_before_a_cancellation_strikes[sqlite]",
    ),
    Mutant(
        "transactions: a connection that is out at the end stays open",
        "userdata/database.py",
        '            event.listen(self._engine.pool, "checkin", lambda _, record: record.invalidate())\n',
        "",
        "tests/userdata/test_database.py::test_a_connection_that_is_out_at_the_end_is_closed_when_it_comes_back[sqlite]",
    ),
    Mutant(
        "transactions: whoever deletes a workflow forgets its successor's witness",
        "userdata/sql/transaction_outputs.sql",
        "where workflow_uuid = :workflow_id and life = :life;",
        "where workflow_uuid = :workflow_id and :life = :life;",
        "tests/acceptance/test_retention.py::test_the_witnesses_in_another_database_go_as_well[sqlite-delete]",
    ),
)
