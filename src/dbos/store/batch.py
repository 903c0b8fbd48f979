"""A batch taken apart: the records of each kind, in the order in which kinds are written, and their places."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

from dbos.store.records import KINDS, Record

T = TypeVar("T")


def by_kind(records: Sequence[Record]) -> list[tuple[type[Record], Sequence[int], Sequence[Record]]]:
    """(kind, places in the batch, records) for every kind that occurs."""
    first = type(records[0])
    if all(type(record) is first for record in records):
        return [(first, range(len(records)), records)]
    parts: dict[type[Record], tuple[list[int], list[Record]]] = {kind: ([], []) for kind in KINDS}
    for place, record in enumerate(records):
        places, members = parts[type(record)]
        places.append(place)
        members.append(record)
    return [(kind, places, members) for kind, (places, members) in parts.items() if places]


def without_repeats(keys: Sequence[Hashable]) -> list[Sequence[int]]:
    """Split places 0..n-1 into runs in which no key occurs twice, equal keys keeping their order.

    One `update` of many rows meets every row once, in no particular order; several updates of one row take several.
    """
    if len(set(keys)) == len(keys):
        return [range(len(keys))]
    runs: list[list[int]] = []
    seen: dict[Hashable, int] = {}
    for place, key in enumerate(keys):
        run = seen[key] = seen.get(key, -1) + 1
        if run == len(runs):
            runs.append([])
        runs[run].append(place)
    return list(runs)
