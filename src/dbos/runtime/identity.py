"""On whose behalf code runs: a user, the roles they have, and the one that let them in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar

from dbos.fields import NamedTuple
from dbos.runtime.variables import holding


class Identity(NamedTuple):
    """On whose behalf code runs."""

    user: str | None = None
    roles: tuple[str, ...] | None = None
    assumed_role: str | None = None


NOBODY = Identity()

_identity: ContextVar[Identity] = ContextVar("dbos_identity", default=NOBODY)


def current_identity() -> Identity:
    """On whose behalf this code runs."""
    return _identity.get()


def enter_identity(identity: Identity) -> None:
    """From here on this context runs on that behalf."""
    _identity.set(identity)


def acting_as(identity: Identity) -> AbstractContextManager[None]:
    """Run code on that behalf: until the end of the block."""
    return holding(_identity, identity)
