"""A consumer that a test runs twice: `python -m tests.support.kafka_consumer BROKER DATABASE_URL HOME`.

The first time it runs no workflow, and kills itself where it has recorded messages and would commit their offsets.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from dbos import DBOS, KafkaMessage
from dbos.services.dispatcher import Dispatcher
from dbos.services.kafka import KafkaConsumer
from tests.support.kafka import IMPATIENT

BROKER, DATABASE_URL, HOME = sys.argv[1], sys.argv[2], Path(sys.argv[3])

commit = KafkaConsumer._commit


def commit_or_die(consumer: KafkaConsumer, *arguments: Any) -> None:
    """The first process dies, the second commits when all its workflows are done."""
    if not (HOME / "died").exists():
        (HOME / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    commit(consumer, *arguments)
    while DBOS.list_workflows(status=["PENDING", "ENQUEUED"]):
        time.sleep(0.01)
    (HOME / "committed").touch()


@DBOS.kafka_consumer({"bootstrap.servers": BROKER, "group.id": "killed-group", **IMPATIENT}, ["killed"])
@DBOS.workflow()
def note(message: KafkaMessage) -> None:
    write_down((message.value or b"").decode())


@DBOS.step()
def write_down(line: str) -> None:
    ledger = os.open(HOME / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(ledger, f"{line}\n".encode())
    finally:
        os.close(ledger)


if __name__ == "__main__":
    KafkaConsumer._commit = commit_or_die  # type: ignore[assignment,method-assign]
    DBOS(config={"name": "kafka-app", "system_database_url": DATABASE_URL, "log_level": "ERROR"})
    if not (HOME / "died").exists():
        Dispatcher.poll = lambda _: 60.0  # type: ignore[assignment,method-assign]
    DBOS.launch()
    time.sleep(60)
