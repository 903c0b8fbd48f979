"""The messages between workflows. Only the journal writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dbos.store.pool import Pool


class Messages:
    """The table `notifications`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def arrived(self, destination: str, message_id: str) -> tuple[bool, bool]:
        """(does the destination exist, has it got this message)."""
        ((exists, there),) = self._pool.read("arrived", destination=destination, message_id=message_id)
        return bool(exists), bool(there)

    def recipients(self, destinations: Sequence[str], with_forks: bool) -> dict[str, list[str]]:
        """Of these destinations those that exist, each with whom a message to it reaches: itself, and all its forks."""
        name = "recipients_and_forks" if with_forks else "recipients"
        found: dict[str, list[str]] = {}
        for root, workflow_id in self._pool.read(name, ids=json.dumps(destinations)):
            found.setdefault(root, []).append(workflow_id)
        return found

    def with_messages(self, mailboxes: Sequence[str]) -> list[str]:
        """Of these mailboxes, JSON pairs of workflow id and topic, those that hold a message nobody has received."""
        if not mailboxes:
            return []
        return [row[0] for row in self._pool.read("with_messages", mailboxes=json.dumps(mailboxes))]
