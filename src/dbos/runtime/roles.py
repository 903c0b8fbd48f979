"""Who may run what: the roles that a function requires, and the one that lets its caller in.

Whoever calls is checked before anything is written. What was enqueued by name only is checked when it runs, where its
function is known; a refusal fails the workflow then.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from dbos.error import DBOSNotAuthorizedError
from dbos.runtime.identity import NOBODY, Identity, acting_as, current_identity
from dbos.runtime.registry import Function, Target
from dbos.runtime.requests import Requests


class Authenticated(Protocol):
    """A row that says on whose behalf its workflow runs."""

    @property
    def authenticated_user(self) -> str | None: ...
    @property
    def assumed_role(self) -> str | None: ...
    @property
    def authenticated_roles(self) -> str | None: ...


def identity_of(row: Authenticated) -> Identity:
    """On whose behalf the workflow of a row runs."""
    if row.authenticated_user is None and row.assumed_role is None and row.authenticated_roles is None:
        return NOBODY
    roles = None if row.authenticated_roles is None else tuple(json.loads(row.authenticated_roles))
    return Identity(row.authenticated_user, roles, row.assumed_role)


def authorize(function: Function, identity: Identity) -> Identity:
    """The identity as which the function runs: with the first required role that it has as the assumed one.

    A function that requires none runs as whoever calls it. Raises DBOSNotAuthorizedError.
    """
    if not function.required_roles:
        return identity
    if identity.roles is None:
        raise DBOSNotAuthorizedError(
            f"Function {function.name} requires a role, but was called in a context without authentication information"
        )
    for role in function.required_roles:
        if role in identity.roles:
            return identity if role == identity.assumed_role else identity._replace(assumed_role=role)
    raise DBOSNotAuthorizedError(
        f"Function {function.name} has required roles, but user is not authenticated for any of them: "
        f"{identity.user!r} needs {' or '.join(map(repr, function.required_roles))}"
    )


def reauthorize(function: Function, identity: Identity) -> Identity:
    """The same for a workflow that is there already: whoever was let in by a role keeps it."""
    return identity if identity.assumed_role in (function.required_roles or ()) else authorize(function, identity)


def on_behalf(asked: Requests, target: Target) -> Requests:
    """What is asked, by somebody who may run the target. Raises DBOSNotAuthorizedError."""
    if not target.function.required_roles:
        return asked
    return asked._replace(on_behalf_of=authorize(target.function, asked.on_behalf_of or current_identity()))


@contextmanager
def authorized(function: Function) -> Generator[None]:
    """A block that runs a function under the role it requires. Raises DBOSNotAuthorizedError."""
    with acting_as(authorize(function, current_identity())):
        yield


def admitted(function: Function | None) -> AbstractContextManager[None]:
    """The same for a function that may be none of ours, or require no role."""
    return authorized(function) if function is not None and function.required_roles else nullcontext()
