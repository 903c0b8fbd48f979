"""How many steps a second do synchronous workflows of ten steps take, all started in the background at once?"""

from __future__ import annotations

from session import STEPS_PER_WORKFLOW, WARM_UP_WORKFLOWS, Session

from dbos import DBOS


@DBOS.step()
def add_one(total: int) -> int:
    return total + 1


@DBOS.workflow()
def count_to_ten() -> int:
    total = 0
    for _ in range(STEPS_PER_WORKFLOW):
        total = add_one(total)
    return total


def run(workflows: int) -> None:
    handles = [DBOS.start_workflow(count_to_ten) for _ in range(workflows)]
    for handle in handles:
        assert handle.get_result() == STEPS_PER_WORKFLOW


session = Session()
session.launch()
run(WARM_UP_WORKFLOWS)

for _ in session.repetitions():
    run(session.count)

session.report_rate(session.count * STEPS_PER_WORKFLOW)
