"""`@DBOS.required_roles` and `@DBOS.default_required_roles`: which of the caller's roles let them in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypeVar, cast

from dbos.api.calls import protected
from dbos.api.launched import current_registry
from dbos.error import DBOSException
from dbos.runtime.arguments import require_storable
from dbos.runtime.callables import is_coroutine_function
from dbos.runtime.registry import Function, registered

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

_GUARD = "__dbos_guard__"


def required_roles(roles: Collection[str]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function be called only on behalf of a user who has one of these roles.

    Args:
        roles: The first of them that the user has becomes `DBOS.assumed_role`. An empty list lets everybody in,
            whatever the class asks for by default.

    It may stand above or below `@DBOS.workflow()`, `@DBOS.step()` or `@DBOS.transaction()`; the outermost counts. Calls
    raise DBOSNotAuthorizedError before anything is written; what was enqueued by its name fails with it when it runs.
    Raises DBOSException at decoration for anything but a list of strings.
    """
    wanted = _checked(roles, "@DBOS.required_roles(['admin'])")

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        if isinstance(func, (classmethod, staticmethod)):
            raise DBOSException(f"Put @DBOS.required_roles() below @{type(func).__name__}, next to the function")
        if not callable(func) or isinstance(func, type):
            raise DBOSException(f"@DBOS.required_roles() decorates functions, not {func!r}")
        function = registered(func)
        if function is None:
            return _guarded(func, wanted)
        function.required_roles = wanted
        return func

    return decorate


def default_required_roles(roles: Collection[str]) -> Callable[[C], C]:
    """Require roles for every decorated function of a class that does not say itself which ones it requires.

    Args:
        roles: See `required_roles`.

    It may stand above or below `@DBOS.dbos_class()`. Raises DBOSException at decoration for anything but a list of
    strings.
    """
    wanted = _checked(roles, "@DBOS.default_required_roles(['admin'])")

    def decorate(cls: C) -> C:
        if not isinstance(cls, type):
            raise DBOSException(f"@DBOS.default_required_roles() decorates classes, not {cls!r}")
        for member in vars(cls).values():
            function = registered(getattr(member, "__func__", member))
            if function is not None and function.required_roles is None:
                function.required_roles = wanted
        return cls

    return decorate


def unguarded(func: Callable[..., Any]) -> tuple[Callable[..., Any], tuple[str, ...] | None]:
    """A function without the guard of a `required_roles` beneath, and the roles that it asked for."""
    function = getattr(func, _GUARD, None)
    return (func, None) if not isinstance(function, Function) else (function.body, function.required_roles)


def _guarded(func: Callable[P, R], roles: tuple[str, ...]) -> Callable[P, R]:
    """A plain function behind a guard of its own; a decorator of ours above it takes the guard over."""
    body, _ = unguarded(func)
    name = getattr(body, "__qualname__", repr(body))
    function = Function(name, body, current_registry(), is_coroutine_function(body), required_roles=roles)
    guarded = protected(function, cast(Callable[P, R], body))
    setattr(guarded, _GUARD, function)
    return guarded


def _checked(roles: object, example: str) -> tuple[str, ...]:
    """The roles. Raises DBOSException."""
    if not isinstance(roles, Collection) or isinstance(roles, (str, bytes)):
        raise DBOSException(f"Roles are given as a list of strings, as in {example}; not {roles!r}")
    if not all(isinstance(role, str) and role for role in roles):
        raise DBOSException(f"Roles are given as a list of non-empty strings, as in {example}; not {roles!r}")
    return tuple(require_storable([*roles]))
