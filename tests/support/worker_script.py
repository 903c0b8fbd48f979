"""A program of its own interpreter, for tests of how one ends.

    python -m tests.support.worker_script MODE URL LEDGER GATE [SECONDS that its sleeper sleeps, by default an hour]

It launches, starts work, says `ready`, waits for a line, and comes to its end in one of these modes:

- `leave`: the main function returns, with workflows of both colours running, and without `DBOS.destroy()`;
- `destroy`: the same, with it;
- `call`: it is in the middle of a direct call of a workflow, where a signal finds it;
- `call_async`: the same on an event loop.
"""

from __future__ import annotations

import asyncio
import select
import sys
from typing import Any

from dbos import DBOS, SetWorkflowID
from tests.support import worker_workflows as application

LOOK_SECONDS = 0.1


def main(mode: str, url: str, ledger: str, gate: str, sleep_seconds: str = "3600") -> None:
    application.keep_ledger(ledger)
    DBOS(
        config={
            "name": "test-app",
            "application_version": "1",
            "system_database_url": url,
            "log_level": "CRITICAL",
        }
    )
    DBOS.launch()
    if mode in ("leave", "destroy"):
        leave(gate, float(sleep_seconds))
        if mode == "destroy":
            DBOS.destroy()
    elif mode == "call":
        with SetWorkflowID("gated"):
            application.gated(gate)
    else:
        asyncio.run(call_async(gate))


def leave(gate: str, sleep_seconds: float) -> None:
    walk = 50, 20, gate
    work: dict[str, tuple[Any, ...]] = {"gated": (gate,), "walk": walk, "walk_async": walk, "doze": (sleep_seconds,)}
    for name, arguments in work.items():
        with SetWorkflowID(name):
            DBOS.start_workflow(application.WORKFLOWS[name], *arguments)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], LOOK_SECONDS)[0]:
        pass  # a signal just before this waits is seen by the next look; reading would not return
    sys.stdin.readline()


async def call_async(gate: str) -> None:
    with SetWorkflowID("walk_async"):
        await application.walk_async(60, 10, gate)


if __name__ == "__main__":
    main(*sys.argv[1:])
