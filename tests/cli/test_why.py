"""`dbos workflow why`: for a person, for a pipe and for a script, in every state a workflow can be in."""

from typing import Any

from dbos import DBOS, DBOSClient, SetEnqueueOptions, SetWorkflowID
from tests.cli.conftest import Ran, Run
from tests.support.fixture_types import Launch
from tests.support.raw_sql import run_sql
from tests.support.waiting import Gate, eventually


def test_why(launch: Launch, database_url: str, run: Run) -> None:
    def why(workflow_id: str, *options: str, **kwargs: Any) -> Ran:
        return run("workflow", "why", workflow_id, "-s", database_url, *options, **kwargs)

    def codes(workflow_id: str) -> list[str]:
        return [row[0] for row in why(workflow_id).rows]

    def enqueue(workflow_id: str, queue: str = "narrow", **options: Any) -> None:
        with SetWorkflowID(workflow_id), SetEnqueueOptions(**options):
            DBOS.enqueue_workflow(queue, job)

    with Gate() as gate:

        @DBOS.workflow(name="job")
        def job() -> None:
            gate.pass_through()

        @DBOS.workflow(name="nap")
        def nap() -> None:
            DBOS.sleep(600)

        @DBOS.workflow(name="fails")
        def fails() -> None:
            raise ValueError("no")

        launch(application_version="v1", executor_lease_sec=60)
        DBOS.register_queue("narrow", concurrency=1)
        enqueue("runs")
        gate.wait_for_arrival()
        enqueue("first")
        enqueue("second\t2")
        enqueue("delayed", delay_seconds=3600)
        enqueue("stray", "nowhere")
        enqueue("other", app_version="v2")
        for workflow, workflow_id in ((nap, "naps"), (fails, "failed")):
            with SetWorkflowID(workflow_id):
                DBOS.start_workflow(workflow)
        eventually(lambda: codes("naps") == ["running", "sleeping"])
        eventually(lambda: codes("failed") == ["ended"])
        assert codes("runs") == ["running", "no_step"]
        assert codes("first") == ["full", "soon"]
        assert codes("second\t2") == ["full", "in_line", "soon"]
        assert codes("delayed") == ["delayed"]
        assert codes("stray") == ["unserved"]
        assert codes("other") == ["other_version"]
        run_sql(database_url, "update workflow_status set executor_instance = 'dead' where workflow_uuid = 'naps'")
        assert codes("naps") == ["abandoned", "recovery"]

        person = why("first", terminal=True)
        assert person.code == 0
        assert person.out.splitlines()[:2] == [
            "Queue 'narrow' is full: 1 run, and 1 may.",
            "  → wait for one to end, or raise the limit",
        ]
        found = why("failed", "--json").json
        assert found[0]["code"] == "ended"
        assert found[0]["remedy"] == "dbos workflow fork failed --from-failure"
        unknown = why("unknown")
        assert (unknown.code, unknown.out, "unknown" in unknown.err) == (1, "", True)

        with DBOSClient(system_database_url=database_url) as client:
            assert client.explain_workflow("delayed")[0].code == "delayed"
        DBOS.destroy()
        assert codes("first") == ["no_executor"]
        assert codes("runs") == ["abandoned", "no_heir"]
