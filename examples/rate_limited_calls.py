"""Calls to a service that takes no more than five in half a second: a queue with a rate limit keeps to that.

The limit holds over all processes that serve the queue, by the clock of the database.

    python rate_limited_calls.py
"""

from __future__ import annotations

from dbos import DBOS, Queue, WorkflowHandle

LIMIT, PERIOD_SECONDS = 5, 0.5

queue = Queue("translations", limiter={"limit": LIMIT, "period": PERIOD_SECONDS})


@DBOS.step()
def translate(word: str) -> str:
    return word[::-1]  # in earnest: a call that costs money


def most_at_once(handles: list[WorkflowHandle[str]]) -> int:
    """How many of the calls began within one period, at the worst."""
    starts = sorted(status.dequeued_at or 0 for status in (handle.get_status() for handle in handles))
    return max(sum(start <= other < start + PERIOD_SECONDS * 1000 for other in starts) for start in starts)


def main() -> None:
    DBOS(config={"name": "rate-limited", "log_level": "WARNING"})
    DBOS.launch()
    handles = [queue.enqueue(translate, word) for word in ["lager", "stressed", "drawer", "reward"] * 3]
    words = [handle.get_result() for handle in handles]
    print(f"{len(words)} calls, from {words[0]} to {words[-1]}; within {PERIOD_SECONDS} s never more than", end=" ")
    print(LIMIT if most_at_once(handles) <= LIMIT else "it should be")
    DBOS.destroy()


if __name__ == "__main__":
    main()
