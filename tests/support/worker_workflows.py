"""The application that worker processes run: workflows whose every step leaves a trace in the ledger."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from dbos import DBOS
from dbos.runtime.context import current_attempt
from tests.support.waiting import eventually_async
from tests.support.worker_ledger import Ledger

GATE_POLL_SECONDS = 0.002
GATE_TIMEOUT_SECONDS = 60.0

_ledger: Ledger | None = None


def keep_ledger(path: str) -> None:
    """From here on steps of this process write to that file."""
    global _ledger
    _ledger = Ledger(path)


class _Traced:
    """A step body leaves a line when it begins and another when it ends by itself."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._step = DBOS.workflow_id, DBOS.step_id
        attempt = current_attempt()
        self._epoch = 0 if attempt is None else attempt.epoch

    def __enter__(self) -> None:
        assert _ledger is not None
        _ledger.write("begin", *self._step, self._label, self._epoch)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert _ledger is not None
        if kind is None:
            _ledger.write("end", *self._step, self._label, self._epoch)


@DBOS.step()
def note(label: str, pause_ms: int = 0) -> str:
    """Do something that takes a while."""
    with _Traced(label):
        time.sleep(pause_ms / 1000)
    return label


@DBOS.step()
async def note_async(label: str, pause_ms: int = 0) -> str:
    """The same as a coroutine."""
    with _Traced(label):
        await asyncio.sleep(pause_ms / 1000)
    return label


@DBOS.step(retries_allowed=True, max_attempts=3, interval_seconds=0.005)
def charge(label: str) -> str:
    """Fails at its first attempt in every process that runs it."""
    with _Traced(label):
        status = DBOS.step_status
        if status is not None and status.current_attempt == 0:
            raise RuntimeError("the card reader was busy")
    return f"charged {label}"


@DBOS.step()
def hold(gate: str) -> int:
    """Wait for a file to appear; tells which process waited successfully."""
    with _Traced("hold"):
        _wait_for(Path(gate))
    return os.getpid()


@DBOS.step()
async def hold_async(gate: str) -> int:
    """The same as a coroutine."""
    with _Traced("hold"):
        await eventually_async(Path(gate).exists, GATE_TIMEOUT_SECONDS)
    return os.getpid()


def _wait_for(gate: Path) -> None:
    deadline = time.monotonic() + GATE_TIMEOUT_SECONDS
    while not gate.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(gate)
        time.sleep(GATE_POLL_SECONDS)


@DBOS.workflow()
def parcel(address: str) -> str:
    """A child: two steps."""
    return f"{note('pack')} and {note('label')} for {address}"


@DBOS.workflow()
async def parcel_async(address: str) -> str:
    """The same as a coroutine."""
    return f"{await note_async('pack')} and {await note_async('label')} for {address}"


@DBOS.workflow()
def doomed() -> None:
    """A child that fails."""
    note("try")
    raise ValueError("no stock")


@DBOS.workflow()
def order(customer: str) -> list[str]:
    """Every kind of recorded call: steps, retries, sleep, children called, started and failing, a nameless step."""
    told = [note("reserve"), charge("card")]
    DBOS.sleep(0.01)
    told.append(parcel(customer))
    handle = DBOS.start_workflow(parcel, f"friend of {customer}")
    told.append(handle.get_result())
    try:
        doomed()
    except ValueError as error:
        told.append(str(error))
    told.append(DBOS.run_step({"name": "thank"}, note, "thank"))
    return told


@DBOS.workflow()
async def order_async(customer: str) -> list[str]:
    """The same for coroutines, with steps side by side."""
    told = [await note_async("reserve")]
    told += await asyncio.gather(*(note_async(f"part {number}") for number in range(3)))
    await DBOS.sleep_async(0.01)
    told.append(await parcel_async(customer))
    handle = await DBOS.start_workflow_async(parcel_async, f"friend of {customer}")
    told.append(await handle.get_result())
    told.append(await DBOS.run_step_async({"name": "thank"}, note_async, "thank"))
    return told


@DBOS.workflow()
def gated(gate: str) -> int:
    """Stands in the middle of its second step until the gate is there; tells which process got through."""
    note("before")
    winner = hold(gate)
    note("after")
    return winner


@DBOS.workflow()
def linger(gates: str) -> int:
    """Stands in its body, after its last step, at a gate for each process; tells which process returned."""
    note("only")
    with _Traced("linger"):
        _wait_for(Path(f"{gates}-{os.getpid()}"))
    return os.getpid()


@DBOS.workflow()
def walk(steps: int, pause_ms: int = 0, gate: str | None = None) -> int:
    """Many small steps, the last of them at a gate if there is one; tells which process came to the end."""
    for number in range(steps):
        note(f"step {number}", pause_ms)
    if gate is not None:
        hold(gate)
    return os.getpid()


@DBOS.workflow()
async def walk_async(steps: int, pause_ms: int = 0, gate: str | None = None) -> int:
    """The same as a coroutine."""
    for number in range(steps):
        await note_async(f"step {number}", pause_ms)
    if gate is not None:
        await hold_async(gate)
    return os.getpid()


@DBOS.workflow()
def doze(seconds: float) -> int:
    """Sleep for long, durably."""
    note("fall asleep")
    DBOS.sleep(seconds)
    return os.getpid()


@DBOS.workflow()
async def doze_async(seconds: float) -> int:
    """The same as a coroutine, of which there can be very many."""
    await DBOS.sleep_async(seconds)
    return os.getpid()


@DBOS.workflow()
def collect(count: int, topic: str | None = None) -> list[Any]:
    """Receive so many messages, and publish each."""
    found = []
    for number in range(count):
        found.append(DBOS.recv(topic, 120))
        DBOS.set_event(f"got {number}", found[-1])
    return found


@DBOS.workflow()
async def collect_async(count: int, topic: str | None = None) -> list[Any]:
    """The same as a coroutine."""
    found = []
    for number in range(count):
        found.append(await DBOS.recv_async(topic, 120))
        await DBOS.set_event_async(f"got {number}", found[-1])
    return found


@DBOS.workflow()
def relay(count: int) -> None:
    """Pass on so many messages as values of a stream, and publish how many."""
    for _ in range(count):
        DBOS.write_stream("relayed", DBOS.recv(None, 120))
    DBOS.set_event("relayed", count)


@DBOS.workflow()
async def relay_async(count: int) -> None:
    """The same as a coroutine."""
    for _ in range(count):
        await DBOS.write_stream_async("relayed", await DBOS.recv_async(None, 120))
    await DBOS.set_event_async("relayed", count)


@DBOS.workflow()
def await_by(way: str, target: str) -> Any:
    """Wait for another workflow in one of the ways there are, or sleep for half a second."""
    if way == "wait_first":
        return DBOS.wait_first([DBOS.retrieve_workflow(target)]).workflow_id
    if way == "read_stream":
        return list(DBOS.read_stream(target, "relayed"))
    if way == "get_event":
        return DBOS.get_event(target, "relayed", 120)
    if way == "sleep":
        begun = time.monotonic()
        DBOS.sleep(0.5)
        return time.monotonic() - begun
    return DBOS.get_result(target)


@DBOS.workflow()
async def await_by_async(way: str, target: str) -> Any:
    """The same as a coroutine."""
    if way == "wait_first":
        return (await DBOS.wait_first_async([await DBOS.retrieve_workflow_async(target)])).workflow_id
    if way == "read_stream":
        return [value async for value in DBOS.read_stream_async(target, "relayed")]
    if way == "get_event":
        return await DBOS.get_event_async(target, "relayed", 120)
    if way == "sleep":
        begun = time.monotonic()
        await DBOS.sleep_async(0.5)
        return time.monotonic() - begun
    return await DBOS.get_result_async(target)


POISON_ATTEMPTS = 2


@DBOS.workflow(max_recovery_attempts=POISON_ATTEMPTS)
def poison(how: str) -> None:
    """End the process, every time: by a signal of that name, or by leaving at once."""
    note("swallow")
    with _Traced("swallowed"):
        if how == "exit":
            os._exit(3)
        os.kill(os.getpid(), signal.Signals[how])
        time.sleep(GATE_TIMEOUT_SECONDS)  # another thread may be the one that it strikes, in a moment


@DBOS.workflow()
def chime(scheduled_time: datetime, context: object) -> None:
    """What a schedule runs."""
    note("chime")


@DBOS.workflow()
def jot(label: str) -> str:
    """One step."""
    return note(label)


WORKFLOWS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        parcel,
        doomed,
        order,
        order_async,
        gated,
        linger,
        walk,
        walk_async,
        doze,
        doze_async,
        collect,
        collect_async,
        relay,
        relay_async,
        await_by,
        await_by_async,
        poison,
    )
}
