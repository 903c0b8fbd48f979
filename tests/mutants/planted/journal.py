"""Group commit, and commits whose fate nobody knows."""

from __future__ import annotations

from tests.mutants.killers import ERRORS, LOST_REPLIES, PROMISES
from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "journal: who is alone in his batch is written by the name of his member",
        "store/postgres/arrays.py",
        "value if isinstance(value, str) else str(int(value)) for value in record]",
        "str(value) for value in record]",
        "tests/store/test_arrays.py::test_a_record_alone_is_read_like_one_of_many[Number.MEMBER-x0]",
    ),
    Mutant(
        "a record alone waits for the server twice",
        "store/postgres/session.py",
        "        libpq.send_query_prepared(part.name.encode(), part.parameters)\n        self._flush()\n",
        "        libpq.exec_(b'select 1')\n"
        "        libpq.send_query_prepared(part.name.encode(), part.parameters)\n        self._flush()\n",
        "tests/acceptance/test_round_trips.py::test_what_a_workflow_does_costs_one_each",
    ),
    Mutant(
        "the statements of a batch go out one by one",
        "store/postgres/session.py",
        "zip(parts, self._fly(parts), strict=True)",
        "zip(parts, [self._fly([part])[0] for part in parts], strict=True)",
        "tests/acceptance/test_round_trips.py::test_a_batch_of_many_kinds_costs_one",
    ),
    Mutant(
        "callers are woken before the commit",
        "store/journal.py",
        "                entries.extend(self._take_batch())\n",
        "                entries.extend(self._take_batch())\n                deliver(entries)\n",
        "tests/store/test_journal.py::test_a_thousand_threads_are_all_acknowledged[sqlite]",
    ),
    Mutant(
        "a future that was cancelled keeps those behind it from being told",
        "store/reply.py",
        "        if reply.future.done():\n            continue\n",
        "",
        "tests/store/test_journal.py::test_cancelled_futures_harm_nobody[sqlite]",
    ),
    Mutant(
        "a loop that was closed ends the thread that writes",
        "store/reply.py",
        "        except RuntimeError:\n            pass  # the loop is closed: nobody waits there any more\n",
        "        except ConnectionError:\n            pass\n",
        "tests/store/test_journal.py::test_closed_loops_harm_nobody[sqlite]",
    ),
    Mutant(
        "a batch may weigh whatever it does",
        "store/journal.py",
        "records < MAX_BATCH_RECORDS and characters < MAX_BATCH_CHARACTERS",
        "records < MAX_BATCH_RECORDS",
        "tests/store/test_journal.py::test_a_batch_is_bounded[sqlite-100000-40]",
    ),
    Mutant(
        "what waits for the journal may weigh whatever it does",
        "store/journal.py",
        " or self._queued_characters >= MAX_QUEUED_CHARACTERS",
        "",
        "tests/store/test_journal.py::test_a_full_journal_makes_threads_wait_and_loses_nothing[sqlite-10-100]",
    ),
    Mutant(
        "callers of a batch get each other's results",
        "store/journal.py",
        "            for entry in entries:\n                end = start + len(entry.records)\n",
        "            for entry in reversed(entries):\n                end = start + len(entry.records)\n",
        PROMISES.format("test_each_caller_of_a_batch_gets_its_own_answer"),
    ),
    Mutant(
        "an unknown commit of a step is taken for a failure",
        "runtime/step.py",
        "        if row is not None and row.epoch == attempt.epoch:\n            return results[1 : len(others) + 1]\n",
        "",
        LOST_REPLIES.format("blocking-sequence"),
    ),
    Mutant(
        "an unknown commit of a start is taken for somebody else's",
        "runtime/admission.py",
        "        if there.owner_xid == row.token:",
        "        if there.owner_xid is None:",
        LOST_REPLIES.format("blocking-sequence"),
    ),
    Mutant(
        "a full disk is for ever",
        "store/sqlite/database.py",
        "sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, ",
        "sqlite3.SQLITE_LOCKED, ",
        ERRORS.format("blocking-sequence"),
    ),
)
