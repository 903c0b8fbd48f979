"""How many trivial steps a second does one synchronous workflow take, one after the other?"""

from __future__ import annotations

from session import Session

from dbos import DBOS


@DBOS.step()
def add_one(total: int) -> int:
    return total + 1


@DBOS.workflow()
def count_to(steps: int) -> int:
    total = 0
    for _ in range(steps):
        total = add_one(total)
    return total


session = Session()
session.launch()
count_to(20)

for _ in session.repetitions():
    assert count_to(session.count) == session.count

session.report_rate(session.count)
