"""The named statements of the `sql` folders, read once and written out for one dialect.

A file holds `-- name: x` or `-- fragment: x`, a line of purpose, and SQL. The folder `sql` is shared; a dialect's own
`sql` folder adds or overrides a statement, its reason written above it. What a statement leaves open stands in braces:
`{fragment}`, a word of the dialect's vocabulary, a phrase with an argument like `{each:ids}` (the elements of a JSON
list), and in the journal's statements `{input}` (the records of a batch), `{returning_key:columns}` and
`{select_key:columns}` (tell which of several records were written; of a single one, the count is enough). Values are
always parameters: `:name`, numbered here for the driver.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Protocol, get_args, get_type_hints

from dbos.fields import NamedTuple
from dbos.model.stream import CLOSED_SERIALIZATION, CLOSED_TEXT
from dbos.store.records import KINDS, Record

_PHRASES: Mapping[str, Callable[[str], str]] = {
    # Does a row of `streams`, or a record of one, mark the end of its stream?
    "closes": f"({{0}}.value = '{CLOSED_TEXT}' and {{0}}.serialization = '{CLOSED_SERIALIZATION}')".format,
}

_HEADER = re.compile(r"^-- (name|fragment): (\w+)$", re.MULTILINE)
_OPEN = re.compile(r"\{(\w+)(?::([^}]+))?\}")
_KEY = re.compile(r"\{(returning|select)_key:([^}]+)\}")
_WITHOUT_KEY = {"returning": "", "select": "select"}  # which gives rows of no columns
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]\w*)")


class Statement(NamedTuple):
    """SQL as the driver wants it, and which values it takes in which order."""

    name: str
    sql: str
    parameters: tuple[str, ...]

    def values(self, given: Mapping[str, object]) -> list[object]:
        return [given[name] for name in self.parameters]


Relation = Callable[[Mapping[str, type]], str]
"""The text of a relation with such columns."""


class Vocabulary(Protocol):
    """What two dialects say differently in the statements they share."""

    words: Mapping[str, str]
    phrases: Mapping[str, Callable[[str], str]]

    def placeholder(self, name: str, position: int) -> str:
        """How the driver spells a parameter; positions count from 1."""

    def inputs(self) -> Mapping[str, Relation]:
        """Ways to hand records to a statement: suffix of its name -> relation with the columns of the record.

        Without a suffix it takes one record. Whether it was written, the driver's count says: that is faster.
        """


class Statements:
    """Every statement of a dialect by name. Those of the journal are named after their record, plus a way of input.

    Each is written out when it is first asked for: a process needs few of them.
    """

    def __init__(self, dialect: str, vocabulary: Vocabulary, words: Mapping[str, str] = MappingProxyType({})) -> None:
        """Read the shared statements and the dialect's overrides. `words` win over those of the vocabulary."""
        sources: dict[str, str] = {}
        fragments: dict[str, str] = {}
        for folder in ("sql", f"{dialect}/sql"):
            for form, name, body in _read(os.path.join(os.path.dirname(__file__), folder)):
                if form == "fragment":
                    fragments[name] = _strip(body)
                else:
                    sources[name] = body
        self._vocabulary = vocabulary
        self._dialect = dialect
        self._words = {**vocabulary.words, **words, **fragments}
        self._phrases = {**_PHRASES, **vocabulary.phrases}
        kinds = {kind.__name__: kind for kind in KINDS}
        self._by_name: dict[str, Statement] = {}
        self._makers: dict[str, Callable[[], Statement]] = {}
        for name, body in sources.items():
            kind = kinds.get(name)
            ways: Mapping[str, Relation | None] = {"": None} if kind is None else vocabulary.inputs()
            for suffix, relation in ways.items():
                self._makers[name + suffix] = partial(self._make, name, suffix, body, kind, relation)

    def __getitem__(self, name: str) -> Statement:
        statement = self._by_name.get(name)
        if statement is None:
            statement = self._by_name[name] = self._makers[name]()
        return statement

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def _make(
        self, name: str, suffix: str, body: str, kind: type[Record] | None, relation: Relation | None
    ) -> Statement:
        words = {} if kind is None or relation is None else {"input": relation(columns_of(kind))}
        text = _KEY.sub(lambda key: f"{key[1]} {key[2]}" if suffix else _WITHOUT_KEY[key[1]], _strip(body))
        return self.compose(name + suffix, text, **words)

    def reworded(self, **words: str) -> Statements:
        """The same statements, in which some words of the vocabulary mean something else."""
        return Statements(self._dialect, self._vocabulary, words)

    def compose(self, name: str, text: str, **words: str) -> Statement:
        """Fill what stands in braces, and number the parameters in the order in which they first appear."""
        order: dict[str, int] = {}

        def number(match: re.Match[str]) -> str:
            return self._vocabulary.placeholder(match[1], order.setdefault(match[1], len(order) + 1))

        sql = _PARAMETER.sub(number, self._fill(text, {**self._words, **words})).strip()
        return Statement(name, sql, tuple(order))

    def _fill(self, text: str, words: Mapping[str, str]) -> str:
        def word(match: re.Match[str]) -> str:
            if match[2] is not None:
                return self._phrases[match[1]](match[2])
            return self._fill(words[match[1]], words)

        return _OPEN.sub(word, text)


def columns_of(kind: type[Record]) -> dict[str, type]:
    """The fields of a record and their plain types: `str | None` counts as `str`."""
    return {field: _plain(hint) for field, hint in get_type_hints(kind).items()}


def _plain(hint: object) -> type:
    candidates: Sequence[object] = [h for h in get_args(hint) if h is not type(None)] or [hint]
    (plain,) = candidates
    assert isinstance(plain, type)
    return plain


def _read(folder: str) -> list[tuple[str, str, str]]:
    if not os.path.isdir(folder):
        return []
    found = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".sql"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                found += _split(file.read())
    return found


def parse(text: str) -> list[tuple[str, str, str]]:
    """The kind, name and body of everything in the text of a file."""
    return [(kind, name, _strip(body)) for kind, name, body in _split(text)]


def _split(text: str) -> list[tuple[str, str, str]]:
    pieces = _HEADER.split(text)
    return list(zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True))


def _strip(body: str) -> str:
    """Drop comments, blank lines and the closing semicolon: they would travel to the server every time."""
    lines = (line.partition("--")[0].rstrip() for line in body.splitlines())
    return "\n".join(line for line in lines if line).rstrip(";")
