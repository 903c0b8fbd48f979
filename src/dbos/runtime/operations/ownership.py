"""Another name for an application: everything it has in the system database becomes that of the new name."""

from __future__ import annotations

from collections import Counter

from dbos.error import DBOSException
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation
from dbos.store.ownership import Counts, Renaming


def rename_application(
    engine: Engine, old: str | None, new: str, *, batch_size: int = 10_000, adopt_unclaimed_rows: bool = False
) -> Operation[dict[str, int]]:
    """Give everything that an application has to another name; see `DBOSClient.rename_application`."""
    if old is None and not adopt_unclaimed_rows:
        raise DBOSException("rename_application(None, ...) takes what nobody owns: say so by adopt_unclaimed_rows=True")
    if old == new:
        raise DBOSException(f"The application has the name {new!r} already")
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or not 1 <= batch_size <= 1_000_000:
        raise DBOSException(f"batch_size must be a whole number from 1 to 1000000, not {batch_size!r}")
    return _rename(engine, Renaming(old, new, bool(adopt_unclaimed_rows)), batch_size)


def _rename(engine: Engine, wanted: Renaming, batch_size: int) -> Operation[dict[str, int]]:
    ownership = engine.store.ownership
    counts: Counter[str] = Counter()
    first: Counts = yield Ask(ownership.rename, wanted)
    counts.update(first)
    place: str | None = ""
    while place is not None:
        answer: tuple[Counts, str | None] = yield Ask(ownership.rename_finished, wanted, place, batch_size)
        page, place = answer
        counts.update(page)
    engine.announce_enqueued(None)
    return {kind: counts[kind] for kind in first}
