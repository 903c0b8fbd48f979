"""A future that lets its task see what has become durable before a cancellation strikes."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

T = TypeVar("T")


class PatientFuture(asyncio.Future[T]):
    """Lets a first cancellation of the task that awaits it come after its result; a second one is obeyed at once.

    Says no to the first: so the task keeps it in mind and raises it when it wakes up.
    """

    _spared = False

    def cancel(self, msg: Any = None) -> bool:
        if not self._spared:
            self._spared = True
            return False
        return super().cancel(msg)
