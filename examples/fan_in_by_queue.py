"""Fan out by a queue and gather again: a workflow enqueues one child per page, at most five of which run at a time.

The queue may be served by as many processes as there are; the workflow that waits does not care where its children ran,
and after a crash it finds those again that it had enqueued.

    python fan_in_by_queue.py
"""

from __future__ import annotations

import time

from dbos import DBOS, Queue, SetWorkflowID

PAGES = [f"page-{number}" for number in range(1, 21)]

queue = Queue("pages", concurrency=5)


@DBOS.step()
def download(page: str) -> str:
    time.sleep(0.01)  # in earnest: an HTTP request
    return f"{page}: " + "word " * int(page.removeprefix("page-"))


@DBOS.workflow()
def count_words(page: str) -> int:
    return len(download(page).split()) - 1


@DBOS.workflow()
def survey(pages: list[str]) -> int:
    handles = [queue.enqueue(count_words, page) for page in pages]
    return sum(handle.get_result() for handle in handles)


def main() -> None:
    DBOS(config={"name": "fan-in", "log_level": "WARNING"})
    DBOS.launch()
    with SetWorkflowID("survey"):
        words = survey(PAGES)
    children = DBOS.list_workflows(parent_workflow_id="survey")
    print(f"{words} words on {len(children)} pages, the first counted by workflow {children[0].workflow_id}")
    DBOS.destroy()


if __name__ == "__main__":
    main()
