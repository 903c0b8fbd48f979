"""The invariants by number, what each means in a few words, and the tests of the suite that check it."""

from __future__ import annotations

POINTS = "tests/crash/test_crash_points.py::test_a_killed_run_is_recovered_at_every_effect"
STATUSES = "tests/crash/test_status_machine.py::test_every_sequence_of_verbs_ends_as_the_model_says"
QUEUES = "tests/crash/test_queue_machine.py::test_every_claim_brings_what_the_limits_allow"
MESSAGES = "tests/crash/test_message_machine.py::test_any_sequence_of_verbs_ends_as_the_model_says"
STREAMS = "tests/crash/test_stream_machine.py::test_any_sequence_of_writes_and_reads_ends_as_the_model_says"
MANAGEMENT = "tests/crash/test_management_machine.py::test_verbs_that_race_lose_nothing_and_flip_nothing"
LIMITS = "tests/processes/test_queue_limits.py::test_limits_hold_at_every_commit_while_processes_die"
KILLS = "tests/processes/test_kill_at_commit.py::test_every_commit_on_sqlite"
TORTURE = "tests/torture/test_reduced.py::test_a_scenario_in_its_reduced_form"

INVARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "I1": (
        "Accepted is durable.",
        (POINTS, KILLS, "tests/store/test_lifecycle.py::test_what_was_written_is_there_when_opened_again", TORTURE),
    ),
    "I2": (
        "One id is one function with one set of arguments; ids are sane.",
        (
            "tests/acceptance/test_workflows.py::test_an_id_belongs_to_one_function",
            "tests/acceptance/test_bad_input.py::test_wrong_ids",
            "tests/model/test_ids.py::test_whatever_passes_fits_a_database",
        ),
    ),
    "I3": (
        "Only the listed changes of status occur.",
        (STATUSES, "tests/crash/test_status_machine.py::test_what_is_finished_takes_nothing_more", POINTS, TORTURE),
    ),
    "I4": (
        "There is one outcome, and every handle in every process gets it.",
        (
            POINTS,
            "tests/processes/test_two_executors.py::test_an_executor_that_wakes_after_the_end_delivers_the_winners_result",
            TORTURE,
        ),
    ),
    "I5": ("After the last fault everything ends, or waits visibly.", (POINTS, TORTURE)),
    "I6": (
        "No epoch writes after a later one.",
        (
            "tests/store/test_fencing.py::test_after_a_takeover_the_stale_attempt_writes_nothing",
            "tests/crash/test_status_machine.py::test_whoever_lost_its_workflow_writes_nothing_more",
            "tests/processes/test_two_executors.py::test_a_stale_executor_cannot_write_an_outcome",
        ),
    ),
    "I7": (
        "Attempts are counted by claims alone; after max + 1 of them a workflow is put aside.",
        (POINTS, "tests/acceptance/test_recovery.py::test_a_workflow_that_keeps_dying_is_put_aside", TORTURE),
    ),
    "I8": (
        "One bad workflow stops no other.",
        (
            "tests/acceptance/test_recovery.py::test_a_row_whose_arguments_are_rotten_is_reported_and_the_others_go_on",
            "tests/acceptance/test_queue_dispatch.py::test_a_workflow_that_cannot_be_run_stops_no_other",
            TORTURE,
        ),
    ),
    "I9": ("A checkpoint is final.", (POINTS, "tests/store/test_journal.py::test_a_step_is_recorded_once")),
    "I10": ("What is recorded never runs again.", (POINTS, KILLS, TORTURE)),
    "I11": (
        "A step runs at least once, and no more often than its retries allow.",
        (
            POINTS,
            "tests/processes/test_unknown_commit.py::test_every_write_of_a_scenario",
            "tests/acceptance/test_steps.py::test_attempts_run_out",
        ),
    ),
    "I12": (
        "Steps keep their numbers, whatever finishes first.",
        (
            "tests/acceptance/test_async.py::test_gathered_steps_are_numbered_in_order_of_start",
            "tests/acceptance/test_async.py::test_tasks_that_change_places_are_noticed",
            POINTS,
        ),
    ),
    "I13": (
        "A replay that diverges is stopped before it has an effect.",
        (
            "tests/acceptance/test_recovery.py::test_another_step_at_the_same_number_is_refused",
            "tests/acceptance/test_recovery.py::test_every_recorded_call_is_compared",
        ),
    ),
    "I14": (
        "None, exceptions and large values replay as themselves.",
        (
            "tests/acceptance/test_failures.py::test_values_come_back_as_they_are",
            "tests/acceptance/test_failures.py::test_exceptions_as_values_are_values",
            "tests/model/test_failures.py::test_an_error_comes_back_as_itself",
        ),
    ),
    "I15": (
        "A transaction takes effect exactly once.",
        (
            "tests/acceptance/test_transactions.py::test_a_crash_between_the_two_commits_is_repaired_on_replay",
            "tests/acceptance/test_transaction_faults.py::test_a_commit_whose_reply_was_lost_is_found_out",
            "tests/processes/test_kill_in_transaction.py::test_killed_around_every_phase",
        ),
    ),
    "I16": (
        "Whoever lost its workflow parks, and starts no further step.",
        (
            "tests/processes/test_two_executors.py::test_a_stopped_executor_writes_nothing_after_its_lease",
            "tests/acceptance/test_transaction_faults.py::"
            "test_a_zombie_that_commits_second_takes_its_writes_back_and_stops",
            TORTURE,
        ),
    ),
    "I17": (
        "Only clashes and lost connections are tried again in a transaction.",
        (
            "tests/acceptance/test_transactions.py::test_clashing_transactions_are_run_again_until_none_is_lost",
            "tests/acceptance/test_transactions.py::test_other_errors_of_the_database_are_answers",
            "tests/store/test_classification.py::test_errors_of_the_server",
        ),
    ),
    "I18": (
        "A reused id sees nothing of an older life.",
        (
            "tests/acceptance/test_transactions.py::test_a_reused_id_sees_no_witness_of_an_older_life",
            "tests/acceptance/test_forking.py::test_a_deleted_id_can_be_used_again",
        ),
    ),
    "I19": ("What is enqueued is active, ended or deleted.", (QUEUES, STATUSES, TORTURE)),
    "I20": (
        "The limit of a queue holds at every commit.",
        (
            QUEUES,
            LIMITS,
            "tests/processes/test_queue_limits.py::test_a_limit_that_is_lowered_while_several_processes_work",
            TORTURE,
        ),
    ),
    "I21": (
        "So does the limit of an executor.",
        (
            QUEUES,
            LIMITS,
            "tests/store/test_claims.py::test_worker_concurrency_counts_this_executor_alone",
            TORTURE,
        ),
    ),
    "I22": (
        "And those of partitions, none of which starves.",
        (
            QUEUES,
            LIMITS,
            "tests/store/test_claims.py::test_many_partitions_none_of_which_starves",
            TORTURE,
        ),
    ),
    "I23": (
        "The order is priority, then arrival.",
        (QUEUES, "tests/store/test_claims.py::test_claiming_in_order_of_priority_and_arrival"),
    ),
    "I24": (
        "A deduplication id has one unfinished workflow.",
        (
            QUEUES,
            "tests/acceptance/test_enqueueing.py::test_one_unfinished_workflow_per_deduplication_id",
            "tests/acceptance/test_enqueueing.py::test_a_holder_that_ends_while_we_ask_makes_room",
        ),
    ),
    "I25": (
        "A rate is never exceeded, and used.",
        (QUEUES, LIMITS, "tests/store/test_claims.py::test_a_rate_limit", TORTURE),
    ),
    "I26": (
        "Nothing runs before its delay is over; a debounced workflow runs with what came last.",
        (
            "tests/acceptance/test_queues.py::test_a_delayed_workflow_runs_when_its_time_has_come",
            "tests/acceptance/test_debouncing.py::test_it_never_starts_before_its_time_and_not_after_its_deadline",
            "tests/processes/test_client.py::test_processes_debounce_one_key",
        ),
    ),
    "I27": (
        "What is claimed runs, or is claimed again.",
        (
            "tests/acceptance/test_queue_dispatch.py::test_what_was_claimed_and_never_heard_of_runs_at_once",
            "tests/acceptance/test_queue_dispatch.py::test_many_are_drained_each_once",
            TORTURE,
        ),
    ),
    "I28": (
        "What nobody can run is told.",
        (
            "tests/acceptance/test_queue_dispatch.py::test_a_queue_that_nobody_serves_is_reported_once",
            "tests/acceptance/test_queue_dispatch.py::test_what_only_another_version_can_run_is_reported",
            "tests/acceptance/test_recovery.py::test_an_unknown_function_is_reported_and_waits",
        ),
    ),
    "I29": (
        "A message is received once.",
        (
            MESSAGES,
            "tests/processes/test_message_faults.py::"
            "test_receivers_that_are_killed_again_and_again_lose_and_double_nothing",
            TORTURE,
        ),
    ),
    "I30": (
        "Messages keep the order of each sender.",
        (
            MESSAGES,
            "tests/store/test_messages.py::test_numbers_that_commit_out_of_order_keep_the_order_of_each_sender",
            TORTURE,
        ),
    ),
    "I31": (
        "A wait for a message misses none, and its end is set once.",
        (
            "tests/acceptance/test_messages.py::test_a_message_between_the_check_and_the_wait_is_not_slept_through",
            "tests/acceptance/test_waits.py::test_what_came_in_time_is_found_though_the_answer_to_the_look_comes_late",
            "tests/acceptance/test_messages.py::test_a_restart_does_not_prolong_the_wait",
            "tests/acceptance/test_messages.py::test_two_receivers_on_one_topic_are_refused",
        ),
    ),
    "I32": (
        "Sending again with the same key changes nothing.",
        (
            "tests/acceptance/test_messages.py::test_a_key_delivers_once_per_destination",
            "tests/acceptance/test_messages.py::test_an_unknown_destination_is_refused",
        ),
    ),
    "I33": (
        "An event never goes back.",
        (
            "tests/acceptance/test_events.py::test_a_replay_never_sets_an_event_back",
            "tests/acceptance/test_events.py::test_values_seen_never_go_back",
        ),
    ),
    "I34": (
        "Streams have no gaps, one order, and an end.",
        (
            STREAMS,
            "tests/processes/test_stream_faults.py::"
            "test_a_reader_elsewhere_gets_every_value_once_though_the_writer_is_killed",
        ),
    ),
    "I35": (
        "A workflow writes a value once, a step as often as it runs.",
        (STREAMS, "tests/acceptance/test_streams.py::test_a_step_writes_as_often_as_it_runs"),
    ),
    "I36": (
        "Without any notification, everybody is woken by the poll.",
        ("tests/processes/test_lost_notifications.py::test_everything_works_by_polling", TORTURE),
    ),
    "I37": (
        "Each tick of a schedule has one run.",
        (
            "tests/processes/test_schedulers.py::test_no_tick_is_lost_or_doubled_when_a_scheduler_is_killed",
            "tests/model/test_schedule.py::test_ticks_around_every_change_of_the_clock_are_those_of_the_oracle",
        ),
    ),
    "I38": (
        "Clocks that jump repeat and lose no tick against the policy.",
        (
            "tests/acceptance/test_schedules.py::test_a_clock_that_is_set_back_repeats_nothing",
            "tests/acceptance/test_schedules.py::test_a_clock_that_is_set_forward_leaves_ticks_out",
        ),
    ),
    "I39": (
        "A deadline is set once and fires without its executor.",
        (
            "tests/acceptance/test_timeouts.py::test_a_deadline_survives_a_restart",
            "tests/acceptance/test_timeouts.py::test_a_deadline_fires_even_if_nobody_can_run_the_workflow",
            "tests/acceptance/test_timeouts.py::test_children_share_the_deadline_of_their_parent",
            TORTURE,
        ),
    ),
    "I40": (
        "A sleep is never short, and no restart prolongs it.",
        (
            "tests/acceptance/test_sleep.py::test_no_sleep_is_short",
            "tests/acceptance/test_sleep.py::test_a_restart_does_not_prolong_a_sleep",
            TORTURE,
        ),
    ),
    "I41": (
        "After a cancellation no further step begins, and nothing flips.",
        (
            "tests/crash/test_promises.py::test_no_step_begins_after_a_cancellation",
            "tests/store/test_workflows.py::test_a_race_between_cancelling_and_finishing_has_one_winner",
            MANAGEMENT,
        ),
    ),
    "I42": (
        "Cancelled tasks, ended loops and interrupts are no results.",
        (
            "tests/crash/test_cancel_points.py::test_a_cancelled_task_records_nothing_and_its_workflow_is_recovered",
            "tests/processes/test_interruption.py::test_in_the_background",
            "tests/processes/test_interpreter_exit.py::test_a_signal_is_no_result",
            TORTURE,
        ),
    ),
    "I43": (
        "A fork has exactly what was recorded before its first step.",
        (
            "tests/store/test_forking.py::test_a_fork_has_exactly_what_was_recorded_before_its_first_step",
            "tests/store/test_forking.py::test_the_origin_is_marked_and_otherwise_untouched",
            MANAGEMENT,
        ),
    ),
    "I44": (
        "Retention leaves what something unfinished needs.",
        (
            "tests/store/test_retention.py::test_what_an_unfinished_workflow_needs_is_kept",
            "tests/acceptance/test_retention.py::test_a_parent_finds_the_results_of_its_children",
            MANAGEMENT,
        ),
    ),
    "I45": (
        "Export and import are the identity.",
        ("tests/acceptance/test_transfer.py::test_export_and_import_are_the_identity",),
    ),
    "I46": (
        "Applications in one database leave each other alone.",
        (
            "tests/acceptance/test_recovery.py::test_another_application_is_left_alone",
            "tests/acceptance/test_queue_dispatch.py::test_a_queue_of_another_application_is_not_served",
            "tests/acceptance/test_schedules.py::test_the_schedule_of_another_application_is_left_alone",
        ),
    ),
    "I47": (
        "Migrations are applied once, whoever races and dies.",
        (
            "tests/store/test_migrations.py::test_ten_processes_race_and_migrate_once",
            "tests/store/test_migrations.py::test_a_failing_step_leaves_nothing_of_itself",
            "tests/store/test_migrations.py::test_a_current_database_is_not_written_to_nor_locked",
            TORTURE,
        ),
    ),
    "I48": (
        "Shutting down takes bounded time and leaves nothing behind.",
        (
            "tests/processes/test_leaks.py::test_launching_again_and_again",
            "tests/processes/test_leaks.py::test_destroying_with_work_in_flight",
            "tests/processes/test_interpreter_exit.py::test_leaving_with_work_in_flight",
        ),
    ),
    "I49": (
        "What waits takes no thread and no connection.",
        (
            "tests/store/test_workflows.py::test_ten_thousand_waiters_are_one_query",
            "tests/acceptance/test_endings.py::test_superseded_attempts_keep_no_thread",
            "tests/acceptance/test_queue_dispatch.py::test_idle_queues_cost_next_to_nothing",
        ),
    ),
    "I50": (
        "No loop dies silently.",
        ("tests/services/test_service.py::test_every_loop_goes_on_after_a_round_that_failed",),
    ),
}
