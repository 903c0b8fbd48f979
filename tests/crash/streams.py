"""Streams: written, closed and read, from bodies, steps and clients; each effect of each is a point to die at."""

from __future__ import annotations

import asyncio
from typing import Any

from dbos import DBOS, SetWorkflowID
from dbos.error import DBOSStreamClosedError, DBOSStreamTimeoutError
from tests.crash.ledger import Ledger
from tests.crash.scenario import Drive, scenario

WORDS = ["so", "it", "goes"]


@scenario(gives=[["so", "it", "goes"], ["it", "goes"], "goes", 3])
def written(ledger: Ledger) -> Drive:
    """A body writes each value once, whatever happens, and whoever follows sees each once."""

    @DBOS.step()
    def look_up(word: str) -> str:
        ledger.note()
        return word

    @DBOS.workflow()
    def speak() -> int:
        for word in WORDS:
            DBOS.write_stream("words", look_up(word))
        DBOS.close_stream("words")
        return len(WORDS)

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            count = DBOS.start_workflow(speak).get_result()
        words = list(DBOS.read_stream(run_id, "words"))
        rest = list(DBOS.read_stream(run_id, "words", offset=1))
        return [words, rest, DBOS.read_stream_offset(run_id, "words", 2), count]

    return drive


@scenario(gives=[["so", "it", "goes"], ["it", "goes"], "goes", 3])
def async_written(ledger: Ledger) -> Drive:
    """The same in async style, and never closed: the end of the workflow is the end."""

    @DBOS.step()
    async def look_up(word: str) -> str:
        ledger.note()
        return word

    @DBOS.workflow()
    async def speak() -> int:
        for word in WORDS:
            await DBOS.write_stream_async("words", await look_up(word))
        return len(WORDS)

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            count = await (await DBOS.start_workflow_async(speak)).get_result()
        words = [word async for word in DBOS.read_stream_async(run_id, "words")]
        rest = [word async for word in DBOS.read_stream_async(run_id, "words", offset=1)]
        return [words, rest, await DBOS.read_stream_offset_async(run_id, "words", 2), count]

    return drive


@scenario(gives=[["early", "late"], "DBOSStreamClosedError", True])
def closed(ledger: Ledger) -> Drive:
    """What comes after the end is refused, by the record if the body is run again; closing twice is fine."""

    @DBOS.workflow()
    def close_early() -> str:
        DBOS.write_stream("s", "early")
        DBOS.write_stream("s", "late")
        DBOS.close_stream("s")
        DBOS.close_stream("s")
        try:
            DBOS.write_stream("s", "too late")
        except DBOSStreamClosedError as problem:
            return type(problem).__name__
        return "written"

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            handle = DBOS.start_workflow(close_early)
        return [
            list(DBOS.read_stream(run_id, "s")),
            handle.get_result(),
            not [*DBOS.read_stream(run_id, "s", offset=3)],
        ]

    return drive


@scenario(gives=[[0, 1], ["first", "second"]])
def written_in_steps(ledger: Ledger) -> Drive:
    """A step that dies after its write writes again when it is run again: at least once, never out of order."""

    @DBOS.step()
    def work(name: str) -> str:
        ledger.note()
        DBOS.write_stream("done", name)
        return name

    @DBOS.workflow()
    def both() -> list[str]:
        return [work("first"), work("second")]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            names = DBOS.start_workflow(both).get_result()
        seen = list(DBOS.read_stream(run_id, "done"))
        return [sorted(names.index(name) for name in dict.fromkeys(seen)), list(dict.fromkeys(seen))]

    return drive


@scenario(gives=[["a", ("b", 2)], "a", "DBOSStreamTimeoutError"])
def read_by_a_workflow(ledger: Ledger) -> Drive:
    """What a body reads is recorded value by value, the end and the failures included."""

    @DBOS.workflow()
    def source() -> None:
        DBOS.write_stream("s", "a")
        DBOS.write_stream("s", ("b", 2))

    @DBOS.workflow()
    def sink() -> list[Any]:
        child = DBOS.start_workflow(source).workflow_id
        values = list(DBOS.read_stream(child, "s"))
        first = DBOS.read_stream_offset(child, "s", 0)
        try:
            return [values, first, DBOS.read_stream_offset(child, "s", 7)]
        except DBOSStreamTimeoutError as problem:
            return [values, first, type(problem).__name__]

    def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return sink()

    return drive


@scenario(gives=[[0, 1, 2, 3], [0, 10, 20, 30]])
def async_parallel(ledger: Ledger) -> Drive:
    """Writes side by side, in no order that a crash must keep, and a reader in a workflow of its own."""

    @DBOS.workflow()
    async def source() -> None:
        await asyncio.gather(
            *(DBOS.write_stream_async("ones", number) for number in range(4)),
            *(DBOS.write_stream_async("tens", 10 * number) for number in range(4)),
        )
        await asyncio.gather(*(DBOS.close_stream_async(key) for key in ("ones", "tens")))

    @DBOS.workflow()
    async def sink() -> list[list[int]]:
        child = (await DBOS.start_workflow_async(source)).workflow_id
        return [[value async for value in DBOS.read_stream_async(child, key)] for key in ("ones", "tens")]

    async def drive(run_id: str) -> Any:
        with SetWorkflowID(run_id):
            return [sorted(values) for values in await sink()]

    return drive
