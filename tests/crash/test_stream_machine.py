"""Random sequences of writing, closing, reading, forking, rewinding, takeovers and lost replies, beside a model.

The model is written from the promises: a stream is a list of values, each written once, by whoever owns the workflow,
and none behind its end; a reader that goes on from where it stood gets all of them in order, and ends only where the
end stands or where everything is that was written before the workflow ended. A fork begins with what the steps before
its first had written, and a rewound workflow keeps that much.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dbos.model.queue import QueueSpec
from dbos.model.stream import CLOSED_TEXT, position_id
from dbos.model.workflow import INTERNAL_QUEUE
from dbos.store.database import StoreSettings
from dbos.store.forking import Fork
from dbos.store.records import WriteStream
from dbos.store.rewinding import Rewind
from dbos.store.store import Store
from tests.store.records import RUNNABLE, checkpoint, finish, owner, start, stream_end, stream_value

KEYS = st.sampled_from(["s", "s", "t"])
AGES = st.sampled_from([0, 0, 0, 1])  # of attempts: 0 is the one that owns the workflow
WHERE = st.integers(0, 1)

Value = tuple[int, str]
"""The step that wrote it, and its text."""


@dataclass(slots=True)
class Model:
    """What a workflow has written. Its steps count from 1."""

    epoch: int = 1
    life: int = 0
    step: int = 0
    ended: bool = False
    streams: dict[str, list[Value]] = field(default_factory=lambda: {"s": [], "t": []})
    recorded: set[int] = field(default_factory=set)  # steps

    def texts(self, key: str) -> list[str]:
        return [text for _, text in self.streams[key]]

    def closed(self, key: str) -> bool:
        return CLOSED_TEXT in self.texts(key)

    def some_step(self, share: float) -> int:
        """From the first step to behind the last one."""
        return 1 + round(share * self.step)

    def recorded_before(self, step: int) -> set[int]:
        return {each for each in self.recorded if each < step}

    def before(self, step: int) -> dict[str, list[Value]]:
        """What the recorded steps before this one have written."""
        kept = self.recorded_before(step)
        return {key: [each for each in values if each[0] in kept] for key, values in self.streams.items()}


@dataclass(slots=True)
class Reader:
    """Stands somewhere in a stream."""

    workflow_id: str
    key: str
    offset: int
    life: int  # of the workflow it reads: a rewind begins another


class Streams(RuleBasedStateMachine):
    """A workflow and its forks, on two stores of one database."""

    open_store: Callable[[], Store]

    workflows = Bundle("workflows")
    readers = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self.stores = [type(self).open_store() for _ in range(2)]
        self.number = next(_runs)
        self.models: dict[str, Model] = {}
        self.texts = itertools.count()

    def teardown(self) -> None:
        for store in self.stores:
            store.close()

    @initialize(target=workflows)
    def begin(self) -> str:
        workflow_id = f"w-{self.number}"
        self.stores[0].journal.write([start(workflow_id)])
        self.models[workflow_id] = Model()
        return workflow_id

    # ------------------------------------------------------------ what attempts do

    @rule(
        workflow=workflows,
        batch=st.lists(st.tuples(KEYS, st.sampled_from(["value", "inside", "end"])), min_size=1, max_size=4),
        age=AGES,
        where=WHERE,
        twice=st.booleans(),
    )
    def an_attempt_writes(self, workflow: str, batch: list[tuple[str, str]], age: int, where: int, twice: bool) -> None:
        """A batch of the journal. `twice`: its reply is lost, and the journal writes it again."""
        model = self.models[workflow]
        records: list[WriteStream] = []
        expected: list[tuple[()] | None] = []
        for key, kind in batch:
            model.step += 1
            record = self.value(workflow, model, key, kind, age)
            records.append(record)
            accepted = age == 0 and not model.ended and not model.closed(key)
            expected.append(() if accepted else None)
            if accepted:
                model.streams[key].append((model.step, record.value))
                if kind != "inside":
                    model.recorded.add(model.step)
        assert self.stores[where].journal.write(records) == expected
        if twice:
            assert self.stores[1 - where].journal.write(records) == [None] * len(records)

    def value(self, workflow: str, model: Model, key: str, kind: str, age: int) -> WriteStream:
        number = next(self.texts)
        if kind == "end":
            return stream_end(workflow, model.step, model.epoch - age, key=key)
        token = f"token {self.number} {number}" if kind == "inside" else ""
        return stream_value(workflow, model.step, model.epoch - age, key=key, value=f"{number}", token=token)

    @rule(workflow=workflows, where=WHERE)
    def a_step_ends(self, workflow: str, where: int) -> None:
        """The step that wrote last from inside, so that a fork may copy what it wrote."""
        model = self.models[workflow]
        expected = None if model.ended or model.step in model.recorded or model.step == 0 else ()
        if model.step:
            assert self.stores[where].journal.write([checkpoint(workflow, model.step, model.epoch)]) == [expected]
            if expected == ():
                model.recorded.add(model.step)

    @rule(workflow=workflows, where=WHERE, last=st.lists(KEYS, max_size=2))
    def a_workflow_ends(self, workflow: str, where: int, last: list[str]) -> None:
        """In the batch in which its last values are written."""
        model = self.models[workflow]
        if model.ended:
            return
        records: list[WriteStream] = []
        for key in last:
            model.step += 1
            records.append(self.value(workflow, model, key, "value", 0))
            if not model.closed(key):
                model.streams[key].append((model.step, records[-1].value))
                model.recorded.add(model.step)
        self.stores[where].journal.write([finish(workflow, model.epoch), *records])
        model.ended = True

    # ------------------------------------------------------------ what happens to them

    @rule(where=WHERE)
    def somebody_takes_over(self, where: int) -> None:
        self.stores[where].workflows.take_over(owner(f"heir {where}"), ["local"], RUNNABLE, 1_000)
        self.run_what_waits(where)

    @rule(target=workflows, workflow=workflows, share=st.floats(0, 1), where=WHERE)
    def somebody_forks(self, workflow: str, share: float, where: int) -> str:
        model, fork = self.models[workflow], f"fork {len(self.models)}-{self.number}"
        first = model.some_step(share)
        assert self.stores[where].workflows.fork([Fork(workflow, first, workflow_id=fork, token=fork)])
        self.models[fork] = Model(step=model.step, streams=model.before(first), recorded=model.recorded_before(first))
        self.run_what_waits(where)
        return fork

    @rule(workflow=workflows, share=st.floats(0, 1), where=WHERE)
    def somebody_rewinds(self, workflow: str, share: float, where: int) -> None:
        model = self.models[workflow]
        if model.ended:
            first = model.some_step(share)
            model.life += 1
            token = f"life {model.life} of {workflow}"
            assert self.stores[where].workflows.rewind(Rewind(workflow, first), token) is True
            model.streams, model.recorded = model.before(first), model.recorded_before(first)
            model.ended = False
            self.run_what_waits(where)

    def run_what_waits(self, where: int) -> None:
        """Claim the forked, the rewound and the given back; who owns what now is not the question here."""
        store = self.stores[where]
        store.claims.claim(QueueSpec(INTERNAL_QUEUE), owner("heir"), RUNNABLE, 1_000)
        for workflow_id, model in self.models.items():
            row = store.workflows.load(workflow_id)
            assert row is not None
            assert row.status == ("SUCCESS" if model.ended else "PENDING")
            model.epoch = row.epoch

    # ------------------------------------------------------------ what readers see

    @rule(target=readers, workflow=workflows, key=KEYS, offset=st.sampled_from([0, 0, 1, 3]))
    def somebody_begins_to_read(self, workflow: str, key: str, offset: int) -> Reader:
        return Reader(workflow, key, offset, self.models[workflow].life)

    @rule(reader=readers, limit=st.integers(1, 3), where=WHERE)
    def a_reader_goes_on(self, reader: Reader, limit: int, where: int) -> None:
        model = self.models[reader.workflow_id]
        if reader.life != model.life:
            return
        page = self.stores[where].streams.page(reader.workflow_id, reader.key, reader.offset, limit)
        assert page is not None
        expected = list(enumerate(model.texts(reader.key)))[reader.offset : reader.offset + limit]
        assert [(value.offset, value.value) for value in page.values] == expected
        ends_before = CLOSED_TEXT in model.texts(reader.key)[: reader.offset]
        assert page.over == (model.ended or ends_before)
        reader.offset += len(page.values)

    @rule(reader=readers, where=WHERE)
    def somebody_looks_whom_to_wake(self, reader: Reader, where: int) -> None:
        texts = self.models[reader.workflow_id].texts(reader.key)
        position = position_id(reader.workflow_id, reader.key, reader.offset)
        worth_it = len(texts) > reader.offset or CLOSED_TEXT in texts
        assert self.stores[where].streams.reached([position]) == ([position] if worth_it else [])

    # ------------------------------------------------------------ what must hold

    @invariant()
    def streams_have_no_gaps_and_are_as_written(self) -> None:
        for workflow_id, model in self.models.items():
            for key in model.streams:
                page = self.stores[0].streams.page(workflow_id, key, 0, 1_000)
                assert page is not None
                assert [(value.offset, value.value) for value in page.values] == list(enumerate(model.texts(key)))
                assert self.stores[1].streams.is_closed(workflow_id, key) == model.closed(key)


_runs = itertools.count()


@pytest.mark.timeout(300)
def test_any_sequence_of_writes_and_reads_ends_as_the_model_says(database_url: str) -> None:
    class Machine(Streams):
        open_store = staticmethod(lambda: Store.open(StoreSettings(url=database_url)))

    few = database_url.startswith("postgres")
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=6 if few else 40,
            stateful_step_count=25 if few else 30,
            suppress_health_check=list(HealthCheck),
            deadline=None,
        ),
    )
