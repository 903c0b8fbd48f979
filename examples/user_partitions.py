"""One task at a time for each user, and all users side by side: a queue with a partition per user.

python user_partitions.py
"""

from __future__ import annotations

import time

from dbos import DBOS, Queue, SetEnqueueOptions, WorkflowHandle

queue = Queue("uploads", partition_queue=True, concurrency=1)
log: list[str] = []


@DBOS.step()
def store(user: str, photo: str) -> None:
    log.append(f"{user} begins {photo}")
    time.sleep(0.02)
    log.append(f"{user} ends {photo}")


@DBOS.workflow()
def upload(user: str, photo: str) -> None:
    store(user, photo)


def on_upload(user: str, photo: str) -> WorkflowHandle[None]:
    with SetEnqueueOptions(queue_partition_key=user):
        return queue.enqueue(upload, user, photo)


def main() -> None:
    DBOS(config={"name": "partitions", "log_level": "WARNING"})
    DBOS.launch()
    users = ["ada", "bob"]
    handles = [on_upload(user, photo) for photo in ("sea", "hill") for user in users]
    for handle in handles:
        handle.get_result()
    for user in users:
        print(", ".join(line for line in log if line.startswith(user)))
    DBOS.destroy()


if __name__ == "__main__":
    main()
