"""Verbs of management race each other and the workflows they steer: no verb is lost, and no status flips.

Each example makes groups of verbs of a few workflows; those of a group are called at the same time, from threads of an
application and of a client. The auditor has written down every change, and judges it by the rules of the statuses.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbos import DBOS, DBOSClient, SetWorkflowID, error
from tests.crash import audit
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

FINAL = {"SUCCESS", "ERROR", "CANCELLED"}
EXAMPLES = {"sqlite": 40, "postgresql": 30}

verbs = st.sampled_from(["start", "cancel", "cancel family", "resume", "rewind", "delete", "fork", "import", "collect"])
groups = st.lists(
    st.lists(st.tuples(verbs, st.sampled_from(["a", "b"]), st.booleans()), min_size=1, max_size=5),
    min_size=1,
    max_size=3,
)
numbers = itertools.count(1)


class Steering:
    """What an example may call."""

    def __init__(self, client: DBOSClient, start: Callable[[str], Any]) -> None:
        self.client = client
        self.start = start
        self.failures: list[BaseException] = []

    def call(self, verb: str, workflow_id: str, by_client: bool) -> None:
        try:
            self.verb(self.client if by_client else DBOS, verb)(workflow_id)
        except error.DBOSNonExistentWorkflowError:
            pass  # deleted meanwhile
        except error.DBOSConflictingWorkflowError as conflict:
            if verb != "import":  # the workflow has begun another life since it was exported
                self.failures.append(conflict)
        except error.DBOSException as refusal:
            if verb != "rewind" or "Cancel it first" not in str(refusal):
                self.failures.append(refusal)
        except BaseException as failure:
            self.failures.append(failure)

    def verb(self, target: Any, name: str) -> Callable[[str], Any]:
        """A verb, as the application or a client has it."""
        calls: dict[str, Callable[[str], Any]] = {
            "start": self.start,
            "cancel": target.cancel_workflow,
            "cancel family": partial(target.cancel_workflow, cancel_children=True),
            "resume": target.resume_workflow,
            "rewind": partial(target.rewind_workflow, start_step=2),
            "delete": partial(target.delete_workflow, delete_children=True),
            "fork": lambda workflow_id: target.fork_workflow(workflow_id, 2),
            "import": lambda workflow_id: target.import_workflow(target.export_workflow(workflow_id)),
            "collect": lambda _: target.garbage_collect(rows_threshold=0),
        }
        return calls[name]

    def race(self, calls: list[tuple[str, str, bool]]) -> None:
        """All of them at the same time."""
        begin = threading.Barrier(len(calls))

        def one(verb: str, workflow_id: str, by_client: bool) -> None:
            begin.wait()
            self.call(verb, workflow_id, by_client)

        threads = [threading.Thread(target=one, args=each) for each in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # our services do, while an example is drawn
def test_verbs_that_race_lose_nothing_and_flip_nothing(launch: Launch, database_url: str) -> None:
    @DBOS.step()
    def step(number: int) -> int:
        return number

    @DBOS.workflow()
    def child() -> int:
        return step(0) + step(1)

    @DBOS.workflow()
    def workflow() -> int:
        handle = DBOS.start_workflow(child)
        return sum(step(number) for number in range(3)) + int(handle.get_result())

    def start(workflow_id: str) -> None:
        with SetWorkflowID(workflow_id):
            DBOS.start_workflow(workflow)

    launch()
    sql = partial(run_sql, database_url)
    audit.install(sql, database_url)
    with DBOSClient(system_database_url=database_url) as client:

        @settings(
            max_examples=EXAMPLES[database_url.partition(":")[0]],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )
        @given(groups)
        def example(wanted: list[list[tuple[str, str, bool]]]) -> None:
            prefix = f"run{next(numbers)}-"
            steering = Steering(client, start)
            for name in ("a", "b"):
                start(prefix + name)
            for group in wanted:
                steering.race([(verb, prefix + name, by_client) for verb, name, by_client in group])
            assert steering.failures == []
            for name in ("a", "b"):  # what was called last, and alone, is so when it returns
                client.cancel_workflow(prefix + name, cancel_children=True)
                status = DBOS.get_workflow_status(prefix + name)
                assert status is None or status.status in FINAL
            eventually(lambda: not [each for each in DBOS.list_workflows() if each.status not in FINAL])
            broken = audit.violations(sql, prefix, rewinds=True)
            assert not [each for each in broken if ": None None -> " not in each]  # an import comes as it was exported

        example()


@pytest.fixture(autouse=True)
def count_from_one() -> None:
    """Ids of runs are of one test."""
    global numbers
    numbers = itertools.count(1)
