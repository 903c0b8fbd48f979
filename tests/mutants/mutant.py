"""What a planted bug is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug: `old` occurs exactly once in `file` and becomes `new`; `killer` must fail then."""

    name: str
    file: str  # below src/dbos
    old: str
    new: str
    killer: str
