"""Attempts in the background: on our threads, on our event loop, or in a task on the caller's.

Their outcomes are in the database; nobody is handed one, so what they fail with is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from typing import Any

from dbos.fields import NamedTuple
from dbos.runtime.context import Attempt
from dbos.runtime.interpreters import Hosted, run_async
from dbos.runtime.operation import Outcome
from dbos.runtime.workflow import execute

logger = logging.getLogger("dbos")


class Run(NamedTuple):
    """An attempt that is about to run in the background: its body, in its colour, and the context it runs in."""

    attempt: Attempt
    call: Callable[[], Any]
    awaited: bool
    context: Context


def run_in_background(attempt: Attempt, call: Callable[[], Any], awaited: bool) -> None:
    """Run an attempt on a host of ours, in a copy of this context."""
    run_all_in_background((Run(attempt, call, awaited, copy_context()),))


def run_all_in_background(runs: Sequence[Run]) -> None:
    """Run attempts on the hosts of ours: threads, and the event loop for coroutines. Their failures are logged."""
    for run in runs:
        run.attempt.engine.begin(run.attempt)  # from here on no sweep takes it for abandoned
    blocking = [run for run in runs if not run.awaited]
    if blocking:
        _run_on_threads(blocking)
    awaited = [run for run in runs if run.awaited]
    if awaited:
        _run_on_loop(awaited)


def _run_on_threads(runs: Sequence[Run]) -> None:
    engine = runs[0].attempt.engine
    try:
        engine.threads.submit(*[_hosted(run).begin for run in runs])  # at once, or each would fight for the host's lock
    except RuntimeError as error:  # no thread to be had, or the host has just stopped
        for run in runs:
            _log_refusal(run.attempt, error)


def _hosted(run: Run) -> Hosted[Outcome[Any] | None]:
    attempt, engine = run.attempt, run.attempt.engine

    def ended(outcome: Outcome[Any] | None, error: BaseException | None) -> None:
        if error is None:
            _log_failure(attempt, outcome)
        else:
            _log_interruption(attempt, error)

    return Hosted(engine, execute(attempt, run.call, False), run.context, engine.resuming.submit, ended)


def _run_on_loop(runs: Sequence[Run]) -> None:
    engine = runs[0].attempt.engine
    coroutines = [(_run_hosted(run.attempt, run.call), run.context) for run in runs]
    try:
        engine.loop.submit(coroutines, engine.keep)
    except RuntimeError as error:
        for run, (coroutine, _) in zip(runs, coroutines, strict=True):
            coroutine.close()
            _log_refusal(run.attempt, error)


def _log_refusal(attempt: Attempt, error: RuntimeError) -> None:
    attempt.engine.end(attempt)
    _log_interruption(attempt, error)


async def _run_hosted(attempt: Attempt, call: Callable[[], Any]) -> None:
    """On our own loop, what asks the program to end ends one attempt, as it does on our threads."""
    try:
        await run_logged_async(attempt, call)
    except (KeyboardInterrupt, SystemExit) as error:
        _log_interruption(attempt, error)


async def run_logged_async(attempt: Attempt, call: Callable[[], Any]) -> None:
    """Run an attempt as a task: its outcome is in the database, not in the task."""
    try:
        outcome = await run_async(attempt.engine, execute(attempt, call, True))
    except Exception as error:
        _log_interruption(attempt, error)
    else:
        _log_failure(attempt, outcome)


def _log_failure(attempt: Attempt, outcome: Outcome[Any] | None) -> None:
    if outcome is not None and outcome.error is not None:
        logger.error(
            "Exception encountered in background workflow %s (%s)",
            attempt.workflow_id,
            attempt.name,
            exc_info=outcome.error,
        )


def _log_interruption(attempt: Attempt, error: BaseException) -> None:
    if attempt.engine.closed:
        return  # destroyed meanwhile: the row stays PENDING, the next launch goes on
    logger.error(
        "Workflow %s (%s) was interrupted and will be recovered", attempt.workflow_id, attempt.name, exc_info=error
    )
