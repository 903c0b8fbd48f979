"""Fenced code blocks of a Markdown page, with where they stand and how they are tagged.

The word after the language says how a Python block is run: `program` in a process of its own, `pytest` as a file of
tests, `excerpt` within the example that it is copied from, and no word as a part of its page, which is one process from
top to bottom. A block `text output` holds what the Python block before it prints. SQL is a `query` that runs on every
database, or a statement for `postgres`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")
_HEADING = re.compile(r"^#{1,6} +(.*)$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is the line of its first line of code, counted from 1."""

    page: str
    line: int
    language: str
    tag: str
    heading: str
    text: str


def pages() -> list[Path]:
    """Everything that users read, in a stable order."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return list(_scan(path))


def _scan(path: Path) -> Iterator[Block]:
    page = path.relative_to(ROOT).as_posix()
    heading = ""
    opened: tuple[int, str, str] | None = None  # line, info, indentation
    lines: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence is not None:
                opened, lines = (number + 1, fence["info"].strip(), fence["indent"]), []
            elif title := _HEADING.match(line):
                heading = title[1].strip()
        elif fence is not None and not fence["info"].strip():
            language, _, tag = opened[1].partition(" ")
            yield Block(page, opened[0], language, tag.strip(), heading, "\n".join(lines) + "\n")
            opened = None
        else:
            lines.append(line.removeprefix(opened[2]))
    assert opened is None, f"{page}:{opened and opened[0]}: this block is never closed"


def anchors(path: Path) -> set[str]:
    """The fragments that links to this page may name, made from its headings."""
    return {slug(title[1]) for line in path.read_text(encoding="utf-8").splitlines() if (title := _HEADING.match(line))}


def slug(title: str) -> str:
    """A heading as the fragment of a link."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def links(path: Path) -> list[str]:
    """The targets of the links of a page, outside code."""
    text, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            text.append(re.sub(r"`[^`]*`", "", line))
    return _LINK.findall("\n".join(text))
