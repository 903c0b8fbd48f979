"""How long from `import dbos` to the result of a first workflow? What a lazy import saves must not come back later."""

from __future__ import annotations

import time

started = time.perf_counter()
from dbos import DBOS  # noqa: E402  the import is what is timed

imported_seconds = time.perf_counter() - started

from session import Session  # noqa: E402


@DBOS.step()
def add_one(total: int) -> int:
    return total + 1


@DBOS.workflow()
def add_two(total: int) -> int:
    return add_one(add_one(total))


session = Session()

started = time.perf_counter()
session.launch()
assert add_two(1) == 3

session.report((imported_seconds + time.perf_counter() - started) * 1000)
