"""Drain enqueued no-op workflows in one process: `ours.py URL COUNT async|sync`, and with `fill` to enqueue them first.

Prints the seconds from before the launch, and from the first body, until the last body has returned and nothing of the
queue is ENQUEUED or PENDING any more.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from dbos import DBOS, DBOSClient

url, count, colour = sys.argv[1], int(sys.argv[2]), sys.argv[3]
counting = threading.Lock()
left = count
begun = 0.0
nothing_left = threading.Event()


def count_down() -> None:
    global left, begun
    with counting:
        begun = begun or time.perf_counter()
        left -= 1
        if left == 0:
            nothing_left.set()


@DBOS.workflow()
def blocking_job() -> None:
    count_down()


@DBOS.workflow()
async def async_job() -> None:
    count_down()


def construct() -> None:
    DBOS(config={"name": "benchmark", "system_database_url": url, "log_level": "ERROR"})


def fill() -> None:
    construct()
    DBOS.listen_queues([])
    DBOS.launch()
    DBOS.register_queue("jobs")
    function = {"sync": blocking_job, "async": async_job}[colour]
    client = DBOSClient(system_database_url=url)
    client.enqueue_bulk([({"workflow_name": function.__qualname__, "queue_name": "jobs"}, ())] * count)


def drain() -> None:
    started = time.perf_counter()
    construct()
    DBOS.launch()
    nothing_left.wait()
    while DBOS.list_workflows(queue_name="jobs", status=["ENQUEUED", "PENDING"], limit=1):
        time.sleep(0.01)
    ended = time.perf_counter()
    print(json.dumps([ended - started, ended - begun]), flush=True)


fill() if sys.argv[4:] == ["fill"] else drain()
sys.stderr.flush()
os._exit(0)  # how long it takes to shut down is not the question
