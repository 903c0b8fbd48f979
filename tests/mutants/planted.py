"""The bugs to plant. Each is a small replacement in one file and the tests that must fail because of it."""

from __future__ import annotations

from dataclasses import dataclass

STATUS_MACHINE = "tests/crash/test_status_machine.py::test_every_sequence_of_verbs_ends_as_the_model_says[sqlite]"
FINISHED = "tests/crash/test_status_machine.py::test_what_is_finished_takes_nothing_more[sqlite-SUCCESS]"
FENCED = "tests/crash/test_status_machine.py::test_whoever_lost_its_workflow_writes_nothing_more[sqlite]"
POINTS = "tests/crash/test_crash_points.py::test_a_killed_run_is_recovered_at_every_effect[sqlite-{}]"
CANCEL_POINTS = (
    "tests/crash/test_cancel_points.py::test_a_cancelled_task_records_nothing_and_its_workflow_is_recovered[sqlite-{}]"
)
LOST_REPLIES = "tests/crash/test_lost_replies.py::test_a_record_written_twice_counts_once[sqlite-{}]"
PROMISES = "tests/crash/test_promises.py::{}[sqlite]"
CANCELLATION = "tests/crash/test_cancellation.py::{}[sqlite]"
TRANSACTIONS = "tests/acceptance/test_transactions.py::{}[sqlite-same{}]"
FAULTS = "tests/acceptance/test_transaction_faults.py::{}[{}]"
QUEUES = "tests/acceptance/test_queues.py::{}[sqlite]"
ENQUEUEING = "tests/acceptance/test_enqueueing.py::{}[sqlite]"
SCHEDULES = "tests/acceptance/test_schedules.py::{}"
CRON = "tests/model/test_schedule.py::{}"
QUEUE_MACHINE = "tests/crash/test_queue_machine.py::test_every_claim_brings_what_the_limits_allow[sqlite]"
CLAIMS = "tests/store/test_claims.py::{}[sqlite]"
STORED_STREAMS = "tests/store/test_streams.py::{}"
STREAMS = "tests/acceptance/test_streams.py::{}[sqlite]"
RECEIVED = "tests/store/test_messages.py::{}[{}]"
DEBOUNCE = "tests/store/test_debouncing.py::{}"
FORKING = "tests/store/test_forking.py::{}[sqlite]"
PORTABLE = "tests/acceptance/test_portable.py::{}"
PORTABLE_JSON = "tests/model/test_portable.py::{}"
VALIDATION = "tests/acceptance/test_validation.py::{}"
ROLES = "tests/acceptance/test_roles.py::{}"
TRACING = "tests/acceptance/test_tracing.py::{}[sqlite{}]"
KAFKA = "tests/acceptance/test_kafka.py::{}"
WEB = "tests/acceptance/test_web.py::{}"
RETAINED = "tests/store/test_retention.py::{}[sqlite]"
PATCHING = "tests/acceptance/test_patching.py::{}[sqlite]"
REWINDING = "tests/store/test_rewinding.py::{}[sqlite]"
TAKEOVER = "tests/crash/test_takeover.py::{}[sqlite]"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug: `old` occurs exactly once in `file` and becomes `new`; `killer` must fail then."""

    name: str
    file: str  # below src/dbos
    old: str
    new: str
    killer: str


MUTANTS = (
    # ------------------------------------------------------------ forking and deleting
    Mutant(
        "a fork copies one step too many",
        "store/sql/forking.sql",
        "o.function_id < :start_step",
        "o.function_id <= :start_step",
        FORKING.format("test_a_fork_has_exactly_what_was_recorded_before_its_first_step"),
    ),
    Mutant(
        "deleting leaves messages behind",
        "store/sql/deleting.sql",
        "delete from {schema}.notifications where destination_uuid in ({each:ids})",
        "delete from {schema}.notifications where destination_uuid in ({each:ids}) and false",
        FORKING.format("test_deleting_leaves_nothing_in_any_table"),
    ),
    # ------------------------------------------------------------ Kafka
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
    # ------------------------------------------------------------ the web
    Mutant(
        "the key of a request names nothing",
        "api/web/requests.py",
        "with SetWorkflowID(idempotency_key):",
        "if True:",
        WEB.format("test_a_request_is_answered_by_workflows[fastapi]"),
    ),
    Mutant(
        "a user outlives the request",
        "api/web/requests.py",
        "with DBOSContextEnsure():",
        "if True:",
        WEB.format("test_a_request_is_answered_by_workflows[flask]"),
    ),
    Mutant(
        "an application that ends destroys nothing",
        "api/web/fastapi.py",
        "await asyncio.to_thread(life.end)",
        "pass",
        WEB.format("test_fastapi_launches_before_the_applications_own_lifespan_and_destroys_after_it"),
    ),
    Mutant(
        "a new name takes what nobody owns without being asked",
        "store/sql/ownership.sql",
        "(application_name = :old or (:unclaimed = 1 and application_name is null))",
        "(application_name = :old or (:unclaimed = :unclaimed and application_name is null))",
        "tests/acceptance/test_ownership.py::test_what_nobody_owns_is_adopted_if_it_shall_be[sqlite]",
    ),
    # ------------------------------------------------------------ functions in SQL
    Mutant(
        "a workflow that SQL enqueues wakes nobody",
        "store/migrations/postgres/0009_sql_functions.sql",
        "'sql', 'enqueued', json_build_array(queue_name)",
        "'sql', 'message', json_build_array(queue_name)",
        "tests/acceptance/test_sql_functions.py::test_the_commit_tells_the_listeners",
    ),
    Mutant(
        "SQL sends a message to nobody",
        "store/migrations/postgres/0009_sql_functions.sql",
        "    if not found then",
        "    if false then",
        "tests/acceptance/test_sql_functions.py::test_psql_sends_what_a_workflow_receives",
    ),
    # ------------------------------------------------------------ export and import
    Mutant(
        "an imported workflow loses its place among the versions of its id",
        "store/sql/transfer.sql",
        "    :workflow_uuid, :status, :epoch, :name,",
        "    :workflow_uuid, :status, :epoch * 0, :name,",
        "tests/acceptance/test_transfer.py::test_export_and_import_are_the_identity[sqlite]",
    ),
    Mutant(
        "an import takes an older state for the one that is exported",
        "store/transfer.py",
        'if epoch < workflow["epoch"]:',
        "if False:",
        "tests/acceptance/test_transfer.py::test_another_workflow_under_the_id_and_an_older_state[sqlite]",
    ),
    # ------------------------------------------------------------ retention
    Mutant(
        "a child goes that its running parent may ask for",
        "store/sql/retention.sql",
        "where p.workflow_uuid = w.parent_workflow_id and p.completed_at is null",
        "where p.workflow_uuid = w.parent_workflow_id and false",
        RETAINED.format("test_what_an_unfinished_workflow_needs_is_kept"),
    ),
    Mutant(
        "a workflow goes that a running one has named in a step",
        "store/sql/retention.sql",
        "where o.child_workflow_id = w.workflow_uuid and r.completed_at is null",
        "where o.child_workflow_id = w.workflow_uuid and false",
        RETAINED.format("test_what_an_unfinished_workflow_needs_is_kept"),
    ),
    Mutant(
        "a batch skips what was created in the same millisecond",
        "store/sql/retention.sql",
        "(w.created_at > :after_created_at or w.sequence > :after_sequence)",
        "w.created_at > :after_created_at",
        "tests/store/test_retention.py::test_batches_go_on_behind_what_stays_and_behind_equal_times[sqlite-2]",
    ),
    # ------------------------------------------------------------ patching
    Mutant(
        "a workflow of the old code takes the new way",
        "runtime/operations/patching.py",
        "        return False\n    yield from",
        "        return True\n    yield from",
        PATCHING.format("test_the_life_of_a_patch"),
    ),
    Mutant(
        "looking at the next step draws its number",
        "runtime/context.py",
        "self._numbers = itertools.count(number)",
        "self._numbers = itertools.count(number + 1)",
        PATCHING.format("test_a_workflow_that_has_not_come_to_the_patch_takes_the_new_way"),
    ),
    # ------------------------------------------------------------ rewinding
    Mutant(
        "rewinding keeps what the forgotten steps published",
        "store/sql/rewinding.sql",
        "v.workflow_uuid = :workflow_id and {no_recorded_step};\n\n-- name: forget_events",
        "v.workflow_uuid = :workflow_id and false;\n\n-- name: forget_events",
        REWINDING.format("test_what_was_recorded_from_the_step_on_is_forgotten"),
    ),
    Mutant(
        "a rewind whose reply was lost rewinds again",
        "store/rewinding.py",
        "if life == wanted.token:",
        "if life == wanted:",
        REWINDING.format("test_a_call_counts_once_and_only_for_what_is_finished"),
    ),
    Mutant(
        "the witnesses of a life before stop a rewound transaction",
        "store/sql/rewinding.sql",
        "delete from {schema}.transaction_outputs where workflow_uuid = :workflow_id and function_id >= :start_step",
        "delete from {schema}.transaction_outputs where workflow_uuid = :workflow_id and function_id < 0",
        "tests/acceptance/test_rewinding.py::test_a_transaction_happens_again[sqlite]",
    ),
    Mutant(
        "scheduler: a pause between the look and the commit lets a tick through",
        "services/scheduler.py",
        "return [run._replace(schedule_active_since=row.active_since)]",
        "return [run]",
        SCHEDULES.format("test_a_pause_between_the_last_look_and_the_commit_is_heeded[sqlite]"),
    ),
    # ------------------------------------------------------------ queues that change
    Mutant(
        "deleting stops who takes the id meanwhile",
        "runtime/announcing.py",
        "        engine.supersede(workflow_id, Status.PENDING, before.get(workflow_id))\n        engine.waiters.wake(",
        "        engine.supersede(workflow_id, Status.PENDING, engine.attempt_of(workflow_id))\n"
        "        engine.waiters.wake(",
        "tests/acceptance/test_forking.py::test_deleting_does_not_stop_who_takes_the_id_meanwhile[sqlite]",
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
        "queues: a workflow that cannot be read holds its slot",
        "runtime/workflow.py",
        "        engine.store.claims.give_back(row)\n",
        "",
        "tests/acceptance/test_queue_dispatch.py::test_a_workflow_that_cannot_be_read_holds_no_slot[sqlite]",
    ),
    Mutant(
        "a resume stops what it made run",
        "runtime/executor.py",
        "        if attempt is not None and not attempt.ended:\n            attempt.revoke(status)\n",
        "        if (attempt := self._active.get(workflow_id)) is not None:\n            attempt.revoke(status)\n",
        "tests/acceptance/test_steering.py::test_a_resume_does_not_stop_what_it_made_run[sqlite]",
    ),
    Mutant(
        "queues: a claim goes by a definition that was read before",
        "store/sql/claims.sql",
        "    :stored = 0 or exists (\n",
        "    :stored >= 0 or exists (\n",
        "tests/store/test_claims.py::test_a_limit_holds_from_its_commit_where_there_was_none[sqlite-concurrency]",
    ),
    Mutant(
        "queues: a definition is changed under a claim",
        "store/postgres/database.py",
        """            "hold_definition": "for share",\n""",
        """            "hold_definition": "",\n""",
        "tests/store/test_claims.py::test_a_claim_waits_for_a_definition_that_is_being_committed",
    ),
    # ------------------------------------------------------------ messages and events
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
        "            self._connection.execute(self._consume, values)\n",
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
    # ------------------------------------------------------------ fencing
    Mutant(
        "a checkpoint of any epoch is taken",
        "store/sql/journal.sql",
        "    where w.workflow_uuid = i.workflow_id and w.epoch = i.epoch and w.completed_at is null\n",
        "    where w.workflow_uuid = i.workflow_id and w.completed_at is null\n",
        FENCED,
    ),
    Mutant(
        "a checkpoint is taken after the end",
        "store/sql/journal.sql",
        "    where w.workflow_uuid = i.workflow_id and w.epoch = i.epoch and w.completed_at is null\n",
        "    where w.workflow_uuid = i.workflow_id and w.epoch = i.epoch\n",
        FINISHED,
    ),
    Mutant(
        "an outcome of any epoch is taken",
        "store/sql/journal.sql",
        "workflow_status.workflow_uuid = i.workflow_id and workflow_status.epoch = i.epoch\n",
        "workflow_status.workflow_uuid = i.workflow_id\n",
        FENCED,
    ),
    Mutant(
        "an outcome is written twice",
        "store/sql/journal.sql",
        "    and workflow_status.completed_at is null\n",
        "",
        FINISHED,
    ),
    Mutant(
        "a stale parent starts children",
        "store/sql/journal.sql",
        "    i.guard_workflow_id is null or exists (\n",
        "    i.guard_workflow_id is not null or i.guard_workflow_id is null or exists (\n",
        PROMISES.format("test_a_workflow_cancelled_elsewhere_starts_no_child"),
    ),
    Mutant(
        "cancelling keeps the epoch",
        "store/sql/workflows.sql",
        "status = 'CANCELLED', epoch = epoch + 1, ",
        "status = 'CANCELLED', ",
        FENCED,
    ),
    Mutant(
        "adopting keeps the epoch",
        "store/sql/workflows.sql",
        "status = 'PENDING', epoch = epoch + 1, recovery_attempts",
        "status = 'PENDING', recovery_attempts",
        FENCED,
    ),
    Mutant(
        "the living are adopted as well",
        "store/sql/workflows.sql",
        "    w.status = 'PENDING' and e.lease_expires_at_ms < {now_ms} and w.executor_instance <> :instance",
        "    w.status = 'PENDING' and w.executor_instance <> :instance",
        FENCED,
    ),
    # ------------------------------------------------------------ transitions and counts
    Mutant(
        "a success is reopened",
        "store/sql/workflows.sql",
        "where workflow_uuid in ({each:ids}) and status <> 'SUCCESS'\n",
        "where workflow_uuid in ({each:ids})\n",
        FINISHED,
    ),
    Mutant(
        "a finished workflow is cancelled",
        "store/sql/workflows.sql",
        "(w.completed_at is null or w.status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')\n",
        "w.status <> 'CANCELLED'\n",
        FINISHED,
    ),
    Mutant(
        "recoveries are not counted",
        "store/sql/workflows.sql",
        "recovery_attempts = recovery_attempts + 1,",
        "recovery_attempts = recovery_attempts,",
        POINTS.format("blocking-sequence"),
    ),
    Mutant(
        "a retry is counted twice",
        "runtime/step.py",
        "    for number in range(limit):\n",
        "    for number in range(0, limit, 2):\n",
        POINTS.format("blocking-retries"),
    ),
    Mutant(
        "a deadline of the past is overlooked",
        "store/sql/workflows.sql",
        "and w.workflow_deadline_epoch_ms < {now_ms}\n",
        "and w.workflow_deadline_epoch_ms > {now_ms}\n",
        STATUS_MACHINE,
    ),
    # ------------------------------------------------------------ replay
    Mutant(
        "the history is not loaded",
        "runtime/workflow.py",
        "        {step.function_id: step for step in history},\n",
        "        {},\n",
        POINTS.format("blocking-sequence"),
    ),
    Mutant(
        "a recorded error is replayed as a value",
        "runtime/step.py",
        "        return Outcome(error=codec.decode_error(row.error, row.serialization))\n",
        "        return Outcome(codec.decode_error(row.error, row.serialization))\n",
        POINTS.format("blocking-caught_errors"),
    ),
    Mutant(
        "a step number is drawn after I/O",
        "runtime/operations/starting.py",
        "(parent.next_step_id(), parent.next_step_id())",
        "(parent.next_step_id(), None)",
        POINTS.format("coroutines-gathered_children"),
    ),
    Mutant(
        "a sleep is short by what has passed of a millisecond",
        "runtime/timeouts.py",
        "(begun_ms + 1) / 1000",
        "begun_ms / 1000",
        "tests/acceptance/test_sleep.py::test_no_sleep_is_short[sqlite]",
    ),
    Mutant(
        "a sleep begins anew",
        "runtime/timeouts.py",
        "            wake_at = float(replay(attempt, row).unwrap())\n",
        "            wake_at = attempt.engine.clock.now_ms() / 1000 + max(0.0, seconds)\n",
        PROMISES.format("test_a_recovered_sleep_ends_when_the_recorded_time_has_come"),
    ),
    Mutant(
        "a step is never recorded",
        "runtime/step.py",
        "    yield from record(attempt, encode(attempt, step_id, name, outcome, started_at_ms, child))\n",
        "",
        POINTS.format("blocking-sequence"),
    ),
    # ------------------------------------------------------------ enqueueing
    Mutant(
        "a deduplication id is never free again",
        "store/sql/journal.sql",
        "    completed_at = {now_ms}, updated_at = {now_ms}, deduplication_id = null\n",
        "    completed_at = {now_ms}, updated_at = {now_ms}\n",
        QUEUES.format("test_a_deduplication_id_is_free_again_at_the_end"),
    ),
    Mutant(
        "a child that was enqueued is enqueued again",
        "runtime/admission.py",
        "workflow_id or child_id(parent.workflow_id, step_id), ",
        "workflow_id or engine.new_id(), ",
        POINTS.format("queues-deduplicated_children"),
    ),
    Mutant(
        "a refusal is not recorded",
        "runtime/admission.py",
        "        yield from record(parent, encode(parent, step_id, name, Outcome(error=refusal), now_ms))\n",
        "",
        ENQUEUEING.format("test_a_recorded_refusal_is_raised_again"),
    ),
    Mutant(
        "the time of a workflow runs while it waits",
        "store/sql/journal.sql",
        "    case when i.deadline_ms is null and i.status = 'PENDING' then",
        "    case when i.deadline_ms is null then",
        QUEUES.format("test_the_time_of_an_enqueued_workflow_runs_from_its_start"),
    ),
    Mutant(
        "what is given back to its queue waits for the next poll",
        "store/workflows.py",
        "            self.on_requeued()\n",
        "            pass\n",
        "tests/store/test_workflows.py::test_what_goes_back_to_its_queue_is_told[sqlite]",
    ),
    # ------------------------------------------------------------ schedules
    Mutant(
        "all ticks of a schedule are one run",
        "model/schedule.py",
        'return f"sched-{schedule_name}-{tick.isoformat()}"',
        'return f"sched-{schedule_name}-"',
        SCHEDULES.format("test_a_schedule_fires[sqlite]"),
    ),
    Mutant(
        "every process runs a tick of its own",
        "services/scheduler.py",
        "workflow_id = run_id(row.schedule_name, tick)\n",
        "workflow_id = run_id(row.schedule_name, tick.replace(microsecond=hash(engine.instance) % 1_000_000))\n",
        "tests/processes/test_schedulers.py::test_no_tick_is_lost_or_doubled_when_a_scheduler_is_killed[sqlite]",
    ),
    Mutant(
        "what was missed is not made up for",
        "services/scheduler.py",
        "        if not row.automatic_backfill:\n",
        "        if True:\n",
        SCHEDULES.format("test_after_a_restart[sqlite-True]"),
    ),
    Mutant(
        "what was missed runs unasked",
        "services/scheduler.py",
        "        if not row.automatic_backfill:\n",
        "        if False:\n",
        SCHEDULES.format("test_after_a_restart[sqlite-False]"),
    ),
    Mutant(
        "a paused schedule fires",
        "services/scheduler.py",
        "                if row is None or row.status != ScheduleState.ACTIVE:\n",
        "                if row is None:\n",
        SCHEDULES.format("test_a_paused_schedule_that_is_due_does_not_fire[sqlite]"),
    ),
    Mutant(
        "a clock that is set forward runs what it left out",
        "services/scheduler.py",
        "JUMP_MS = 60_000",
        "JUMP_MS = 60_000_000_000",
        SCHEDULES.format("test_a_clock_that_is_set_forward_leaves_ticks_out[sqlite]"),
    ),
    Mutant(
        "the zone of a schedule is ignored",
        "services/scheduler.py",
        "parse(row.schedule, row.cron_timezone)",
        "parse(row.schedule)",
        SCHEDULES.format("test_a_schedule_fires[sqlite]"),
    ),
    Mutant(
        "a time that the clock shows twice runs twice",
        "model/cron.py",
        "self._in_real_time(start) if self.every_hour else self._by_the_wall_clock(start)",
        "self._in_real_time(start)",
        CRON.format("test_a_daily_job_runs_once_a_day"),
    ),
    Mutant(
        "a range of one is everything",
        "model/cron.py",
        '_RANGE_OF_ONE.sub(r"\\1", expression).split()',
        "expression.split()",
        CRON.format("test_notations"),
    ),
    Mutant(
        "days that are all named are a restriction",
        "model/cron.py",
        "if len(days) == 31:",
        "if not days:",
        CRON.format("test_days_that_are_all_named_restrict_nothing"),
    ),
    Mutant(
        "a workflow creates its schedule twice",
        "runtime/operations/schedules.py",
        "if there is None or there.schedule_id != creation.schedule_id:",
        "if True:",
        POINTS.format("schedules-kept_by_a_workflow"),
    ),
    # ------------------------------------------------------------ the journal
    Mutant(
        "callers are woken before the commit",
        "store/journal.py",
        "                entries.extend(self._take_batch())\n",
        "                entries.extend(self._take_batch())\n                _announce(entries)\n",
        POINTS.format("coroutines-sequence"),
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
    # ------------------------------------------------------------ cancellation and takeover
    Mutant(
        "nobody looks whether the workflow is still ours",
        "runtime/context.py",
        "        return self.revoked is not None or time.monotonic() - self.verified_at > FRESH_SECONDS\n",
        "        return False\n",
        PROMISES.format("test_no_step_begins_after_a_cancellation"),
    ),
    Mutant(
        "a thread waits until the outcome of what it ran is written",
        "runtime/interpreters.py",
        "        while effect is not None and type(effect) is not Commit:\n",
        "        while effect is not None:\n",
        "tests/acceptance/test_costs.py::"
        "test_a_workflow_in_the_background_keeps_no_thread_while_its_outcome_is_written[sqlite]",
    ),
    Mutant(
        "outcomes wait for a thread behind the workflows that have them all",
        "runtime/workflow.py",
        "run.context, engine.resuming.submit, ended)",
        "run.context, engine.threads.submit, ended)",
        "tests/acceptance/test_costs.py::test_an_outcome_is_told_while_other_workflows_have_all_the_threads[sqlite]",
    ),
    Mutant(
        "what breaks at the end of one workflow breaks the end of others",
        "runtime/interpreters.py",
        "            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))\n",
        "            raise\n",
        "tests/acceptance/test_costs.py::test_a_log_that_breaks_leaves_nobody_waiting_for_other_workflows[sqlite]",
    ),
    Mutant(
        "an outcome is dropped if the system has no thread left",
        "store/reply.py",
        "        except RuntimeError:  # there is no thread, or no more: whoever was answered is not left hanging\n"
        "            _resume(waiting)\n",
        "        except RuntimeError:\n            pass\n",
        "tests/acceptance/test_costs.py::test_an_outcome_is_told_when_the_system_has_no_thread_left[sqlite]",
    ),
    Mutant(
        "run_step lets everybody in",
        "runtime/roles.py",
        "return authorized(function) if function is not None and function.required_roles else nullcontext()",
        "return nullcontext()",
        "tests/acceptance/test_roles.py::test_a_protected_step_stays_so_as_a_step_made_on_the_spot[sqlite]",
    ),
    Mutant(
        "a cancelled task is an outcome",
        "runtime/interpreters.py",
        "        return Outcome(await effect.call())\n    except Exception as error:\n",
        "        return Outcome(await effect.call())\n    except BaseException as error:\n",
        CANCEL_POINTS.format("coroutines-sequence"),
    ),
    Mutant(
        "a cancellation during a commit is lost",
        "runtime/interpreters.py",
        "    task.get_loop().call_soon(_strike, task)\n",
        "",
        "tests/acceptance/test_async.py::test_a_timeout_during_a_commit_is_not_lost[sqlite]",
    ),
    Mutant(
        "orphans are never looked for",
        "services/recovery.py",
        "        if overdue:\n",
        "        if overdue and self._lease_seconds < 0:\n",
        PROMISES.format("test_a_cancelled_task_leaves_its_workflow_to_the_process_it_ran_in"),
    ),
    Mutant(
        "children are looked for once",
        "runtime/operations/management.py",
        "        reached.update(late)\n",
        "        return\n",
        CANCELLATION.format("test_cancel_reaches_a_grandchild_that_is_started_meanwhile"),
    ),
    Mutant(
        "whoever begins last wins",
        "runtime/executor.py",
        "other is not None and other.epoch > attempt.epoch",
        "False",
        TAKEOVER.format("test_a_workflow_taken_over_before_it_began_is_run_by_the_newer_attempt"),
    ),
    # ------------------------------------------------------------ transactions
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
        "        yield from attempt.verify()\n"
        "        row = yield Ask(attempt.engine.store.steps.recorded, attempt.workflow_id, checkpoint.step_id)\n"
        "        if row is not None and row.epoch == attempt.epoch:\n",
        "        row = yield Ask(attempt.engine.store.steps.recorded, attempt.workflow_id, checkpoint.step_id)\n"
        "        if row is not None:\n",
        FAULTS.format("test_whoever_lost_his_workflow_elsewhere_stops_at_the_transaction", "sqlite"),
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
        "transactions: the function may commit",
        "userdata/database.py",
        "    if not session.info.get(_MAY_COMMIT) and not session.in_nested_transaction():\n",
        "    if session.info.get(_MAY_COMMIT) is None and session.in_nested_transaction() is None:\n",
        TRANSACTIONS.format("test_only_the_library_commits", ""),
    ),
    Mutant(
        "transactions: a witness of an older life counts",
        "runtime/operations/starting.py",
        "identity_of(row), life=row.token)",
        "identity_of(row), life='')",
        TRANSACTIONS.format("test_a_reused_id_sees_no_witness_of_an_older_life", ""),
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
        "(error is null or epoch > :resumed_epoch)",
        "(error is null or epoch >= 0)",
        TRANSACTIONS.format("test_a_failed_transaction_is_tried_again_when_its_workflow_is_resumed", ""),
    ),
    Mutant(
        "transactions: nothing takes the place of a failure",
        "userdata/sql/transaction_outputs.sql",
        " or (w.error is not null and w.epoch <= :resumed_epoch)",
        "",
        TRANSACTIONS.format("test_a_failed_transaction_is_tried_again_when_its_workflow_is_resumed", ""),
    ),
    Mutant(
        "transactions: a lost connection is an answer",
        "runtime/transaction.py",
        "is_clash(error) or (lost and self._work.attempt is not None)",
        "is_clash(error)",
        FAULTS.format("test_a_commit_whose_reply_was_lost_is_found_out", "sqlite-transaction-before"),
    ),
    Mutant(
        "transactions: a cancellation comes before the record",
        "runtime/transaction.py",
        "        owed = work == self.database.commit\n",
        "        owed = False\n",
        "tests/acceptance/test_datasources.py"
        "::test_what_was_committed_is_recorded_before_a_cancellation_strikes[sqlite]",
    ),
    # ------------------------------------------------------------ queues
    Mutant(
        "a limit is off by one",
        "model/queue.py",
        "            room.append(self.concurrency - usage.running)\n",
        "            room.append(self.concurrency - usage.running + 1)\n",
        QUEUE_MACHINE,
    ),
    Mutant(
        "the limit of a worker is off by one",
        "model/queue.py",
        "            room.append(self.worker_concurrency - usage.running_here)\n",
        "            room.append(self.worker_concurrency - usage.running_here + 1)\n",
        CLAIMS.format("test_worker_concurrency_counts_this_executor_alone"),
    ),
    Mutant(
        "a cancelled workflow keeps its slot",
        "store/sql/claims.sql",
        "        select count(*) from {schema}.workflow_status as w "
        "where w.status = 'PENDING' and w.queue_name = :queue_name\n",
        "        select count(*) from {schema}.workflow_status as w where w.epoch > 0 and w.status <> 'SUCCESS'\n",
        CLAIMS.format("test_a_slot_is_free_as_soon_as_its_workflow_leaves"),
    ),
    Mutant(
        "the order is that of timestamps",
        "store/sql/claims.sql",
        "{still_unshared}\n    order by w.priority, w.sequence\n    limit :limit\n",
        "{still_unshared}\n    order by w.priority, w.updated_at, w.sequence desc\n    limit :limit\n",
        CLAIMS.format("test_global_concurrency"),
    ),
    Mutant(
        "a priority is ignored",
        "store/sql/claims.sql",
        "{still_unshared}\n    order by w.priority, w.sequence\n    limit :limit\n",
        "{still_unshared}\n    order by w.sequence\n    limit :limit\n",
        CLAIMS.format("test_claiming_in_order_of_priority_and_arrival"),
    ),
    Mutant(
        "the limit of a partition is ignored",
        "store/sql/claims.sql",
        "    case when :concurrency < 2147483647 then :concurrency - (\n",
        "    case when :concurrency < 0 then :concurrency - (\n",
        CLAIMS.format("test_many_partitions_none_of_which_starves"),
    ),
    Mutant(
        "a rate counts half a period",
        "store/sql/claims.sql",
        "s.started_at_ms > {now_ms} - cast(:period_ms as bigint) and",
        "s.started_at_ms > {now_ms} - cast(:period_ms as bigint) / 2 and",
        CLAIMS.format("test_a_rate_limit"),
    ),
    Mutant(
        "a rate forgets starts between two deals of one claim",
        "store/claims.py",
        "            _record_starts(run, queue, rates, served.elements())\n",
        "",
        CLAIMS.format("test_rates_of_partitions"),
    ),
    Mutant(
        "claims go by the isolation that the database happens to have",
        "store/postgres/database.py",
        "        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED\n",
        "",
        "tests/store/test_claims.py::test_claims_see_what_is_committed_whatever_the_default_of_the_database",
    ),
    Mutant(
        "the lock of a queue is nobody's",
        "store/postgres/sql/claims.sql",
        "select 1 where pg_try_advisory_xact_lock(hashtextextended({schema_text} || '/' || :queue_name, 0));\n",
        "select 1 where :queue_name is not null;\n",
        "tests/store/test_claims.py::test_a_queue_that_somebody_claims_from_is_left_alone",
    ),
    Mutant(
        "what is full is never told of a free slot",
        "runtime/executor.py",
        "            self.openings.ended(*attempt.slot)\n",
        "",
        "tests/acceptance/test_queue_dispatch.py::test_a_slot_that_frees_here_is_taken_at_once[sqlite-limits0]",
    ),
    Mutant(
        "a claim keeps the epoch",
        "store/sql/claims.sql",
        "{taken}, started_at_epoch_ms = {now_ms}, rate_limited = :rate_limited,\n",
        "status = 'PENDING', executor_instance = :instance, executor_id = :executor_id, "
        "started_at_epoch_ms = {now_ms}, rate_limited = :rate_limited,\n",
        CLAIMS.format("test_claiming_in_order_of_priority_and_arrival"),
    ),
    Mutant(
        "a workflow without a version runs on any",
        "store/sql/claims.sql",
        "coalesce({latest_version}, :application_version))\n)",
        "coalesce(null, :application_version))\n)",
        CLAIMS.format("test_what_has_no_version_runs_on_the_latest"),
    ),
    Mutant(
        "partitions begin anew with every claim",
        "store/claims.py",
        "            turn.after = max(served)\n",
        '            turn.after = max(served) if len(rows) + len(dealt) < limit else ""\n',
        CLAIMS.format("test_partitions_have_their_turns"),
    ),
    # ------------------------------------------------------------ streams
    Mutant(
        "streams: values of one batch get the same place",
        "store/sql/streams.sql",
        "+ row_number() over (partition by i.workflow_id, i.key order by i.place)",
        "+ 1",
        STORED_STREAMS.format("test_values_of_a_batch_keep_their_order[postgres]"),
    ),
    Mutant(
        "streams: a value is written again when the reply was lost",
        "store/sql/streams.sql",
        "            where i.token = '' and o.workflow_uuid",
        "            where i.token = 'never' and o.workflow_uuid",
        LOST_REPLIES.format("streams-written"),
    ),
    Mutant(
        "streams: a stale execution writes to a stream",
        "store/sql/streams.sql",
        "        {attempt_owns}\n",
        "        exists (select 1 from {schema}.workflow_status as w where w.workflow_uuid = i.workflow_id)\n",
        STORED_STREAMS.format("test_nothing_is_written_by_a_stale_epoch_or_after_the_end[sqlite-1]"),
    ),
    Mutant(
        "streams: values follow the end of a stream",
        "store/sql/streams.sql",
        "        and (last.value is null or not {closes:last})\n",
        "",
        STORED_STREAMS.format("test_nothing_follows_the_end_of_a_stream[sqlite]"),
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
        "runtime/operations/streams.py",
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
        "streams: a reader looks at every value",
        "runtime/operations/streams.py",
        "            yield from self._gather()\n",
        "",
        "tests/runtime/test_stream_reader.py::test_only_a_reader_who_has_caught_up_lets_values_gather[sqlite-True]",
    ),
    Mutant(
        "transactions: a connection that is out at the end stays open",
        "userdata/database.py",
        '            event.listen(self._engine.pool, "checkin", lambda _, record: record.invalidate())\n',
        "",
        "tests/userdata/test_database.py::test_a_connection_that_is_out_at_the_end_is_closed_when_it_comes_back[sqlite]",
    ),
    # ------------------------------------------------------------ portable JSON and validation
    Mutant(
        "portable: an outcome forgets the format of its arguments",
        "runtime/workflow.py",
        "portable = codec == PORTABLE_JSON or ",
        "portable = ",
        PORTABLE.format("test_any_workflow_can_be_enqueued_portably_and_answers_like_that[sqlite]"),
    ),
    Mutant(
        "portable: an error is stored natively",
        "runtime/workflow.py",
        "codec.encode_error(outcome.error, attempt.format)",
        "codec.encode_error(outcome.error)",
        PORTABLE.format("test_errors_are_portable_records[sqlite]"),
    ),
    Mutant(
        "portable: events are stored as ever",
        "runtime/operations/events.py",
        "attempt.format_of(serialization_type)",
        "serialization_type",
        PORTABLE.format(
            "test_what_a_portable_workflow_publishes_is_portable_and_what_it_sends_or_starts_is_not[sqlite]"
        ),
    ),
    Mutant(
        "portable: nan is written",
        "model/serialization/portable.py",
        "    if number - number != 0:\n",
        "    if False:\n",
        PORTABLE_JSON.format("test_what_json_cannot_hold_is_refused_with_its_path"),
    ),
    Mutant(
        "portable: the order of a set is chance",
        "model/serialization/portable.py",
        "return sorted(items, key=lambda item: (type(item).__name__, repr(item)))",
        "return list(items)",
        PORTABLE_JSON.format("test_a_set_is_written_the_same_in_every_process"),
    ),
    Mutant(
        "validation: a portable call goes on with the arguments as they came",
        "runtime/operations/starting.py",
        "arguments = target.validated_at_call(args, kwargs)",
        "target.validated_at_call(args, kwargs)",
        VALIDATION.format("test_a_replay_sees_the_arguments_of_the_first_run[sqlite]"),
    ),
    Mutant(
        "validation: what is enqueued portably is not validated at the call",
        "runtime/queued.py",
        "        callee.validated_at_call(args, kwargs)\n",
        "",
        VALIDATION.format("test_portable_workflows_are_validated_at_the_call[sqlite-enqueue]"),
    ),
    Mutant(
        "validation: arguments from the database are believed",
        "runtime/workflow.py",
        "body(attempt, target, *target.validated(args, kwargs))()",
        "body(attempt, target, args, kwargs)()",
        VALIDATION.format("test_what_comes_from_the_database_is_validated_in_any_format[sqlite]"),
    ),
    # ------------------------------------------------------------ roles
    Mutant(
        "roles: nobody is asked for authentication",
        "runtime/roles.py",
        "    if identity.roles is None:\n        raise",
        "    if identity.roles is None:\n        return identity\n        raise",
        ROLES.format("test_whoever_lacks_the_roles_is_refused_before_anything_is_written[sqlite-call]"),
    ),
    Mutant(
        "roles: any role that was assumed elsewhere lets a workflow of a queue in",
        "runtime/roles.py",
        "if identity.assumed_role in (function.required_roles or ())",
        "if identity.assumed_role",
        ROLES.format("test_what_was_enqueued_by_name_is_checked_when_it_runs[sqlite]"),
    ),
    Mutant(
        "roles: what was enqueued is not checked",
        "runtime/queued.py",
        "        asked = on_behalf(asked, callee)\n",
        "",
        ROLES.format("test_whoever_lacks_the_roles_is_refused_before_anything_is_written[sqlite-enqueue]"),
    ),
    Mutant(
        "roles: a recovered workflow is nobody",
        "runtime/workflow.py",
        "        identity_of(row),\n",
        "        type(identity_of(row))(),\n",
        ROLES.format("test_a_recovered_workflow_is_who_it_was[sqlite]"),
    ),
    Mutant(
        "roles: defaults of a class overrule its methods",
        "api/roles.py",
        "if function is not None and function.required_roles is None:",
        "if function is not None:",
        ROLES.format("test_classes_have_defaults_that_methods_override[sqlite-True]"),
    ),
    # ------------------------------------------------------------ debouncing
    Mutant(
        "the key of a debounced workflow is not free when it starts",
        "store/sql/claims.sql",
        "    deduplication_id = case when not is_debounced then deduplication_id end\n",
        "    deduplication_id = deduplication_id\n",
        "tests/acceptance/test_debouncing.py::test_the_next_call_after_the_start_begins_anew[sqlite]",
    ),
    Mutant(
        "a debounced workflow is put off beyond its deadline",
        "store/sql/journal.sql",
        "        when workflow_status.debounce_deadline_epoch_ms < excluded.delay_until_epoch_ms\n",
        "        when false\n",
        DEBOUNCE.format("test_the_deadline_of_the_first_call_bounds_the_delay[sqlite]"),
    ),
    Mutant(
        "a further call does not replace the inputs",
        "store/sql/journal.sql",
        "    inputs = excluded.inputs, serialization = excluded.serialization,",
        "   ",
        DEBOUNCE.format("test_the_first_call_makes_a_row_and_later_ones_replace_its_inputs[sqlite]"),
    ),
    Mutant(
        "a workflow that lost its row debounces",
        "store/sql/journal.sql",
        "    {attempt_goes_on}\n    and not exists (select 1 from",
        "    true\n    and not exists (select 1 from",
        DEBOUNCE.format("test_a_workflow_debounces_only_while_it_owns_its_row[sqlite]"),
    ),
    Mutant(
        "a call of a debouncer that was accepted before begins another cycle",
        "store/sql/journal.sql",
        "    and not exists (select 1 from {schema}.workflow_status as w where w.debounce_token = i.token)\n",
        "",
        DEBOUNCE.format("test_a_repeated_write_counts_once[sqlite-True]"),
    ),
    Mutant(
        "a debouncer takes over what was enqueued under its key",
        "store/sql/journal.sql",
        "workflow_status.status = 'DELAYED' and workflow_status.is_debounced and",
        "workflow_status.status = 'DELAYED' and",
        DEBOUNCE.format("test_a_slot_that_something_else_holds_is_refused[sqlite]"),
    ),
    Mutant(
        "what is replayed has a span once more",
        "runtime/step.py",
        "    return recorded(attempt, step_id, spec.name, spans.of_step(attempt, spec.name, running))",
        "    return spans.of_step(attempt, spec.name, recorded(attempt, step_id, spec.name, running))",
        TRACING.format("test_one_span_for_each_workflow_step_and_call", ""),
    ),
    Mutant(
        "a recovered workflow begins another trace",
        "runtime/step.py",
        "commit(attempt, checkpoint, *others, *attempt.luggage)",
        "commit(attempt, checkpoint, *others)",
        TRACING.format("test_one_trace_for_all_executions", "-queued"),
    ),
    Mutant(
        "a queued workflow forgets the trace it was asked for",
        "runtime/admission.py",
        "asked.attributes if asked.trace is None else _in_trace(asked)",
        "asked.attributes",
        TRACING.format("test_a_queued_workflow_belongs_to_the_trace_it_was_asked_for", ""),
    ),
)
