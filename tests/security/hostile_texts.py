"""Texts that mean something to somebody on their way: to SQL, a terminal, a format, a file system, or to nobody."""

from __future__ import annotations

from itertools import product

FRAGMENTS = (
    "'", '"', "`", "\\", ";", "--", "/*", "*/", "' or '1'='1", "'; drop table workflow_status; --",
    '"; drop schema dbos; --', "$1", "$$", "?", ":name", "%s", "%(name)s", "%", "_", "{}", "{schema}", "{0.__class__}",
    "${jndi:ldap://x}", "\0", "\x01", "\x1b[31m", "\x7f", "\t", "\n", "\r\n", "\x85", "\u2028", "\u202e", "\u200b",
    "\ufeff", "\ufffe", "\uffff", "\ud800", "\udfff", "\ud83d\ude00", "\U0001f600", "\U0010ffff", "é", "e\u0301", "ß",
    "İ", "ﬃ", "Ω", "null", "None", "NaN", "undefined", "true", "0", "-1", "1e999", "../../etc/passwd",
    "<script>alert(1)</script>", "a,b", "[]",
)  # fmt: skip
SHAPES = ("@", "a@", "@a", "a@b", "@@", "'@'", '"@"', " @ ", "%@%")
LENGTHS = ("", " ", "\n", "x" * 63, "x" * 64, "x" * 511, "x" * 512, "x" * 513, "ü" * 256, "ü" * 257, "x" * 9_000)

CORPUS = tuple(dict.fromkeys((*LENGTHS, *(shape.replace("@", each) for shape, each in product(SHAPES, FRAGMENTS)))))
