"""A bit of everything: steps, a workflow, a queue and a schedule."""

import os
import sys
from datetime import datetime

from dbos import DBOS, DBOSConfig, Queue

queue = Queue("greetings", concurrency=2)


@DBOS.step()
def look_up(name: str) -> str:
    return name.title()  # in earnest: a request, a query, a call of a model


@DBOS.workflow()
def greet(name: str) -> str:
    return f"Hello, {look_up(name)}!"


@DBOS.workflow()
def greet_all(names: list[str]) -> list[str]:
    handles = [queue.enqueue(greet, name) for name in names]
    return [handle.get_result() for handle in handles]


@DBOS.scheduled("*/5 * * * *")
@DBOS.workflow()
def every_five_minutes(scheduled: datetime, actual: datetime) -> None:
    DBOS.logger.info("It is %s", scheduled)


if __name__ == "__main__":
    config: DBOSConfig = {
        "name": "project-name",
        "system_database_url": os.environ.get("DBOS_SYSTEM_DATABASE_URL"),
    }
    DBOS(config=config)
    DBOS.launch()
    for greeting in greet_all(sys.argv[1:] or ["ada", "grace"]):
        print(greeting)
    DBOS.destroy()
