"""Every rule of everybody who judges is broken once, and noticed: a judge that never says no proves nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dbos.error import DBOSQueueDeduplicatedError
from dbos.model.serialization import Serialization
from dbos.model.stream import CLOSED_TEXT
from tests.crash import audit
from tests.mutants.complaints import ROOT, says, sentences
from tests.simulation import oracle
from tests.simulation.acts import Acts
from tests.simulation.auditor import Auditor
from tests.simulation.disk import Change, LeaseChange, MessageChange, Standing, StepChange, StreamChange, WorkflowChange
from tests.simulation.plan import Act
from tests.simulation.world import World, _Listening

NOW_MS = 1_000_000
VERDICT = "tests/torture/test_verdict.py"
SHOWN_ELSEWHERE = {
    "I1: {} was accepted, and is gone": f"{VERDICT}::test_what_the_database_saw",
    "I7: {} was claimed {} times, and counts {}": f"{VERDICT}::test_what_the_database_saw",
    "the checkpoint of step {} of {} was {}": f"{VERDICT}::test_what_the_database_saw",
    "I5: unfinished after {} s of quiet: {}": f"{VERDICT}::test_what_does_not_end",
    "I10: {} although epoch {} had recorded it": f"{VERDICT}::test_what_the_ledger_saw",
    "I11: step {} was recorded and never ran": f"{VERDICT}::test_what_the_ledger_saw",
    "{}: {} > {}": f"{VERDICT}::test_what_a_queue_did",
    "{} starts of {} within {} ms": f"{VERDICT}::test_how_fast_a_queue_was",
}
PARTS_OF_OTHERS = {"at {} s: {}", "{} ({})", "{} violations, for example: {}"}


class Scene:
    """A world in which nothing happens but what it is told."""

    def __init__(self, *, jumps: bool = False, acts: tuple[Act, ...] = ()) -> None:
        self.told: dict[str, str] = {}  # workflow -> what a client gets
        self.reached: list[str] = []
        self.rows: list[tuple[Any, ...]] = []
        place = SimpleNamespace(instance="me", host="here", pid=1, dead=False)
        machine = SimpleNamespace(
            now_ms=lambda: NOW_MS, note=lambda *_: None, fibre=SimpleNamespace(name="service"), deaths=[]
        )
        self.world: Any = SimpleNamespace(
            seconds=1.0,
            actor=place,
            machine=machine,
            plan=SimpleNamespace(jumps=jumps, acts=acts),
            reached=self.reached.append,
            troubles=[],
            stopped=set(),
            disowned=set(),
            asked=lambda verb, target: False,
            in_flight=lambda *_: False,
            finishing=lambda _: False,
            running=lambda _: [],
            lives=lambda _: True,
            disk=SimpleNamespace(rows=lambda _: self.rows),
        )
        self.auditor = self.world.auditor = Auditor(cast(World, self.world))
        self.acts = self.world.acts = Acts(cast(World, self.world))

    def saw(self, *changes: Change) -> list[str]:
        """What the auditor has to say of a commit."""
        self.auditor.commit(changes)
        return self.auditor.violations

    def found(self, *rows: tuple[Any, ...], ended: bool = True) -> list[str]:
        """The verdict on these workflows."""
        self.rows = list(rows)
        return oracle.verdict(cast(World, self.world), ended)


def stand(status: str = "PENDING", epoch: int = 1, **more: Any) -> Standing:
    fields = dict.fromkeys(Standing._fields)
    known = {"owner": "other", "outcome": "-/-", "attempts": 1, "priority": 0, "sequence": 1, "name": "w"}
    finished = status in audit.FINISHED
    return Standing(**{**fields, **known, "status": status, "epoch": epoch, "completed": finished, **more})


def moved(old: Standing | None, new: Standing | None, workflow_id: str = "w") -> WorkflowChange:
    return WorkflowChange(workflow_id, old, new)


def claimed(queue: str, number: int, **more: Any) -> tuple[WorkflowChange, WorkflowChange]:
    """Enqueued, and taken."""
    waiting = stand("ENQUEUED", 0, queue=queue, sequence=number, **more)
    taken = waiting._replace(status="PENDING", epoch=1)
    return moved(None, waiting, f"w{number}"), moved(waiting, taken, f"w{number}")


def all_claimed(queue: str, count: int, **more: Any) -> list[str]:
    scene = Scene()
    for number in range(count):
        begun, taken = claimed(queue, number, **more)
        scene.saw(begun)
        scene.saw(taken)
    return scene.auditor.violations


def there(scene: Scene, **more: Any) -> Scene:
    scene.saw(moved(None, stand(**more)))
    return scene


def overtaken() -> list[str]:
    scene = Scene()
    first, _ = claimed("urgent", 1)
    second, taken = claimed("urgent", 2)
    return scene.saw(first, second) + scene.saw(taken)


def declared_dead() -> list[str]:
    scene = Scene()
    scene.saw(LeaseChange("other", "here", NOW_MS + 1))
    return scene.saw(LeaseChange("other", "here", NOW_MS - 1))


def taken_while_its_lease_lasts() -> list[str]:
    scene = there(Scene())
    scene.saw(LeaseChange("other", "there", NOW_MS + 1))
    return scene.saw(moved(stand(), stand(epoch=2, owner="me")))


def received_twice() -> list[str]:
    scene = there(Scene())
    return scene.saw(MessageChange("w", "m", 1), MessageChange("w", "m", 2))


def recorded_and_then(event: str) -> list[str]:
    scene = there(Scene())
    return scene.saw(StepChange("w", 1, "step", 1, "insert"), StepChange("w", 1, "step", 1, event))


def run_again() -> list[str]:
    scene = there(Scene())
    scene.saw(StepChange("w", 1, "step", 1, "insert"))
    World.step_begins(scene.world, "w", 1, 1)
    return scene.auditor.violations


def not_stopped() -> list[str]:
    scene = Scene()
    process = SimpleNamespace(name="executor-0", stop=lambda: None, fibres=[SimpleNamespace(name="dbos-journal")])
    scene.world.machine.sleep = lambda _: None
    scene.world._end = lambda *_: None
    World._stop(scene.world, cast(Any, process), 0)
    return cast("list[str]", scene.world.troubles)


def logged() -> list[str]:
    heard: list[str] = []
    _Listening(heard).emit(logging.LogRecord("dbos", logging.ERROR, "", 0, "A service failed", (), None))
    return heard


# ---------------------------------------------------------------- what clients see


def client(scene: Scene, **answers: Any) -> None:
    scene.world.client = SimpleNamespace(client=SimpleNamespace(**answers))


def begun(workflow: str, *args: Any, verb: str = "begin", target: str = "w") -> Act:
    return Act(0, 0.0, verb, target, {"workflow": workflow, "args": args})


def read(values: list[int]) -> list[str]:
    scene = Scene(acts=(begun("publish", 2),))
    client(scene, read_stream=lambda *_: values)
    scene.acts._read(scene.world.plan.acts[0], None)
    return scene.auditor.violations


def awaited() -> list[str]:
    scene = Scene(acts=(begun("add", (1, 2)),))
    client(scene, retrieve_workflow=lambda _: SimpleNamespace(get_result=lambda: "nonsense"))
    scene.acts._await(scene.world.plan.acts[0], None)
    return scene.auditor.violations


def refused() -> list[str]:
    def enqueue(*_: Any) -> None:
        raise DBOSQueueDeduplicatedError("holder", "plain", "x")

    scene = Scene()
    there(scene)
    scene.auditor.rows["holder"] = stand("SUCCESS")
    client(scene, enqueue=enqueue)
    with pytest.raises(DBOSQueueDeduplicatedError):
        scene.acts._enqueue(begun("add", (1,)))
    return scene.auditor.violations


def raised() -> list[str]:
    scene = Scene()
    scene.acts._perform("act", begun("add"), lambda: 1 / 0)
    return scene.auditor.violations


# ---------------------------------------------------------------- what is there at the end

CODEC = Serialization()


def row(workflow_id: str, name: str, args: tuple[Any, ...], output: Any, status: str = "SUCCESS") -> tuple[Any, ...]:
    inputs, codec = CODEC.encode_inputs(args, {})
    text, outcome_codec = CODEC.encode(output, "output")
    return workflow_id, name, status, inputs, codec, text, None, outcome_codec


def inbox(received: list[Any], arrived: tuple[int, ...] = ()) -> list[str]:
    scene = Scene()
    for number in arrived:
        scene.auditor.arrivals["inbox-1", f"key-{number}"] = len(scene.auditor.arrivals)
    scene.acts.sent["inbox-1"] = {f"key-{number}": number for number in arrived}
    return scene.found(row("inbox-1", "inbox", (len(received),), received))


def ticked(*seconds: int, born_ms: int = 10_000_000) -> list[str]:
    from datetime import UTC, datetime

    scene = Scene()
    rows = []
    for number, second in enumerate(seconds):
        scene.auditor.born_ms[f"t{number}"] = born_ms
        rows.append(row(f"t{number}", "tick", (datetime.fromtimestamp(second, UTC), None), None))
    return scene.found(*rows)


def accepted() -> list[str]:
    scene = Scene()
    scene.acts.accepted.add("w")
    return scene.found()


def judged(old: str | None, new: str, epochs: tuple[int, int] = (1, 1), outcomes: tuple[str, str] = ("-/-", "-/-"),
           completed: bool | None = None) -> list[str]:  # fmt: skip
    completed = new in audit.FINISHED if completed is None else completed
    return audit.judge("w", old, new, epochs[0], epochs[1], *outcomes, completed)


BREAKS: dict[str, Callable[[], list[str]]] = {
    "{}: no such transition": lambda: judged("SUCCESS", "PENDING", (1, 2)),
    "{}: completed_at does not fit the status": lambda: judged("PENDING", "SUCCESS", completed=False),
    "{}: the epoch should be {}": lambda: judged("PENDING", "ENQUEUED"),
    "{}: the outcome was written outside of finishing": lambda: judged("ERROR", "ENQUEUED", (1, 2), ("-/e", "1/-")),
    "stream {} of {}: {} at {} instead of {}": lambda: audit._judge_streams([("w", "k", 1, "a")]),
    "stream {} of {}: {} after its end": lambda: audit._judge_streams([("w", "k", 0, CLOSED_TEXT), ("w", "k", 1, "a")]),
    "{} has ended and keeps its deduplication id {}": lambda: Scene().saw(moved(None, stand("SUCCESS", slot="x"))),
    "{} is enqueued {} ms before its delay is over": lambda: there(
        Scene(), status="DELAYED", epoch=0, delay_until_ms=NOW_MS + 5
    ).saw(moved(stand("DELAYED", 0, delay_until_ms=NOW_MS + 5), stand("ENQUEUED", 1, delay_until_ms=NOW_MS + 5))),
    "{} is taken by {} from {}, whose lease lasts": taken_while_its_lease_lasts,
    "{} is cancelled, and neither was that asked for nor is its deadline over": lambda: there(Scene()).saw(
        moved(stand(), stand("CANCELLED", 2))
    ),
    "{} is claimed before {}, whose turn it was": overtaken,
    "{} workflows of queue {} run at once, {} may": lambda: all_claimed("narrow", 3),
    "{} workflows of partition {} run at once": lambda: all_claimed("parts", 2, partition="a"),
    "{} workflows of queue single run at once in {}": lambda: all_claimed("single", 2),
    "queue {} has started {} workflows within {} ms": lambda: all_claimed("rated", 3),
    "step {} of {} is recorded twice": lambda: recorded_and_then("insert"),
    "the checkpoint of step {} of {} changes": lambda: recorded_and_then("update"),
    "the checkpoint of step {} of {} is lost": lambda: recorded_and_then("delete"),
    "{} of {} is written, which does not exist": lambda: Scene().saw(StepChange("w", 1, "step", 1, "insert")),
    "{} of {} is written by epoch {}, but it is {} {}": lambda: there(Scene(), epoch=2).saw(
        StepChange("w", 1, "step", 1, "insert")
    ),
    "{} declares {} dead, which lives": declared_dead,
    "message {} of {} is received by two steps": received_twice,
    "stream {} of {} has {} values, and the next one is at {}": lambda: there(Scene()).saw(
        StreamChange("w", "k", 1, 1)
    ),
    "step {} of {} runs in epoch {}, recorded in {}": run_again,
    "{} has stopped and left running: {}": not_stopped,
    "logged: {}: {}": logged,
    "{} raised {}": raised,
    "{} is refused because of {}, which had ended": refused,
    "{} gave {} to whoever waited, which is none of {}": awaited,
    "a reader of {} sees {}": lambda: read([1, 0]),
    "a reader of {} sees {} values only, and then the end": lambda: read([0]),
    "no end: {} and {}": lambda: there(Scene()).found(ended=False),
    "{} was accepted and is not there": accepted,
    "{} came to {}, which is none of {}": lambda: Scene().found(row("w", "add", ((1, 2),), "nonsense")),
    "{} received {} twice: {}": lambda: inbox([1, 1]),
    "{} received {}, sent were {}": lambda: inbox([2, 1], arrived=(1, 2)),
    "{} received {} of one sender": lambda: inbox(["b", "a"]),
    "{} came {} ms too early": lambda: ticked(1_000, born_ms=999_999),
    "there are {} runs for second {}": lambda: ticked(1_000, 1_000),
    "there is no run for second {}": lambda: ticked(1_000, 1_002),
}


@pytest.mark.parametrize("sentence", BREAKS)
def test_a_rule_is_broken_and_noticed(sentence: str) -> None:
    complaints = BREAKS[sentence]()
    assert any(says(sentence, complaint) for complaint in complaints), complaints


def test_no_rule_is_left_out(record_property: Callable[[str, object], None]) -> None:
    assert sentences() == BREAKS.keys() | SHOWN_ELSEWHERE.keys() | PARTS_OF_OTHERS
    for test in SHOWN_ELSEWHERE.values():
        path, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), test
    record_property("rules", len(BREAKS) + len(SHOWN_ELSEWHERE))
