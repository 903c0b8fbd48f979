"""Streams."""

from __future__ import annotations

from tests.mutants.killers import LOST_REPLIES
from tests.mutants.mutant import Mutant

APPEND = "store/migrations/postgres/0013_stream_values.sql"
SQLITE = "store/sqlite/sql/streams.sql"
STORED_STREAMS = "tests/store/test_streams.py::{}"
STREAMS = "tests/acceptance/test_streams.py::{}[sqlite]"
WAITS = "tests/acceptance/test_waits.py::{}[sqlite-read_stream-plain]"

MUTANTS = (
    Mutant(
        "streams: pages of heavy values are as long as others",
        "runtime/operations/stream_reading.py",
        "            self._page_size = max(1, self._page_size // 2)\n",
        "            pass\n",
        "tests/acceptance/test_streams.py::test_heavy_values_come_in_smaller_pages[sqlite]",
    ),
    Mutant(
        "streams: values of one batch get the same place",
        APPEND,
        """coalesce(last."offset" + 1, 0)""",
        """coalesce(greatest(last."offset", 1), 0)""",
        STORED_STREAMS.format("test_values_of_a_batch_keep_their_order[postgres]"),
    ),
    Mutant(
        "streams: a value is written again when the reply was lost",
        SQLITE,
        "        where i.token = '' and o.workflow_uuid",
        "        where i.token = 'never' and o.workflow_uuid",
        LOST_REPLIES.format("streams-written"),
    ),
    Mutant(
        "streams: the function writes a value again that was written by its step",
        APPEND,
        "        if not found then\n            return false;\n        end if;\n    end if;\n    insert",
        "    end if;\n    insert",
        STORED_STREAMS.format("test_a_step_that_is_recorded_writes_nothing[postgres]"),
    ),
    Mutant(
        "streams: a stale execution writes to a stream",
        SQLITE,
        "    {attempt_owns}\n",
        "    exists (select 1 from {schema}.workflow_status as w where w.workflow_uuid = i.workflow_id)\n",
        STORED_STREAMS.format("test_nothing_is_written_by_a_stale_epoch_or_after_the_end[sqlite-1]"),
    ),
    Mutant(
        "streams: the function lets a stale execution write",
        APPEND,
        " and w.epoch = append_to_stream.epoch and",
        " and",
        STORED_STREAMS.format("test_nothing_is_written_by_a_stale_epoch_or_after_the_end[postgres-1]"),
    ),
    Mutant(
        "streams: the function does not hold what it saw of the workflow",
        APPEND,
        "    for no key update;\n",
        "    ;\n",
        "tests/store/test_fencing.py::test_a_takeover_that_commits_first_is_seen[<lambda>9-2]",
    ),
    Mutant(
        "streams: the function fails at a value that was written inside a step before",
        APPEND,
        "    on conflict (token) where token is not null do nothing; --",
        "    ; --",
        STORED_STREAMS.format("test_what_was_written_before_is_refused[postgres]"),
    ),
    Mutant(
        "streams: the function keeps a plan for empty tables",
        APPEND,
        "set enable_seqscan = off ",
        "set enable_seqscan = on ",
        "tests/store/test_plans.py::test_a_function_planned_while_tables_were_empty_goes_by_keys[pooler's session]",
    ),
    Mutant(
        "streams: a write from inside a step is a step of its own",
        SQLITE,
        "when new.token is null and new.epoch > 0\n",
        "when new.epoch > 0\n",
        STORED_STREAMS.format("test_a_write_from_inside_a_step_has_a_token_and_no_step_of_its_own[sqlite]"),
    ),
    Mutant(
        "streams: a value that is imported brings its step along, which is there",
        SQLITE,
        "    on conflict do nothing;\n",
        "    ;\n",
        "tests/acceptance/test_transfer.py::test_export_and_import_are_the_identity[sqlite]",
    ),
    Mutant(
        "streams: what a fork was given comes back as a step when it is imported",
        SQLITE,
        "when new.token is null and new.epoch > 0\n",
        "when new.token is null\n",
        "tests/acceptance/test_transfer.py::test_what_a_forgotten_step_wrote_is_no_step[sqlite]",
    ),
    Mutant(
        "streams: values follow the end of a stream",
        SQLITE,
        "\n    and (last.value is null or not {closes:last})",
        "",
        STORED_STREAMS.format("test_nothing_follows_the_end_of_a_stream[sqlite]"),
    ),
    Mutant(
        "streams: the function writes behind the end of a stream",
        APPEND,
        "    if last.closes then\n        return false;\n    end if;\n",
        "",
        STORED_STREAMS.format("test_nothing_follows_the_end_of_a_stream[postgres]"),
    ),
    Mutant(
        "streams: a reader ends where nothing has come yet",
        "store/streams.py",
        "over=bool(rows[0][0])",
        "over=True",
        STREAMS.format("test_a_reader_follows_a_workflow_that_is_still_writing"),
    ),
    Mutant(
        "streams: a reader misses what was written right before the end",
        "runtime/operations/stream_reading.py",
        "                if page.values or page.over:\n                    return page\n",
        "                if page.over:\n                    return StreamPage([], True)\n"
        "                if page.values:\n                    return page\n",
        "tests/acceptance/test_streams.py::test_reading_from_an_offset_gives_the_same_rest[sqlite-sync]",
    ),
    Mutant(
        "streams: a write wakes nobody",
        "runtime/operations/streams.py",
        '    engine.waiters.wake("stream", identifier)\n',
        "",
        STREAMS.format("test_a_local_write_wakes_a_reader_at_once"),
    ),
    Mutant(
        "streams: a reader of many values looks as soon as one of a few",
        "runtime/operations/stream_reading.py",
        "len(page.values) * GATHERING_SECONDS_PER_VALUE",
        "GATHERING_SECONDS_PER_VALUE",
        "tests/runtime/test_stream_reader.py::test_only_a_reader_who_has_caught_up_lets_values_gather[sqlite-4-0.002]",
    ),
    Mutant(
        "streams: a reader looks at every value",
        "runtime/operations/stream_reading.py",
        "            yield from self._gather()\n",
        "",
        "tests/runtime/test_stream_reader.py::test_only_a_reader_who_has_caught_up_lets_values_gather[sqlite-15-0.004]",
    ),
    Mutant(
        "streams: a reader looks before it listens",
        "runtime/operations/stream_reading.py",
        """        with engine.waiters.register(*self._keys(caller)) as registration:
            while True:
                ensure_going(engine, caller)
""",
        """        place = self.workflow_id, self.key, self.offset, self._page_size
        looked = [(yield Ask(engine.store.streams.page, *place))]
        with engine.waiters.register(*self._keys(caller)) as registration:
            while True:
                ensure_going(engine, caller)
                if looked and not looked.pop().values:
                    yield Wait(registration)
""",
        WAITS.format("test_what_happens_between_the_look_and_the_wait_is_not_slept_through"),
    ),
    Mutant(
        "streams: a reader whose time ran out during its look gives up a value that came before",
        "runtime/operations/stream_reading.py",
        "                if over:\n",
        "                if due_ms is not None and engine.clock.remaining_seconds(due_ms) <= 0:\n",
        WAITS.format("test_what_came_in_time_is_found_though_the_answer_to_the_look_comes_late"),
    ),
    Mutant(
        "streams: a write tells no other process",
        "runtime/operations/streams.py",
        '    engine.store.hints.publish("stream", (identifier,))\n',
        "",
        "tests/processes/test_message_faults.py::test_another_process_is_heard_soon[postgres]",
    ),
)
