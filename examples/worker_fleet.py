"""A fleet: one process takes orders, two workers carry them out, and one of these dies by SIGKILL in the middle.

The process that enqueues has a client and runs no workflow. At most four orders are carried out at a time, whichever
worker does it; what the dead worker had begun goes back to the queue and is carried out by the other one.

    python worker_fleet.py sqlite:///fleet.sqlite
    python worker_fleet.py postgresql://user:password@host:5432/database
"""

from __future__ import annotations

import subprocess
import sys
import time

from dbos import DBOS, DBOSClient, EnqueueOptions, Queue, WorkflowHandle

ORDERS = 40
AT_A_TIME = 4

queue = Queue("orders", concurrency=AT_A_TIME)


@DBOS.step()
def pack(order: int) -> str:
    time.sleep(0.2)
    return f"parcel {order}"


@DBOS.workflow(name="carry_out")
def carry_out(order: int) -> str:
    return pack(order)


def work(database_url: str, name: str) -> None:
    """A worker: launch, serve the queue, and wait to be ended."""
    DBOS(
        config={
            "name": "fleet",
            "system_database_url": database_url,
            "executor_id": name,
            "application_version": "1",
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    print("ready", flush=True)
    sys.stdin.read()  # until whoever started us closes it
    DBOS.destroy()


def start_worker(database_url: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, database_url, name]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def take_orders(client: DBOSClient) -> list[WorkflowHandle[str]]:
    options: EnqueueOptions = {"workflow_name": "carry_out", "queue_name": "orders"}
    return [client.enqueue({**options, "workflow_id": f"order-{number}"}, number) for number in range(ORDERS)]


def watch(client: DBOSClient, victim: subprocess.Popen[str]) -> int:
    """Kill the victim when a quarter is done; how many orders were under way at a time, at the most."""
    most = 0
    while unfinished := client.list_queued_workflows(queue_name="orders"):
        most = max(most, sum(each.status == "PENDING" for each in unfinished))
        if victim.poll() is None and len(unfinished) <= ORDERS * 3 // 4:
            victim.kill()
            victim.wait()
        time.sleep(0.01)
    return most


def main(database_url: str) -> None:
    workers = [start_worker(database_url, name) for name in ("first", "second")]
    try:
        with DBOSClient(system_database_url=database_url) as client:
            handles = take_orders(client)
            most = watch(client, workers[0])
            parcels = [handle.get_result() for handle in handles]
            print(f"{len(set(parcels))} parcels, from {parcels[0]} to {parcels[-1]}")
            print(f"never more than {AT_A_TIME} at a time" if most <= AT_A_TIME else f"{most} at a time!")
            print(f"one worker was killed, with status {workers[0].returncode}; the other one carried on")
    finally:
        for worker in workers:
            worker.communicate()  # closes its input, which ends it


if __name__ == "__main__":
    if len(sys.argv) == 3:
        work(sys.argv[1], sys.argv[2])
    else:
        main(sys.argv[1] if len(sys.argv) == 2 else "sqlite:///fleet.sqlite")
