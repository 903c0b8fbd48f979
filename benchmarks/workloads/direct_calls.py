"""How many synchronous workflows of two steps a second, each called directly and one after the other?"""

from __future__ import annotations

from session import WARM_UP_WORKFLOWS, Session

from dbos import DBOS


@DBOS.step()
def add_one(total: int) -> int:
    return total + 1


@DBOS.workflow()
def add_two(total: int) -> int:
    return add_one(add_one(total))


session = Session()
session.launch()
for number in range(WARM_UP_WORKFLOWS):
    add_two(number)

for _ in session.repetitions():
    for number in range(session.count):
        assert add_two(number) == number + 2

session.report_rate(session.count)
