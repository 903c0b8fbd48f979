"""Identifiers in SQL. Names of schemas, roles and databases come from users, so there is one place that quotes them."""

from __future__ import annotations


def quote(identifier: str) -> str:
    """An identifier as SQL writes it, whatever is in it."""
    return '"' + identifier.replace('"', '""') + '"'
