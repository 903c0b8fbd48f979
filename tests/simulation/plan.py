"""What happens in a world: what clients do, and what goes wrong. All of it is drawn from the seed before it begins.

So a plan can be thinned: a failure that needs none of what is left out is a smaller failure.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

QUIET_AT_SECONDS = 4.0  # by then everything has gone wrong that will
LEASE_SECONDS = 2.0
HOSTS = ("host-1", "host-1", "host-2")  # on which the executors run


@dataclass(frozen=True, slots=True)
class Act:
    """Something a client does."""

    number: int
    at: float  # seconds after the beginning
    verb: str
    target: str  # the workflow that it makes, or is about
    options: dict[str, Any]

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"act {self.number:3} at {self.at:6.3f} s  {self.verb} {self.target} {options}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong."""

    number: int
    kind: str
    executor: int
    at: float  # seconds after the beginning, or for what strikes at a request of the executor, which one
    about: str = ""  # counted are only requests about this
    lasts: float = 0.0  # seconds
    size: float = 0.0

    def __str__(self) -> str:
        return (
            f"fault {self.number:3} {self.kind} of executor {self.executor} at {self.at:g} {self.about},"
            f" {self.lasts:g} s, size {self.size:g}"
        )


AT_REQUESTS = ("crash before", "crash after", "lose request", "lose reply", "delay")
"""These strike at the executor's request of a number, the others at a time."""

SUBJECTS = (
    "StartWorkflow", "FinishWorkflow", "FinishWorkflow", "Checkpoint", "SendMessage", "ReceiveMessage", "ScheduleFired",
    "claim", "transaction", "register_executor",
)  # fmt: skip
EFFECTS = "adopted", "adopted", "claimed", "ticked"  # known by the time of the reply


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that makes a run."""

    seed: int
    executors: int
    acts: tuple[Act, ...]
    faults: tuple[Fault, ...]
    disorder: int | None = None  # how many choices of the schedule are left to the seed

    @property
    def jumps(self) -> bool:
        """Are clocks set?"""
        return any(fault.kind == "jump" for fault in self.faults)

    def thinned(self, acts: Sequence[Act], faults: Sequence[Fault]) -> Plan:
        """The same with less in it."""
        return replace(self, acts=tuple(acts), faults=tuple(faults))


def plan_of(seed: int) -> Plan:
    """Draw a plan."""
    chance = random.Random(f"plan {seed}")
    executors = chance.choice((1, 2, 2, 3, 3))
    finish = chance.randrange(executors) if chance.random() < 0.15 else None
    acts = _Acts(chance).draw(finish)
    return Plan(seed, executors, tuple(acts), tuple(_faults(chance, executors, finish)))


# ---------------------------------------------------------------- what clients do

QUEUES = ("plain", "narrow", "single", "rated", "parts", "urgent", "kept")
STARTS = ("add", "add_async", "family", "stubborn", "failing", "nap", "publish", "patient", "bequeath")


class _Acts:
    """Draws what clients do, of kinds that this seed prefers."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._acts: list[Act] = []
        self._made: list[str] = []
        self._liked = chance.sample(STARTS, chance.randint(2, 5))
        self._queues = chance.sample(QUEUES, chance.randint(1, 3))

    def draw(self, finish: int | None) -> list[Act]:
        """`finish`: the executor in which a workflow is cancelled while it ends."""
        chance = self._chance
        if finish is not None:
            name = self._begin("add", 0.15, executor=finish)
            self._add("cancel", name, chance.uniform(0.4, 0.9), executor=chance.randrange(3))
            self._add("resume", name, chance.uniform(0.8, 1.2), executor=chance.randrange(3))
        for _ in range(chance.randint(3, 8)):
            self._begin(chance.choice(self._liked))
        for likelihood, story in (
            (0.5, self._letters),
            (0.35, self._broadcast),
            (0.3, self._ticks),
            (0.3, self._slots),
            (0.25, self._bounces),
            (0.15, self._widen),
            (0.15, self._short_lived),
            (0.15, self._second_try),
        ):
            if chance.random() < likelihood:
                story()
        for _ in range(chance.choice((0, 1, 2, 3, 5))):
            self._steer()
        self._acts.sort(key=lambda act: act.at)
        return [replace(act, number=number) for number, act in enumerate(self._acts)]

    def _add(self, verb: str, target: str, at: float | None = None, **options: Any) -> None:
        at = self._chance.uniform(0.0, 0.8 * QUIET_AT_SECONDS) if at is None else at
        self._acts.append(Act(0, at, verb, target, options))

    def _name(self, kind: str) -> str:
        name = f"{kind}-{len(self._made)}"
        self._made.append(name)
        return name

    def _arguments(self, workflow: str) -> tuple[Any, ...]:
        chance = self._chance
        if workflow in ("add", "add_async", "family"):
            return (tuple(chance.randint(1, 9) for _ in range(chance.randint(1, 4))),)
        if workflow in ("nap", "patient"):
            return (round(chance.uniform(0.1, 1.5), 3) if workflow == "nap" else 60.0,)
        return (chance.randint(1, 3),)

    def _begin(self, workflow: str, at: float | None = None, **more: Any) -> str:
        chance = self._chance
        name = self._name(workflow)
        at = chance.uniform(0.0, 0.8 * QUIET_AT_SECONDS) if at is None else at
        options: dict[str, Any] = {"workflow": workflow, "args": self._arguments(workflow), **more}
        if workflow == "patient" or chance.random() < (0.3 if workflow == "family" else 0.1):
            options.setdefault("timeout", round(chance.uniform(0.3, 2.0), 3))
        if chance.random() < 0.55 and "queue" not in options and "executor" not in options:
            options["queue"] = chance.choice(self._queues)
        queue = options.get("queue")
        if queue is not None:
            if queue == "parts":
                options["partition"] = chance.choice("ab")
            if queue == "urgent":
                options["priority"] = chance.randint(1, 3)
            elif queue != "parts" and chance.random() < 0.2:
                options["slot"] = chance.choice("xy")
            if chance.random() < 0.2:
                options["delay"] = round(chance.uniform(0.1, 1.5), 3)
                if chance.random() < 0.2:
                    self._add("hurry", name, at + 0.1 * chance.random())
        options.setdefault("executor", chance.randrange(3))
        options["twice"] = chance.random() < 0.15
        self._add("begin", name, at, **options)
        return name

    def _letters(self) -> None:
        chance = self._chance
        count = chance.randint(1, 4)
        at = chance.uniform(0, 2)
        name = self._begin("inbox", at, args=(count,))
        if chance.random() < 0.3:
            self._begin("outbox", at + 0.3, args=(name, count))
        for number in range(count if chance.random() < 0.8 else count - 1):
            self._add("send", name, at + chance.uniform(0, 2), message=number, executor=chance.randrange(3))

    def _broadcast(self) -> None:
        chance = self._chance
        at = chance.uniform(0, 2)
        name = self._begin("publish", at)
        for _ in range(chance.randint(1, 2)):
            self._begin("follow", at + chance.uniform(0, 1), args=(name,))
        self._add("read", name, at + chance.uniform(0.05, 1))

    def _ticks(self) -> None:
        at = self._chance.uniform(0, 1)
        self._add("schedule", "clockwork", at)
        if self._chance.random() < 0.3:
            self._add("pause", "clockwork", at + 1.2)
            self._add("unpause", "clockwork", at + 2.5)
        self._add("unschedule", "clockwork", QUIET_AT_SECONDS + 1.5)

    def _slots(self) -> None:
        """Several want the same deduplication id, one after the other."""
        chance = self._chance
        queue = chance.choice(("plain", "narrow", "single"))
        for _ in range(chance.randint(2, 4)):
            self._begin("add", None, queue=queue, slot="contested")

    def _bounces(self) -> None:
        chance = self._chance
        at = chance.uniform(0, 2)
        for number in range(chance.randint(2, 4)):
            self._add("bounce", "bounced", at + number * chance.uniform(0.01, 0.3), value=number)

    def _short_lived(self) -> None:
        """A deadline comes while children wait that inherit it."""
        self._begin("family", args=((1, 2, 3, 4),), timeout=0.3)

    def _second_try(self) -> None:
        name = self._begin("failing", 0.3)
        self._add("resume", name, 1 + self._chance.random(), executor=self._chance.randrange(3))

    def _widen(self) -> None:
        self._add("widen", "kept", concurrency=self._chance.choice((1, 3)))

    def _steer(self) -> None:
        chance = self._chance
        name = chance.choice(self._made)
        at = next(act.at for act in self._acts if act.target == name) + chance.choice((0.02, 0.1, 0.5, 1.5)) * (
            chance.random()
        )
        verb = chance.choice(("cancel", "cancel", "resume", "fork", "delete", "await", "hurry"))
        self._add(verb, name, at, executor=chance.randrange(3), step=chance.randint(1, 3))
        if verb == "cancel" and chance.random() < 0.6:
            self._add("resume", name, at + chance.uniform(0, 1), executor=chance.randrange(3), step=1)


# ---------------------------------------------------------------- what goes wrong

Draw = Callable[[random.Random], dict[str, Any]]


def _which(chance: random.Random, subjects: Sequence[str] = SUBJECTS) -> dict[str, Any]:
    """Which request: one of all, or one of the first about something."""
    if chance.random() < 0.4:
        return {"at": chance.randint(1, 150)}
    return {"about": chance.choice(subjects), "at": chance.choice((1, 1, 2, 3, 5))}


def _which_reply(chance: random.Random) -> dict[str, Any]:
    return _which(chance, (*SUBJECTS, *EFFECTS))


KINDS: dict[str, Draw] = {
    "crash before": lambda chance: {**_which(chance), "lasts": chance.choice((0.05, 0.5, 2.5))},
    "crash after": lambda chance: {**_which_reply(chance), "lasts": chance.choice((0.05, 0.5, 2.5))},
    "lose request": _which,
    "lose reply": _which_reply,
    "delay": lambda chance: {**_which(chance), "lasts": chance.uniform(0.05, 2.5)},
    "freeze": lambda chance: {"at": chance.uniform(0, 3), "lasts": chance.choice((0.2, 1.5, 2.5, 3.5))},
    "deafen": lambda chance: {"at": chance.uniform(0, 3), "lasts": chance.uniform(0.5, 4)},
    "stop": lambda chance: {"at": chance.uniform(0.3, 4), "lasts": chance.choice((0.05, 1.0))},
    "disown": lambda chance: {"at": chance.uniform(0.3, 4)},
    "jump": lambda chance: {"at": chance.uniform(0.3, 4), "size": chance.choice((-2.0, -2.0, 1.0, 3.0, 70.0))},
}
RARITIES = (
    ("lose reply", "SendMessage"),
    ("lose reply", "SendMessage"),
    ("lose reply", "ReceiveMessage"),
    ("lose reply", "ReceiveMessage"),
    ("lose reply", "Checkpoint"),
    ("lose reply", "FinishWorkflow"),
    ("lose reply", "ticked"),
    ("lose reply", "ticked"),
    ("lose reply", "ticked"),
    ("lose reply", "SendMessage"),
    ("lose reply", "StartWorkflow"),
    ("lose reply", "claimed"),
    ("crash after", "Checkpoint"),
    ("crash after", "FinishWorkflow"),
    ("crash after", "claimed"),
    ("crash before", "Checkpoint"),
    ("crash before", "FinishWorkflow"),
    ("crash before", "register_executor"),
)
"""What is seldom enough to be helped along."""


def _faults(chance: random.Random, executors: int, finish: int | None) -> list[Fault]:
    liked = chance.sample([*KINDS], chance.randint(1, 4))
    if "jump" in liked and chance.random() < 0.3:  # it excuses much
        liked.remove("jump")
    count = chance.choice((0, 1, 1, 2, 2, 3, 4, 6)) if liked else 0
    found = []
    for _ in range(count):
        kind = chance.choice(liked)
        found.append(Fault(0, kind, chance.randrange(executors), **KINDS[kind](chance)))
    if finish is not None:
        found.append(Fault(0, "delay", finish, 1, "FinishWorkflow", chance.uniform(0.5, 2)))
    if chance.random() < 0.6:
        kind, about = chance.choice(RARITIES)
        found.append(Fault(0, kind, chance.randrange(executors), chance.choice((1, 2, 4)), about, 0.5))
    if executors > 1 and chance.random() < 0.15:  # one dies, and so does its heir, or knows nothing of its luck
        testator, heir = chance.sample(range(executors), 2)
        found.append(Fault(0, "crash before", testator, chance.randint(30, 120), "", 2.5))
        found.append(Fault(0, chance.choice(("crash after", "lose reply")), heir, 1, "adopted", 0.5))
    if executors > 1 and chance.random() < 0.12:  # a zombie, in the midst of something
        zombie = chance.randrange(executors)
        found.append(Fault(0, "freeze", zombie, chance.uniform(0.3, 2.5), "", 3.5))
        found.append(Fault(0, "delay", zombie, chance.choice((2, 4, 6)), "Checkpoint", 3.5))
    return [replace(fault, number=number) for number, fault in enumerate(found)]
