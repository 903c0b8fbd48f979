"""Portable JSON, and arguments that are validated."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PORTABLE = "tests/acceptance/test_portable.py::{}"
PORTABLE_JSON = "tests/model/test_portable.py::{}"
VALIDATION = "tests/acceptance/test_validation.py::{}"

MUTANTS = (
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
        "runtime/claimed.py",
        "body(attempt, target, *target.validated(args, kwargs))()",
        "body(attempt, target, args, kwargs)()",
        VALIDATION.format("test_what_comes_from_the_database_is_validated_in_any_format[sqlite]"),
    ),
)
