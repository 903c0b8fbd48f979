"""Spans, and the traces they belong to."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

TRACING = "tests/acceptance/test_tracing.py::{}[sqlite{}]"

MUTANTS = (
    Mutant(
        "what is replayed has a span once more",
        "runtime/step.py",
        "    return recorded(attempt, step_id, spec.name, spans.of_step(attempt, spec.name, running), counted=True)",
        "    return spans.of_step(attempt, spec.name, recorded(attempt, step_id, spec.name, running, counted=True))",
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
    Mutant(
        "what a provider raises becomes of the workflow",
        "telemetry/tracing.py",
        '    except Exception:\n        logger.debug("Something of a span is lost"',
        '    except MemoryError:\n        logger.debug("Something of a span is lost"',
        "tests/acceptance/test_tracing.py::test_what_tracing_cannot_do_is_no_outcome[sqlite-on_end]",
    ),
)
