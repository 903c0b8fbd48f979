"""The rare states that a campaign has to come through: a run that never met them has proved nothing about them."""

from __future__ import annotations

from collections import Counter

NAMES = (
    # ------------------------------------------------------------ unknown commits
    "the reply to a start is lost",
    "the reply to a checkpoint is lost",
    "the reply to an outcome is lost",
    "the reply to a message is lost",
    "the reply to a receipt is lost",
    "the reply to a claim is lost",
    "the reply to an adoption is lost",
    "the reply to a tick is lost",
    "a request is lost on its way",
    # ------------------------------------------------------------ crashes
    "a crash before a checkpoint arrives",
    "a crash after a checkpoint",
    "a crash before an outcome arrives",
    "a crash after an outcome",
    "a crash after a claim",
    "a crash after an adoption",
    "a crash while launching",
    "an executor crashes twice",
    "no executor lives",
    # ------------------------------------------------------------ zombies
    "a checkpoint of a zombie is refused",
    "an outcome of a zombie is refused",
    "a zombie begins a step",
    "a process wakes up after its lease",
    "a takeover meets a commit in flight",
    "a workflow runs in two processes at once",
    # ------------------------------------------------------------ recovery
    "a workflow is adopted",
    "a workflow is adopted twice",
    "an executor adopts its own orphan",
    "a workflow goes back to its queue",
    "an executor is declared dead by a neighbour",
    "a lost lease is begun anew",
    "a stopped executor leaves work to others",
    "a replay goes on in the middle",
    "a workflow is taken from a living executor",
    # ------------------------------------------------------------ steering
    "a cancellation meets a finish in flight",
    "a checkpoint of a cancelled workflow is refused",
    "a cancelled workflow is resumed",
    "a failed workflow is resumed",
    "a workflow is resumed while its old attempt runs",
    "a running workflow is resumed",
    "an unfinished workflow is forked",
    "a finished workflow is forked",
    "a running workflow is deleted",
    "a deadline ends a running workflow",
    "a deadline ends a waiting workflow",
    "a deadline ends the workflow of another process",
    # ------------------------------------------------------------ queues
    "a queue is full",
    "a partition is full",
    "a worker is full",
    "a rate limit is exhausted",
    "a start at the edge of a rate window",
    "a priority overtakes an earlier arrival",
    "a delay is over",
    "a delay is cut short",
    "a deduplication id is refused",
    "a deduplication id is taken again",
    "a deduplication id is freed by a cancellation",
    "a deduplication id is freed after a recovery",
    "a call of a debouncer replaces another",
    # ------------------------------------------------------------ the rest
    "several callers share a batch",
    "twins start the same workflow",
    "two schedulers meet at a tick",
    "a tick is made up for",
    "a hint is lost",
    "a receiver waits in vain",
    "a clock jumps forward",
    "a clock jumps back",
)


class Reached:
    """Which of them a run, or many, came through, and how often."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __call__(self, name: str) -> None:
        """Here it is."""
        assert name in NAMES, f"{name!r} is not among the names"
        self.counts[name] += 1

    def if_named(self, name: str) -> None:
        """The same, of something that may not be worth a name."""
        if name in NAMES:
            self.counts[name] += 1

    def missing(self) -> list[str]:
        """What has not been reached."""
        return [name for name in NAMES if not self.counts[name]]
