"""What the caller asks of the workflows it starts: id, timeout, attributes, place in a queue.

Set by the context managers of the api (scopes.py), read when a workflow starts, never passed on to what it starts.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

from dbos.fields import NamedTuple, dataclass
from dbos.model.placement import NO_PLACEMENT, Placement
from dbos.runtime.identity import Identity
from dbos.runtime.variables import holding

if TYPE_CHECKING:
    from opentelemetry.context import Context

ReusePolicy = Literal["return-existing", "reject"]


class Inherit:
    """Nothing was said about a timeout: the deadline of the parent holds."""


INHERIT = Inherit()


@dataclass(slots=True)
class RequestedId:
    """An id for the first workflow started in a block. Shared by copies of the context: it is given away once."""

    workflow_id: str
    policy: ReusePolicy | None = None
    taken: bool = False

    def take(self) -> bool:
        """May this start have the id?"""
        first, self.taken = not self.taken, True
        return first


class Requests(NamedTuple):
    """All that is asked in the current block."""

    identity: RequestedId | None = None
    timeout_seconds: float | Inherit | None = INHERIT
    attributes: str | None = None  # JSON object
    placement: Placement = NO_PLACEMENT
    trace: Context | Literal["active"] | None = None  # that the workflow shall belong to
    on_behalf_of: Identity | None = None  # None: whoever the caller acts for


NOTHING = Requests()
_requests: ContextVar[Requests] = ContextVar("dbos_requests", default=NOTHING)


def current_requests() -> Requests:
    """What is asked of workflows started here."""
    return _requests.get()


def asking_nothing() -> AbstractContextManager[None]:
    """Within the block nothing is asked: what a workflow was asked is not passed on to what it starts."""
    return holding(_requests, NOTHING)


def enter_requests(requests: Requests) -> None:
    """From here on this context asks for that."""
    _requests.set(requests)
