"""What must hold when a world has come to rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbos.model.serialization import Serialization
from tests.simulation.program import Failure, expected

if TYPE_CHECKING:
    from tests.simulation.world import World

ROWS = (
    "select workflow_uuid, name, status, inputs, serialization, output, error, outcome_serialization from"
    " workflow_status order by sequence"
)
LATE_MS = 1_500  # after its second a tick counts as made up for
_codec = Serialization()


def verdict(world: World, ended: bool) -> list[str]:
    """Everything that is wrong with a world; nothing is as it should be."""
    found = [*world.auditor.violations, *world.machine.deaths, *world.troubles]
    if not ended:
        waiting = [f"{name} ({row.status})" for name, row in world.auditor.rows.items() if not row.completed]
        found.append(f"no end: {', '.join(waiting) or 'no workflow'} and {'; '.join(world.acts.open()) or 'no act'}")
    rows = world.disk.rows(ROWS)
    there = {row[0] for row in rows}
    lost = sorted(world.acts.accepted - there - world.auditor.interfered)
    found += [f"{workflow_id} was accepted and is not there" for workflow_id in lost]
    for row in rows:
        if row[2] in ("SUCCESS", "ERROR"):
            found += _outcome(world, *row)
    found += _ticks(world, [row for row in rows if row[1] == "tick"])
    return found


def _outcome(
    world: World,
    workflow_id: str,
    name: str,
    status: str,
    inputs: str,
    codec: str | None,
    output: str | None,
    error: str | None,
    outcome_codec: str | None,
) -> list[str]:
    args, _ = _codec.decode_inputs(inputs, codec)
    if status == "ERROR":
        failure = _codec.decode_error(error or "", outcome_codec)
        value: Any = str(failure) if isinstance(failure, Failure) else failure
    else:
        value = None if output is None else _codec.decode(output, outcome_codec)
    if name == "inbox":
        return _inbox(world, workflow_id, value)
    wanted = expected(name, args)
    interfered = workflow_id in world.auditor.interfered or name in ("family", "bequeath", "outbox")
    if wanted is None or (world.plan.jumps and name in ("nap", "bequeath")) or (status == "ERROR" and interfered):
        return []
    return [] if value in wanted else [f"{workflow_id} came to {value!r}, which is none of {wanted}"]


def _inbox(world: World, workflow_id: str, received: Any) -> list[str]:
    """Every message once, in the order of sending; none is missed that was there in time."""
    if isinstance(received, BaseException) or "-" not in workflow_id:
        return []
    found = []
    letters = [letter for letter in received if letter is not None]
    if None in received:
        world.reached("a receiver waits in vain")
    numbers = [letter for letter in letters if isinstance(letter, int)]
    others = [letter for letter in letters if not isinstance(letter, int)]
    if _has_senders_of_one_name(world, workflow_id):
        others = list(dict.fromkeys(others))
    twice = [letter for letter, count in Counter(numbers + others).items() if count > 1]
    if twice:
        found.append(f"{workflow_id} received {twice} twice: {received}")
    sent = world.acts.sent.get(workflow_id, {})
    order = [sent[key] for key in world.auditor.sent_in_order(workflow_id, list(sent)) if sent[key] in numbers]
    if order != [letter for letter in numbers if letter in order]:
        found.append(f"{workflow_id} received {numbers}, sent were {order}")
    if others != sorted(others):
        found.append(f"{workflow_id} received {others} of one sender")
    return found


def _has_senders_of_one_name(world: World, workflow_id: str) -> bool:
    """Was one deleted, perhaps to be begun anew, or forked before it sent? Each sends letters of its own."""
    senders = [act.target for act in world.plan.acts if (act.options.get("args") or [None])[0] == workflow_id]
    return any(world.asked(verb, sender) for verb in ("delete", "fork") for sender in senders)


def _ticks(world: World, rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """One run for every second, from the first to the last, and none before its time."""
    seconds: Counter[int] = Counter()
    found = []
    for workflow_id, _, _, inputs, codec, *_ in rows:
        (scheduled, _), _ = _codec.decode_inputs(inputs, codec)
        second = int(scheduled.timestamp())
        seconds[second] += 1
        late_ms = world.auditor.born_ms[workflow_id] - second * 1000
        if late_ms < 0 and not world.plan.jumps:
            found.append(f"{workflow_id} came {-late_ms} ms too early")
        if late_ms > LATE_MS:
            world.reached("a tick is made up for")
    found += [f"there are {count} runs for second {second}" for second, count in seconds.items() if count > 1]
    if seconds:
        missing = sorted(set(range(min(seconds), max(seconds) + 1)) - set(seconds))
        found += [f"there is no run for second {second}" for second in missing]
    return found
