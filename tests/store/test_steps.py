"""The recorded steps: one query for the history of many workflows, pages for people."""

from __future__ import annotations

from dbos.store.store import Store
from tests.store.records import checkpoint, start


def test_history_of_many_workflows_is_one_query(store: Store) -> None:
    store.journal.write([start("a"), start("b"), start("c")])
    store.journal.write([checkpoint("b", 2), checkpoint("a", 10), checkpoint("b", 1), checkpoint("a", 9)])
    queries = store.journal.counters.queries
    history = store.steps.history(["a", "b", "c", "nobody"])
    assert store.journal.counters.queries == queries + 1
    assert {each: [step.function_id for step in steps] for each, steps in history.items()} == {
        "a": [9, 10],
        "b": [1, 2],
        "c": [],
        "nobody": [],
    }
    assert store.steps.history([]) == {}


def test_everything_about_a_step_is_kept(store: Store) -> None:
    store.journal.write([start("w")])
    store.journal.write(
        [
            checkpoint("w", 1, name="f", child_workflow_id="child", output=None, serialization=None),
            checkpoint("w", 2, output=None, error="boom", started_at_ms=None, completed_at_ms=None),
        ]
    )
    first, second = store.steps.list("w")
    assert (first.workflow_uuid, first.function_id, first.function_name, first.epoch) == ("w", 1, "f", 1)
    assert (first.output, first.error, first.serialization, first.child_workflow_id) == (None, None, None, "child")
    assert (first.started_at_epoch_ms, first.completed_at_epoch_ms) == (1_700_000_000_000, 1_700_000_000_001)
    assert (second.error, second.started_at_epoch_ms) == ("boom", None)
    assert store.steps.recorded("w", 2) == second
    assert store.steps.recorded("w", 3) is None


def test_pages(store: Store) -> None:
    store.journal.write([start("w")])
    store.journal.write([checkpoint("w", n) for n in range(1, 6)])

    def page(**arguments: int) -> list[int]:
        return [step.function_id for step in store.steps.list("w", **arguments)]

    assert page() == [1, 2, 3, 4, 5]
    assert page(limit=2) == [1, 2]
    assert page(limit=2, offset=3) == [4, 5]
    assert page(offset=4) == [5]
    assert page(limit=0) == []
    assert [(step.output, step.error) for step in store.steps.list("w", load_output=False)] == [(None, None)] * 5
    assert store.steps.list("nobody") == []
