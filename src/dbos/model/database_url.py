"""Database URLs: which ones we speak, and how they look without their passwords.

The forms are those of SQLAlchemy. Nothing here connects; what is wrong with a URL is said before anything tries to.
"""

from __future__ import annotations

import re
from typing import Literal

Dialect = Literal["sqlite", "postgresql"]

_SQLITE_SCHEMES = frozenset({"sqlite", "sqlite+pysqlite"})
_POSTGRES_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+psycopg"})

# Compiled when a URL is shown, by `re`, which keeps them.
# Greedy up to the last "@": a password with an unescaped "@" or "/" in it must not show half of itself.
_USERINFO = r"(?s)(?<=://)([^:@/]*):.*@"
# The same where a slash was forgotten, or the scheme.
_SCHEME = r"(?:[a-z][a-z0-9+.-]*:/|postgres(?:ql)?(?:\+[a-z0-9]+)?:)"
_MISTYPED_USERINFO = rf"""(?si)^(['"]?{_SCHEME}?[^:@/]*):.*@"""
_PASSWORD_FIELD = r"(?i)((?:ssl)?passw(?:or)?d\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s]*)"


def dialect_of(url: str) -> Dialect:
    """The dialect of a URL that names a database we can use; `ValueError` says what is wrong with any other."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ValueError("it is not a URL; write sqlite:///file.sqlite or postgresql://user@host:5432/database")
    if scheme in _SQLITE_SCHEMES:
        _check_sqlite(rest)
        return "sqlite"
    if scheme in _POSTGRES_SCHEMES:
        _check_postgres(rest)
        return "postgresql"
    if scheme.startswith(("postgresql+", "postgres+")):
        raise ValueError("the driver in it is not supported; write postgresql://..., which is served by psycopg 3")
    raise ValueError(f"{scheme}:// is not supported; write sqlite:///file.sqlite or postgresql://...")


def redact_url(url: str) -> str:
    """The URL, well formed or not, or a `key=value` connection string, with `***` in place of passwords."""
    userinfo = _USERINFO if _has_scheme(url) else _MISTYPED_USERINFO
    return re.sub(_PASSWORD_FIELD, r"\1***", re.sub(userinfo, r"\1:***@", url))


def _has_scheme(text: str) -> bool:
    """Whether the first `://` in it ends a scheme; in what was mistyped it may be part of a query, or of a password."""
    before, separator, _ = text.partition("://")
    return bool(separator) and not set(":@/").intersection((before.split() or [""])[-1])


def _check_sqlite(rest: str) -> None:
    path = rest.partition("?")[0]
    if path and not path.startswith("/"):
        raise ValueError("a relative SQLite file needs three slashes, as in sqlite:///file.sqlite")
    if path in ("", "/"):
        raise ValueError("the database is missing; name a file, as in sqlite:///file.sqlite")
    if path == "/:memory:" or path.startswith("/file:"):
        raise ValueError(
            "a database in memory forgets what it should remember; name a file, as in sqlite:///file.sqlite"
        )


def _check_postgres(rest: str) -> None:
    location, _, query = rest.partition("?")
    database = location.rpartition("@")[2].partition("/")[2]
    if not database and not any(field.startswith("dbname=") for field in query.split("&")):
        raise ValueError("the database is missing; write postgresql://user@host:5432/database")
