"""What is measured: counted once, under the right name, and told as it is."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

METRICS = "tests/acceptance/test_metrics.py::{}[sqlite]"
INSTRUMENTS = "tests/telemetry/test_instruments.py::{}"
PROMETHEUS = "tests/telemetry/test_prometheus.py::{}"

MUTANTS = (
    Mutant(
        "a workflow is counted twice",
        "runtime/workflow.py",
        "workflows_started.add(attempt.name)",
        "workflows_started.add(attempt.name, by=2)",
        METRICS.format("test_workflows_and_steps_by_what_came_of_them"),
    ),
    Mutant(
        "a failed workflow is counted as a success",
        "runtime/workflow.py",
        "        status = _status(outcome)\n",
        "        status = Status.SUCCESS\n",
        METRICS.format("test_workflows_and_steps_by_what_came_of_them"),
    ),
    Mutant(
        "an execution that lost its workflow counts as its end",
        "runtime/workflow.py",
        "    elif attempt.revoked is Status.CANCELLED:\n",
        "    elif attempt.revoked is not None:\n",
        METRICS.format("test_cancelled_and_given_up"),
    ),
    Mutant(
        "an outcome that is fenced is not counted",
        "runtime/workflow.py",
        "                attempt.count_fenced()\n",
        "",
        METRICS.format("test_an_outcome_that_comes_too_late_is_fenced"),
    ),
    Mutant(
        "a write after a cancellation is counted as one after a takeover",
        "runtime/context.py",
        "add(CANCELLED if self.revoked is Status.CANCELLED else TAKEN_OVER)",
        "add(TAKEN_OVER)",
        METRICS.format("test_cancelled_and_given_up"),
    ),
    Mutant(
        "the last attempt of a step counts as followed by another one",
        "runtime/step.py",
        "        if number > 0:\n            yield from pause",
        "        if number >= 0:\n            yield from pause",
        METRICS.format("test_workflows_and_steps_by_what_came_of_them"),
    ),
    Mutant(
        "what recovery gives back to its queue is not counted",
        "store/workflows.py",
        "self._taken_over.add(by=len(locked))",
        "self._taken_over.add(by=len(rows))",
        METRICS.format("test_the_next_launch_recovers_and_begins_to_count_anew"),
    ),
    Mutant(
        "the oldest is looked for in the first priority alone",
        "store/sql/claims.sql",
        "h.place < :most_priorities",
        "h.place < 1",
        METRICS.format("test_queues_as_they_are"),
    ),
    Mutant(
        "what waits is counted as what runs",
        "runtime/gauges.py",
        "{name: load.running for name",
        "{name: load.waiting for name",
        METRICS.format("test_queues_as_they_are"),
    ),
    Mutant(
        "a bound belongs to the bucket above it",
        "telemetry/instruments.py",
        "from bisect import bisect_left\n",
        "from bisect import bisect_right as bisect_left\n",
        INSTRUMENTS.format("test_a_bound_belongs_to_its_bucket"),
    ),
    Mutant(
        "names are without bound",
        "telemetry/instruments.py",
        "        if len(series) >= MAX_SERIES:\n",
        "        if False:\n",
        INSTRUMENTS.format("test_names_beyond_the_bound_are_counted_together"),
    ),
    Mutant(
        "buckets do not add up",
        "telemetry/prometheus.py",
        "list(accumulate(value.counts))",
        "list(value.counts)",
        PROMETHEUS.format("test_histograms"),
    ),
    Mutant(
        "a line break in a label ends the line",
        "telemetry/prometheus.py",
        r"""r"\\", "\n": r"\n", '"':""",
        r"""r"\\", '"':""",
        PROMETHEUS.format("test_any_label_comes_back_as_it_was"),
    ),
    Mutant(
        "what a watcher raises becomes of what was committed",
        "telemetry/metering.py",
        "        except Exception:\n            logger.debug(",
        "        except MemoryError:\n            logger.debug(",
        "tests/acceptance/test_metrics.py::test_what_a_watcher_raises_is_no_outcome[sqlite]",
    ),
)
