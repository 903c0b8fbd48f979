"""Forking workflows: a new one that begins with what another had recorded before some step."""

from __future__ import annotations

from collections.abc import Sequence

from dbos.model.ids import child_id
from dbos.runtime.admission import take_id
from dbos.runtime.context import Attempt, workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation, Outcome
from dbos.runtime.requests import current_requests
from dbos.runtime.step import outcome_as_step
from dbos.store.forking import Fork

FORK = "DBOS.forkWorkflow"


def fork_workflows(engine: Engine, asked: Sequence[Fork]) -> Operation[list[str]]:
    """Make all of the forks or none; their ids. From the body of a workflow it is one step.

    The first gets the id of the enclosing `SetWorkflowID`. In a workflow the ids follow from the step, and the token of
    a fork names it: a replay after a crash before the step was recorded finds its own forks.
    """
    wanted, _ = take_id(current_requests())
    caller = workflow_body()
    step_id = None if caller is None else caller.next_step_id()
    forks = [
        each._replace(
            workflow_id=(place == 0 and wanted) or workflow_id,
            token=token,
            follows=caller is not None and not (place == 0 and wanted),
        )
        for place, (each, (workflow_id, token)) in enumerate(
            zip(asked, _names(engine, caller, step_id, len(asked)), strict=True)
        )
    ]
    outcome = yield from outcome_as_step(FORK, _fork(engine, caller, forks), step_id=step_id)
    return outcome.unwrap()


def _names(engine: Engine, caller: Attempt | None, step_id: int | None, count: int) -> list[tuple[str, str]]:
    """An id and a token for each fork."""
    if caller is None or step_id is None:
        return [(engine.new_id(), engine.new_token()) for _ in range(count)]
    workflow_id, token = child_id(caller.workflow_id, step_id), f"{caller.life or caller.workflow_id}:{step_id}"
    return [(f"{workflow_id}.{place}", f"{token}.{place}") if place else (workflow_id, token) for place in range(count)]


def _fork(engine: Engine, caller: Attempt | None, forks: list[Fork]) -> Operation[Outcome[list[str]]]:
    guard = None if caller is None else (caller.workflow_id, caller.epoch)
    while not (yield Ask(engine.store.workflows.fork, forks, guard)):
        if caller is not None:
            yield from caller.verify_refused()
    for queue_name in {each.queue_name for each in forks}:
        engine.announce_enqueued(queue_name)
    return Outcome([each.workflow_id for each in forks])
