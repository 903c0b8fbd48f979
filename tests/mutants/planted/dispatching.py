"""Queues that change, and who hears of free slots."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "queues: workflows are claimed one by one",
        "services/dispatcher.py",
        "        limit = self._room()\n",
        "        limit = min(1, self._room())\n",
        "tests/acceptance/test_queue_dispatch.py::test_draining_takes_few_statements[sqlite]",
    ),
    Mutant(
        "queues: that nobody serves one is told at every look",
        "services/lookout.py",
        "sorted(seen & self._seen - self._reported)",
        "sorted(seen & self._seen)",
        "tests/acceptance/test_queue_dispatch.py::test_a_queue_that_nobody_serves_is_reported_once[sqlite]",
    ),
    Mutant(
        "queues: a definition that cannot be stops all dispatching",
        "store/queues.py",
        "    except ValueError as error:\n        return Impossible(row[0], str(error))\n",
        "    except ValueError:\n        raise\n",
        "tests/acceptance/test_queue_dispatch.py::"
        "test_definitions_that_cannot_be_are_told_of_once_and_stop_no_other_queue[sqlite]",
    ),
    Mutant(
        "queues: the commit of the user's transaction wakes nobody",
        "store/postgres/hints.py",
        "            self._session.run(self._notify, {",
        "            dict({",
        "tests/acceptance/test_client_in_transaction.py::test_the_commit_itself_wakes_who_waits[postgres]",
    ),
    Mutant(
        "queues: what was claimed and never heard of holds its slot",
        "services/dispatcher.py",
        "        if self._losses != self.engine.store.losses:\n            self._recognise_our_own()\n",
        "",
        "tests/acceptance/test_queue_dispatch.py::test_what_was_claimed_and_never_heard_of_runs_at_once[one slot]",
    ),
    Mutant(
        "queues: a slot that is freed elsewhere is nobody's news",
        "services/listener.py",
        "                self._probe_due = True\n                engine.queue_changed(None)\n",
        "                self._probe_due = True\n",
        "tests/acceptance/test_queue_dispatch.py::"
        "test_a_slot_that_a_client_frees_is_taken_at_once[postgres-cancel_workflow]",
    ),
    Mutant(
        "queues: a slot of no use here that frees while others claim is nobody's news",
        "services/dispatcher.py",
        "            engine.openings.put_back(queue.spec.name, news)\n        elif",
        "            pass\n        elif",
        "tests/acceptance/test_queue_dispatch.py::"
        "test_a_slot_that_is_of_no_use_here_is_handed_on_though_somebody_else_claims[sqlite]",
    ),
    Mutant(
        "queues: a delay that ends is nobody's news",
        "services/dispatcher.py",
        "if everywhere or queue.spec.name in promoted:",
        "if everywhere:",
        "tests/acceptance/test_queue_dispatch.py::test_a_delay_that_ends_is_news_of_its_queue[sqlite]",
    ),
    Mutant(
        "queues: a delay ends unnoticed while another queue is drained",
        "services/dispatcher.py",
        "rest = MOMENT_SECONDS if next_due_ms is None else min(MOMENT_SECONDS, next_due_ms / 1000)",
        "rest = MOMENT_SECONDS",
        "tests/acceptance/test_queue_dispatch.py::test_a_delay_ends_while_another_queue_has_no_end[sqlite]",
    ),
    Mutant(
        "queues: a rate limit lets more begin unnoticed while another queue is drained",
        "services/dispatcher.py",
        "min(self._look_at, queue.not_before, queue.look_at)",
        "min(self._look_at, queue.not_before)",
        "tests/acceptance/test_queue_dispatch.py::"
        "test_a_rate_limit_lets_them_begin_while_another_queue_has_no_end[sqlite]",
    ),
    Mutant(
        "queues: a delay that is over and held by somebody else is asked for without a pause",
        "services/dispatcher.py",
        "next_due_ms = HELD_MS",
        "pass",
        "tests/acceptance/test_queue_dispatch.py::"
        "test_a_delay_that_is_over_and_held_by_somebody_else_is_not_asked_for_without_a_pause[postgres-False]",
    ),
    Mutant(
        "queues: what has no thread yet makes room for more",
        "services/dispatcher.py",
        "        backlog = engine.threads.backlog\n",
        "        backlog = 0\n",
        "tests/acceptance/test_queue_dispatch.py::"
        "test_what_has_no_thread_yet_leaves_no_room_however_long_ago_it_was_claimed[sqlite]",
    ),
    Mutant(
        "queues: who is turned away is the last again",
        "services/dispatcher.py",
        "            queue.turned_away += 1\n",
        "",
        "tests/acceptance/test_queue_dispatch.py::"
        "test_every_queue_has_its_turn_where_there_is_room_for_one_at_a_time[sqlite]",
    ),
    Mutant(
        "queues: everybody is asked again whether more waits that was seen to wait",
        "services/dispatcher.py",
        "if unfinished and not news and not everywhere and",
        "if False and",
        "tests/acceptance/test_queue_dispatch.py::test_nobody_looks_whether_more_waits_who_has_just_seen_it[sqlite]",
    ),
    Mutant(
        "queues: a process claims what it cannot begin soon",
        "services/dispatcher.py",
        "room = ROOM - max(beginning, backlog)",
        "room = ROOM - backlog",
        "tests/acceptance/test_queue_dispatch.py::test_no_more_is_claimed_than_can_begin_soon[sqlite]",
    ),
    Mutant(
        "queues: a workflow that cannot be read holds its slot",
        "runtime/claimed.py",
        "        engine.store.claims.give_back(row.workflow_uuid, row.epoch, engine.owner.instance, False)\n",
        "",
        "tests/acceptance/test_queue_dispatch.py::test_a_workflow_that_cannot_be_read_holds_no_slot[sqlite]",
    ),
    Mutant(
        "queues: a claim goes by a definition that was read before",
        "store/sql/claims.sql",
        "    when 1 then exists (\n",
        "    when 2 then exists (\n",
        "tests/store/test_claims.py::test_a_limit_holds_from_its_commit_where_there_was_none[sqlite-concurrency]",
    ),
    Mutant(
        "queues: a claim goes by the code where there is a definition by now",
        "store/sql/claims.sql",
        "    when 0 then not exists (",
        "    when 0 then true or not exists (",
        "tests/store/test_claims.py::test_a_definition_that_came_meanwhile_has_the_last_word[sqlite-without limits]",
    ),
    Mutant(
        "queues: a claim with limits goes by the code where there is a definition by now",
        "store/claims.py",
        "            definition = understood(rows[0]) if rows else queue\n",
        "            definition = understood(rows[0]) if rows and stored else queue\n",
        "tests/store/test_claims.py::test_a_definition_that_came_meanwhile_has_the_last_word[sqlite-with limits]",
    ),
    Mutant(
        "queues: a queue is defined under a claim",
        "store/postgres/sql/claims.sql",
        "select 1 where pg_try_advisory_xact_lock_shared(hashtextextended({schema_text} || '/' || :queue_name, 0));",
        "select 1 where :queue_name <> '';",
        "tests/store/test_claims.py::test_a_queue_is_not_defined_while_a_claim_goes_by_the_code",
    ),
    Mutant(
        "queues: a definition is changed under a claim",
        "store/postgres/database.py",
        """            "hold_definition": "for share",\n""",
        """            "hold_definition": "",\n""",
        "tests/store/test_claims.py::test_a_claim_waits_for_a_definition_that_is_being_committed",
    ),
    Mutant(
        "queues: what interrupts itself keeps its slot",
        "runtime/workflow.py",
        "            yield from _give_back(attempt)\n",
        "            pass\n",
        "tests/processes/test_interruption.py::test_what_came_from_a_queue_frees_its_slot_at_once[sqlite-blocking-SystemExit]",
    ),
    Mutant(
        "queues: what interrupts itself does so for ever",
        "store/sql/claims.sql",
        "recovery_attempts = recovery_attempts - 1 + :tried",
        "recovery_attempts = recovery_attempts - 1 + :tried * 0",
        "tests/processes/test_interruption.py::test_what_came_from_a_queue_frees_its_slot_at_once[sqlite-blocking-SystemExit]",
    ),
)
