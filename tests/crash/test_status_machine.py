"""The state machine of workflows: random sequences of real store verbs beside a model that says what must come of each.

The model is small and written from the promises, not from the SQL: a success is never left, a cancelled workflow never
becomes a success, epochs only grow, an outcome is written once and only by the epoch that owns the workflow.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dbos.model.queue import QueueSpec
from dbos.model.workflow import INTERNAL_QUEUE
from dbos.store.database import StoreSettings
from dbos.store.executors import Owner
from dbos.store.records import Checkpoint, FinishWorkflow, StartWorkflow
from dbos.store.store import Store
from tests.support.postgres import past_entrance

RUNNABLE = [("work", "", "")]
OVER = 1  # a deadline in 1970
FEW = 3  # workflows in one sequence: so that much happens to each
AGES = st.integers(0, 2)  # of attempts
FINAL = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


@dataclass(slots=True)
class Model:
    """What a workflow must look like."""

    status: str
    epoch: int
    owner: str | None
    overdue: bool = False
    outcome: str | None = None
    attempts: int = 1
    steps: dict[int, tuple[int, str]] = field(default_factory=dict)  # number -> epoch, output
    owned: list[int] = field(default_factory=lambda: [1])  # the epochs in which somebody ran it, in order

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    def leave(self, status: str, owner: str | None = None) -> None:
        """Someone else may write from now on."""
        self.status, self.owner = status, owner
        self.epoch += 1
        if owner is not None:
            self.owned.append(self.epoch)

    def epoch_of_attempt(self, age: int) -> int:
        """The epoch of an attempt: 0 is the newest, and older ones may believe themselves current as well."""
        return self.owned[max(0, len(self.owned) - 1 - age)]


class Workflows(RuleBasedStateMachine):
    """Two executors share a store; attempts write with the epoch they once had, current or not."""

    open_store: Callable[[], Store]
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).open_store()
        self.models: dict[str, Model] = {}
        self.names = itertools.count()
        self.lives = itertools.count()
        self.owners = {name: self.register(name) for name in ("one", "two")}

    def register(self, name: str) -> Owner:
        owner = Owner(f"{name}-{next(self.lives)}", name, "app", "v1")
        self.store.executors.register(owner, "host", 1, "then", 1000.0)
        return owner

    def teardown(self) -> None:
        self.store.close()

    # ------------------------------------------------------------ beginning

    @precondition(lambda self: len(self.models) < FEW)
    @rule(target=ids, owner=st.sampled_from(["one", "two"]), overdue=st.booleans())
    def start(self, owner: str, overdue: bool) -> str:
        workflow_id = f"w{next(self.names)}"
        assert self.write(self.start_record(workflow_id, self.owners[owner], overdue)) is not None
        self.models[workflow_id] = Model("PENDING", 1, self.owners[owner].instance, overdue)
        return workflow_id

    @rule(workflow_id=ids, owner=st.sampled_from(["one", "two"]))
    def start_again(self, workflow_id: str, owner: str) -> None:
        assert self.write(self.start_record(workflow_id, self.owners[owner], False)) is None

    @rule(workflow_id=ids, owner=st.sampled_from(["one", "two"]))
    def delete_and_start_anew(self, workflow_id: str, owner: str) -> None:
        """Attempts of the one that was deleted go on writing."""
        before = self.models[workflow_id]
        gone = self.store.workflows.delete([workflow_id], False)
        assert gone is not None
        assert gone.ids == [workflow_id]
        epoch = before.epoch + 2  # of one that waits to be run, and of one that runs
        assert self.write(self.start_record(workflow_id, self.owners[owner], False)) == (None, epoch)
        owned = [*before.owned, epoch]
        self.models[workflow_id] = Model("PENDING", epoch, self.owners[owner].instance, owned=owned)

    # ------------------------------------------------------------ writing with an epoch, of today or of old

    @rule(workflow_id=ids, age=AGES, number=st.integers(1, 5), output=st.sampled_from(["a", "b"]))
    def checkpoint(self, workflow_id: str, age: int, number: int, output: str) -> None:
        model = self.models[workflow_id]
        epoch = model.epoch_of_attempt(age)
        record = Checkpoint(workflow_id, epoch, number, "step", output, None, "json", None, 1, 2)
        accepted = model.status == "PENDING" and model.epoch == epoch and number not in model.steps
        assert (self.write(record) is not None) == accepted
        if accepted:
            model.steps[number] = epoch, output

    @rule(workflow_id=ids, age=AGES, status=st.sampled_from(["SUCCESS", "ERROR"]), outcome=st.sampled_from(["x", "y"]))
    def finish(self, workflow_id: str, age: int, status: str, outcome: str) -> None:
        model = self.models[workflow_id]
        epoch = model.epoch_of_attempt(age)
        output, error = (outcome, None) if status == "SUCCESS" else (None, outcome)
        record = FinishWorkflow(workflow_id, epoch, status, output, error, "json")
        accepted = model.status == "PENDING" and model.epoch == epoch
        assert (self.write(record) is not None) == accepted
        if accepted:
            model.status, model.outcome = status, outcome

    # ------------------------------------------------------------ steering

    @rule(workflow_id=ids)
    def cancel(self, workflow_id: str) -> None:
        model = self.models[workflow_id]
        cancelled = self.store.workflows.cancel([workflow_id])
        if not model.is_final:
            model.leave("CANCELLED")
        assert cancelled == ([workflow_id] if model.status == "CANCELLED" else [])

    @rule(workflow_id=ids)
    def resume(self, workflow_id: str) -> None:
        model = self.models[workflow_id]
        reopened = [] if model.status == "SUCCESS" else [workflow_id]
        assert self.store.workflows.resume([workflow_id]) == reopened
        if reopened:
            model.leave("ENQUEUED")
            model.outcome, model.attempts, model.overdue = None, 0, False

    @rule()
    def expire(self) -> None:
        expected = {each for each, model in self.models.items() if model.overdue and not model.is_final}
        assert set(self.store.workflows.expire()) == expected
        for workflow_id in expected:
            self.models[workflow_id].leave("CANCELLED")

    @rule(owner=st.sampled_from(["one", "two"]))
    def claim(self, owner: str) -> None:
        expected = {each for each, model in self.models.items() if model.status == "ENQUEUED"}
        rows = self.store.claims.claim(QueueSpec(INTERNAL_QUEUE), self.owners[owner], RUNNABLE, 100).rows
        self.now_run_by(owner, rows, expected)

    @rule(owner=st.sampled_from(["one", "two"]), whose=st.sampled_from(["one", "two"]))
    def take_over(self, owner: str, whose: str) -> None:
        expected = {
            each
            for each, model in self.models.items()
            if model.status == "PENDING" and model.owner is not None and model.owner.startswith(whose)
        }
        rows = self.store.workflows.take_over(self.owners[owner], [whose], RUNNABLE, 100)
        self.now_run_by(owner, rows, expected)

    @rule(owner=st.sampled_from(["one", "two"]))
    def adopt_while_everybody_lives(self, owner: str) -> None:
        assert self.store.workflows.adopt(self.owners[owner], RUNNABLE, 100) == []

    @rule(victim=st.sampled_from(["one", "two"]))
    def die_and_be_adopted(self, victim: str) -> None:
        dead = self.owners[victim]
        self.store.executors.declare_dead([dead.instance])
        assert not self.store.executors.renew(dead.instance, 1000.0), "the dead came back"
        self.owners[victim] = self.register(victim)
        heir = "two" if victim == "one" else "one"
        expected = {
            each for each, model in self.models.items() if model.status == "PENDING" and model.owner == dead.instance
        }
        rows = self.store.workflows.adopt(self.owners[heir], RUNNABLE, 100)
        self.now_run_by(heir, rows, expected)

    # ------------------------------------------------------------ what always holds

    @invariant()
    def the_rows_are_as_the_model_says(self) -> None:
        rows = self.store.workflows.load_many(list(self.models))
        assert rows.keys() == self.models.keys()
        for workflow_id, model in self.models.items():
            row = rows[workflow_id]
            assert (row.status, row.epoch, row.executor_instance) == (
                model.status,
                model.epoch,
                model.owner if not model.is_final or model.status == "CANCELLED" else row.executor_instance,
            )
            assert (row.output or row.error) == model.outcome
            assert row.recovery_attempts == model.attempts
            assert (row.completed_at is not None) == model.is_final

    @invariant()
    @precondition(lambda self: self.models)
    def the_checkpoints_are_as_the_model_says(self) -> None:
        for workflow_id, steps in self.store.steps.history(list(self.models)).items():
            recorded = {step.function_id: (step.epoch, step.output) for step in steps}
            assert recorded == self.models[workflow_id].steps

    # ------------------------------------------------------------ plumbing

    def now_run_by(self, owner: str, rows: list[Any], expected: set[str]) -> None:
        assert {row.workflow_uuid for row in rows} == expected
        for row in rows:
            model = self.models[row.workflow_uuid]
            model.leave("PENDING", self.owners[owner].instance)
            model.attempts += 1
            assert (row.epoch, row.status) == (model.epoch, "PENDING")

    def write(self, record: Any) -> Any:
        (result,) = self.store.journal.write((record,))
        return result

    @staticmethod
    def start_record(workflow_id: str, owner: Owner, overdue: bool) -> StartWorkflow:
        unset = dict.fromkeys(StartWorkflow._fields)
        return StartWorkflow(
            **{
                **unset,
                "workflow_id": workflow_id,
                "token": f"{workflow_id}:{owner.instance}",
                "status": "PENDING",
                "name": "work",
                "inputs": "[]",
                "serialization": "json",
                "application_name": owner.application_name,
                "application_version": owner.application_version,
                "executor_id": owner.executor_id,
                "executor_instance": owner.instance,
                "deadline_ms": OVER if overdue else None,
                "priority": 0,
            }
        )


@pytest.fixture
def machine(database_url: str) -> type[Workflows]:
    """The machine, on an empty database each time it is made."""
    store_settings = StoreSettings(database_url)
    Store.open(store_settings).close()

    class OnThisDatabase(Workflows):
        @staticmethod
        def open_store() -> Store:
            Store.truncate(StoreSettings(past_entrance(database_url)))
            return Store.open(store_settings)

    return OnThisDatabase


@pytest.mark.timeout(120)
def test_every_sequence_of_verbs_ends_as_the_model_says(machine: type[Workflows], database_url: str) -> None:
    examples = 100 if database_url.startswith("sqlite") else 10
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=30, suppress_health_check=list(HealthCheck), deadline=None
        ),
    )


@pytest.mark.parametrize("status", ["SUCCESS", "ERROR"])
def test_what_is_finished_takes_nothing_more(machine: type[Workflows], status: str) -> None:
    run = machine()
    try:
        workflow_id = run.start(owner="one", overdue=True)
        run.finish(workflow_id, 0, status, "x")
        run.checkpoint(workflow_id, 0, 1, "late")
        run.finish(workflow_id, 0, "ERROR", "y")
        run.cancel(workflow_id)
        run.expire()
        run.take_over("two", "one")
        run.the_rows_are_as_the_model_says()
        run.the_checkpoints_are_as_the_model_says()
        run.resume(workflow_id)  # of a success: refused
        run.claim("two")
        run.the_rows_are_as_the_model_says()
    finally:
        run.teardown()


def test_whoever_lost_its_workflow_writes_nothing_more(machine: type[Workflows]) -> None:
    run = machine()
    try:
        workflow_id = run.start(owner="one", overdue=False)
        run.checkpoint(workflow_id, 0, 1, "a")
        run.adopt_while_everybody_lives("two")
        run.die_and_be_adopted("one")
        run.checkpoint(workflow_id, 1, 2, "stale")
        run.finish(workflow_id, 1, "SUCCESS", "stale")
        run.the_rows_are_as_the_model_says()
        run.the_checkpoints_are_as_the_model_says()
        run.cancel(workflow_id)
        run.checkpoint(workflow_id, 0, 2, "stale")
        run.finish(workflow_id, 0, "SUCCESS", "stale")
        run.the_rows_are_as_the_model_says()
    finally:
        run.teardown()
