"""How long does `DBOS.launch()` take on an empty database?"""

from __future__ import annotations

import time

from session import Session

from dbos import DBOS


@DBOS.workflow()
def nothing() -> None:
    return None


session = Session()
session.construct()

started = time.perf_counter()
DBOS.launch()

session.report((time.perf_counter() - started) * 1000)
