"""Random sequences of sending, receiving, setting events, takeovers, restarts and lost replies, beside a model.

The model is written from the promises: a message is received once, in the order of sending per destination and topic,
by whoever owns the workflow; a step once recorded answers the same for ever; an event is what was set last.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dbos.store.database import StoreSettings
from dbos.store.executors import Owner
from dbos.store.records import CheckpointSend, KeepEvent, ReceiveMessage, SendMessage, SetEvent, StartWorkflow
from dbos.store.store import Store

NAMES = st.sampled_from(["a", "b"])
TOPICS = st.sampled_from(["", "t"])
AGES = st.integers(0, 1)  # of attempts: 0 is the one that owns the workflow
RUNNABLE = [("work", "", "")]


@dataclass(slots=True)
class Model:
    """What a workflow has sent, received and published."""

    epoch: int = 1
    step: int = 0
    received: dict[int, tuple[int, str]] = field(default_factory=dict)  # step -> epoch, message
    sends: dict[int, tuple[str, str]] = field(default_factory=dict)  # step -> destination, message id
    events: dict[str, str] = field(default_factory=dict)

    def next_step(self) -> int:
        self.step += 1
        return self.step


class Mailboxes(RuleBasedStateMachine):
    """Two workflows that write to each other through two stores on one database."""

    open_store: Callable[[], Store]

    def __init__(self) -> None:
        super().__init__()
        self.stores = [type(self).open_store() for _ in range(2)]
        run = next(_runs)
        self.ids = {name: f"{name}-{run}" for name in ("a", "b")}
        self.models = {name: Model() for name in self.ids}
        self.waiting: dict[tuple[str, str], list[str]] = defaultdict(list)  # not received so far, in order
        self.keys: set[tuple[str, str]] = set()  # destination, message id
        self.texts = itertools.count()

    def teardown(self) -> None:
        for store in self.stores:
            store.close()

    @initialize()
    def start(self) -> None:
        for workflow_id in self.ids.values():
            plain: dict[str, Any] = dict.fromkeys(StartWorkflow._fields)
            wanted = {"workflow_id": workflow_id, "token": workflow_id, "status": "PENDING", "name": "work"}
            owner = {"executor_id": "local", "executor_instance": "first", "application_name": "app"}
            inputs = {"inputs": "{}", "serialization": "json", "priority": 0, "application_version": "1"}
            assert self.stores[0].journal.write([StartWorkflow(**{**plain, **wanted, **owner, **inputs})]) != [None]

    # ------------------------------------------------------------ what attempts and clients do

    @rule(to=NAMES, topic=TOPICS, key=st.sampled_from([None, None, "key 1", "key 2"]), where=st.integers(0, 1))
    def a_client_sends(self, to: str, topic: str, key: str | None, where: int) -> None:
        text = f'"{next(self.texts)}"'
        message_id = key or f"client {text}"
        record = SendMessage(self.ids[to], message_id, topic, text, "json", None, None)
        (result,) = self.stores[where].journal.write([record])
        assert (result is None) == ((to, message_id) in self.keys)
        self.accept(to, topic, message_id, text)

    @rule(sender=NAMES, to=NAMES, topic=TOPICS, age=AGES, where=st.integers(0, 1), twice=st.booleans())
    def a_workflow_sends(self, sender: str, to: str, topic: str, age: int, where: int, twice: bool) -> None:
        """`twice`: the reply is lost, and the journal writes both records again."""
        model = self.models[sender]
        step, epoch, text = model.next_step(), model.epoch - age, f'"{next(self.texts)}"'
        message = SendMessage(self.ids[to], f"{sender} {step}", topic, text, "json", self.ids[sender], epoch)
        recorded = CheckpointSend(self.ids[sender], epoch, step, "DBOS.send", "null", "json", 1, 2, *message[:2])
        results = self.stores[where].journal.write([recorded, message])
        assert results == ([(), ()] if age == 0 else [None, None])
        if twice:
            assert self.stores[where].journal.write([recorded, message]) == [None, None]
        if age == 0:
            model.sends[step] = (to, message.message_id)
            self.accept(to, topic, message.message_id, text)

    def accept(self, to: str, topic: str, message_id: str, text: str) -> None:
        if (to, message_id) not in self.keys:
            self.keys.add((to, message_id))
            self.waiting[to, topic].append(text)

    @rule(name=NAMES, topic=TOPICS, age=AGES, where=st.integers(0, 1), twice=st.booleans())
    def a_workflow_receives(self, name: str, topic: str, age: int, where: int, twice: bool) -> None:
        model, mailbox = self.models[name], self.waiting[name, topic]
        step, epoch = model.next_step(), model.epoch - age
        for _ in range(1 + twice):
            (result,) = self.stores[where].journal.write(
                [ReceiveMessage(self.ids[name], epoch, step, "DBOS.recv", topic, 1, 2)]
            )
            if age == 0 and mailbox and step not in model.received:
                model.received[step] = (epoch, mailbox.pop(0))
            expected = model.received.get(step)
            assert (result and result[0]) == (expected and expected[1])

    @rule(name=NAMES, key=st.sampled_from("xy"), age=AGES, where=st.integers(0, 1))
    def a_workflow_publishes(self, name: str, key: str, age: int, where: int) -> None:
        model = self.models[name]
        fields = self.ids[name], model.epoch - age, model.next_step(), key, f'"{next(self.texts)}"', "json"
        results = self.stores[where].journal.write([SetEvent(*fields), KeepEvent(*fields)])
        assert results == ([(), ()] if age == 0 else [None, None])
        if age == 0:
            model.events[key] = fields[4]

    # ------------------------------------------------------------ what happens to them

    @rule(name=NAMES, where=st.integers(0, 1))
    def somebody_takes_over(self, name: str, where: int) -> None:
        store, workflow_id = self.stores[where], self.ids[name]
        heir = Owner(f"heir {where}", "local", "app", "1")
        taken = store.workflows.take_over(heir, ["local"], RUNNABLE, 1_000)
        assert workflow_id in {row.workflow_uuid for row in taken}
        for each, own_id in self.ids.items():
            if own_id in {row.workflow_uuid for row in taken}:
                self.models[each].epoch += 1

    @rule(where=st.integers(0, 1))
    def a_process_restarts(self, where: int) -> None:
        self.stores[where].close()
        self.stores[where] = type(self).open_store()

    # ------------------------------------------------------------ what must hold

    @invariant()
    def steps_stay_as_recorded(self) -> None:
        for name, model in self.models.items():
            found = {
                step.function_id: step.output
                for step in self.stores[0].steps.list(self.ids[name])
                if step.function_name == "DBOS.recv"
            }
            assert found == {step: text for step, (_, text) in model.received.items()}

    @invariant()
    def events_are_what_was_set_last(self) -> None:
        for name, model in self.models.items():
            found = {key: value for key, value, _ in self.stores[1].events.all(self.ids[name])}
            assert found == model.events

    @invariant()
    def mailboxes_are_known_to_hold_messages(self) -> None:
        texts = {(name, topic): f'["{self.ids[name]}", "{topic}"]' for name in self.ids for topic in ("", "t")}
        holding = set(self.stores[0].messages.with_messages(list(texts.values())))
        assert holding == {text for place, text in texts.items() if self.waiting[place]}


_runs = itertools.count()


@pytest.mark.timeout(300)
def test_any_sequence_of_verbs_ends_as_the_model_says(database_url: str) -> None:
    class Machine(Mailboxes):
        open_store = staticmethod(lambda: Store.open(StoreSettings(url=database_url)))

    few = database_url.startswith("postgres")
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=6 if few else 20,
            stateful_step_count=25 if few else 30,
            suppress_health_check=list(HealthCheck),
            deadline=None,
        ),
    )
