"""The connection is cut before a commit arrives, or after it was executed: the client cannot tell, and must not care.

Every flight of the journal in a scenario is cut once, in both ways. Each time everything happens exactly once.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.processes.conftest import Start
from tests.processes.test_kill_at_commit import EXPECTED, FAILING_CHILDREN, LEAST_COMMITS, MOST_COMMITS
from tests.support.proxy import CutPhase, PostgresProxy
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually
from tests.support.worker_ledger import Ledger

OF_THE_JOURNAL = ") as i\n"
"""What all statements of the journal contain, and no other write: they read their records from a relation `i`."""

CANCEL = "or w.status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')\n"  # the statement goes on: it is not the query beside it

COMMIT = "commit"  # of the transaction that the verb is


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres_url) as proxy:
        yield proxy


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("workflow", ["order", "order_async"])
def test_every_write_of_a_scenario(
    start_on: Start,
    proxy: PostgresProxy,
    postgres_url: str,
    ledger: Ledger,
    workflow: str,
    phase: CutPhase,
    record_property: Callable[[str, object], None],
) -> None:
    worker = start_on(proxy.url)
    cuts = 0
    for number in range(1, MOST_COMMITS):
        workflow_id = f"{workflow}-{number:02}"
        cut = proxy.cut_at(number, phase, containing=OF_THE_JOURNAL)
        assert worker.call("run", workflow, workflow_id, "Ada") == EXPECTED[workflow]
        assert_exactly_once(postgres_url, ledger, workflow, workflow_id)
        if not cut.done.is_set():
            break
        cuts += 1
    assert cuts >= LEAST_COMMITS[workflow]
    record_property("cuts", cuts)


def assert_exactly_once(url: str, ledger: Ledger, workflow: str, workflow_id: str) -> None:
    rows = run_sql(
        url,
        "select status, epoch, recovery_attempts from workflow_status where workflow_uuid like ?",
        f"{workflow_id}%",
    )
    assert {row[1:] for row in rows} == {(1, 1)}
    assert Counter(row[0] for row in rows)["ERROR"] == FAILING_CHILDREN[workflow]
    entries = [entry for entry in ledger.begun() if entry.workflow_id.startswith(workflow_id)]
    attempts = Counter(entry.step for entry in entries)
    retried = {entry.step for entry in entries if entry.label == "card"}
    assert all(count == (2 if step in retried else 1) for step, count in attempts.items()), attempts


@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize(
    ("verb", "status", "containing"),
    [
        ("cancel", "CANCELLED", CANCEL),
        ("resume", "PENDING", "status <> 'SUCCESS'"),
        ("resume", "PENDING", COMMIT),
    ],
    ids=["cancel", "resume", "resume at its commit"],
)
def test_management(
    start_on: Start,
    proxy: PostgresProxy,
    postgres_url: str,
    ledger: Ledger,
    verb: str,
    status: str,
    containing: str,
    phase: CutPhase,
) -> None:
    worker = start_on(proxy.url)
    worker.call("start", "doze", "doze", 60)
    eventually(lambda: run_sql(postgres_url, "select count(*) from operation_outputs") == [(2,)])
    if verb == "resume":
        worker.call("cancel", "doze")
    cut = proxy.cut_at_commit(1, phase) if containing == COMMIT else proxy.cut_at(1, phase, containing)
    worker.call(verb, "doze")
    assert cut.done.is_set()
    eventually(lambda: run_sql(postgres_url, "select status from workflow_status") == [(status,)])
    assert len(ledger.begun("doze")) == 1
