"""A workflow that runs by the clock: once per tick, however many processes there are."""

import os
import threading
from contextlib import suppress
from datetime import datetime

from dbos import DBOS, DBOSConfig


@DBOS.step()
def report(moment: str) -> None:
    print(f"It was {moment} o'clock", flush=True)


@DBOS.scheduled("* * * * * *")  # seconds come first: every second
@DBOS.workflow()
def tick(scheduled: datetime, actual: datetime) -> None:
    report(f"{scheduled:%H:%M:%S}")


if __name__ == "__main__":
    config: DBOSConfig = {
        "name": "project-name",
        "system_database_url": os.environ.get("DBOS_SYSTEM_DATABASE_URL"),
    }
    DBOS(config=config)
    DBOS.launch()
    with suppress(KeyboardInterrupt):
        threading.Event().wait()  # until it is interrupted
    DBOS.destroy()
