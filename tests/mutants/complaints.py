"""What judges can say: the sentences in their source, with `{}` where each says of what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

JUDGES = (
    "tests/crash/audit.py",
    "tests/processes/limits.py",
    "tests/simulation/acts.py",
    "tests/simulation/auditor.py",
    "tests/simulation/oracle.py",
    "tests/simulation/world.py",
    "tests/torture/world.py",
)
"""Whoever keeps books of what happens and says what is wrong with it."""


def sentences() -> set[str]:
    """All of them: what is complained of, or added to what was found."""
    return {sentence for judge in JUDGES for sentence in _said(ast.parse((ROOT / judge).read_text(encoding="utf-8")))}


def says(sentence: str, text: str) -> bool:
    """Is a text that sentence, about something?"""
    return re.search(".*".join(map(re.escape, sentence.split("{}"))), text) is not None


def _said(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="complain" | "append"), args=[ast.JoinedStr() as text]):
                yield _sentence(text)
            case ast.ListComp(elt=ast.JoinedStr() as text):
                yield _sentence(text)
            case ast.Return(value=ast.IfExp(orelse=ast.List(elts=[ast.JoinedStr() as text]))):
                yield _sentence(text)
            case ast.Assert(msg=ast.JoinedStr() as text):
                yield _sentence(text)


def _sentence(text: ast.JoinedStr) -> str:
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in text.values)
