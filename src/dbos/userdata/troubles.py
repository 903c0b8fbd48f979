"""What an error of the user's database means. Pure functions; they know errors by their codes, not by their drivers.

Only two kinds of trouble are ours to overcome: a clash with another transaction, of which nothing stays and which
another try resolves, and a database that is away. Everything else is an answer for the user.
"""

from __future__ import annotations

from collections.abc import Iterator

_CLASHES = {"40001", "40P01"}  # serialization failure, deadlock
_BUSY = {5, 6}  # SQLITE_BUSY, SQLITE_LOCKED
_AWAY = {"25006", "25P03", "57P01", "57P02", "57P03", "57P05", "53300"}  # demoted, terminated, starting, full


def is_clash(error: BaseException) -> bool:
    """Is it, or was it raised because of, a serialization failure, a deadlock, or a busy SQLite file?"""
    return any(_state(each) in _CLASHES or _code(each) in _BUSY for each in _causes(error))


def is_away(error: BaseException) -> bool:
    """Could the database not be reached, or was the connection lost? Asked of errors of our own statements only."""
    for each in _causes(error):
        if getattr(each, "connection_invalidated", False) or type(each).__name__ == "TimeoutError":
            return True  # the latter: no connection of the pool became free
        state = _state(each)
        if state is not None:
            return state in _AWAY or state.startswith("08")
        if type(each).__name__ in ("OperationalError", "InterfaceError") and hasattr(each, "sqlstate"):
            return True  # of the client itself, about its connection
    return False


def _state(error: BaseException) -> str | None:
    """The SQLSTATE that Postgres gave."""
    state = getattr(error, "sqlstate", None)
    return state if isinstance(state, str) else None


def _code(error: BaseException) -> int | None:
    """The primary result code that SQLite gave."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        original = getattr(current, "orig", None)  # what SQLAlchemy wraps
        if isinstance(original, BaseException) and id(original) not in seen:
            yield original
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
