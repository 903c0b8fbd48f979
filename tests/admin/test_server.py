"""The admin server: its endpoints, its gate, and that it never stands in the way of the application."""

import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from dbos import DBOS, Queue, SetWorkflowID
from dbos.admin.server import AdminServer
from tests.support.waiting import eventually

Launch = Callable[..., type[DBOS]]


def server() -> AdminServer:
    instance = DBOS._instance
    assert instance is not None
    assert instance._running is not None
    assert instance._running.admin_server is not None
    return instance._running.admin_server


def client(**headers: str) -> httpx.Client:
    address = server().address
    assert address is not None
    return httpx.Client(base_url=f"http://{address[0]}:{address[1]}", headers=headers, timeout=20)


@pytest.fixture
def shop(launch: Launch) -> Callable[..., type[DBOS]]:
    """Launches an application that has done `good` and `bad`, with an admin server on any free port."""

    def start(**config: Any) -> type[DBOS]:
        @DBOS.step(name="price")
        def price(item: str) -> int:
            if item == "anvil":
                raise ValueError("too heavy")
            return len(item)

        @DBOS.workflow(name="buy")
        def buy(item: str) -> int:
            return price(item)

        Queue("parcels", concurrency=2, worker_concurrency=1, limiter={"limit": 3, "period": 4})
        launch(run_admin_server=True, admin_port=0, application_version="v1", **config)
        with SetWorkflowID("good"):
            buy("tea")
        with SetWorkflowID("bad"), pytest.raises(ValueError, match="heavy"):
            buy("anvil")
        return DBOS

    return start


def test_looking(shop: Launch) -> None:
    shop()
    with client() as http:
        assert (http.get("/dbos-healthz").status_code, http.get("/dbos-healthz").text) == (200, "healthy")
        assert http.get("/dbos-workflow-queues-metadata").json() == [
            {"name": "_dbos_internal_queue"},
            {"name": "parcels", "concurrency": 2, "workerConcurrency": 1, "rateLimit": {"limit": 3, "period": 4.0}},
        ]
        good = http.get("/workflows/good").json()
        assert (good["WorkflowUUID"], good["Status"], good["WorkflowName"]) == ("good", "SUCCESS", "buy")
        assert (good["Input"], good["Output"]) == ("{'args': ('tea',), 'kwargs': {}}", "3")
        assert all(value is None or isinstance(value, str) for value in good.values())
        assert (http.get("/workflows/nope").status_code, http.get("/workflows/nope").content) == (404, b"")

        (step,) = http.get("/workflows/bad/steps").json()
        assert (step["function_id"], step["function_name"], step["error"]) == (1, "price", "too heavy")
        assert step["started_at_epoch_ms"].isdecimal()
        assert http.get("/workflows/nope/steps").json() == []

        def found(path: str = "/workflows", **wanted: Any) -> list[str]:
            return [each["WorkflowUUID"] for each in http.post(path, json=wanted).json()]

        assert [each["Output"] for each in http.post("/workflows").json()] == [None, None]
        assert found() == ["good", "bad"]
        assert found(status="ERROR", workflow_name=["buy"], authenticated_user=None, unknown=7) == ["bad"]
        assert found(limit=1, sort_desc=True) == ["bad"]
        assert found(workflow_uuids=["good"], offset=0, load_output=True) == ["good"]
        assert found(workflow_id_prefix="go", application_version="v1") == ["good"]
        assert found(end_time="2020-01-01T00:00:00Z") == []
        assert found("/queues", queue_name="parcels") == []
        assert http.get("/elsewhere").status_code == 404


def test_steering(shop: Launch) -> None:
    shop()
    started, go_on = threading.Event(), threading.Event()

    @DBOS.workflow(name="wait")
    def wait() -> str:
        started.set()
        go_on.wait(20)
        DBOS.sleep(0.001)
        return "done"

    with client() as http:
        with SetWorkflowID("slow"):
            handle = DBOS.start_workflow(wait)
        started.wait(20)
        assert http.post("/workflows/slow/cancel").status_code == 204
        go_on.set()
        assert handle.get_status().status == "CANCELLED"
        assert http.post("/workflows/nope/cancel").status_code == 204
        assert http.post("/workflows/slow/resume").status_code == 204
        assert DBOS.get_result("slow") == "done"

        again = http.post("/workflows/good/restart").json()["workflow_id"]
        assert DBOS.get_result(again) == 3
        body = {"start_step": 2, "new_workflow_id": "forked", "application_version": "v1"}
        assert http.post("/workflows/good/fork", json=body).json() == {"workflow_id": "forked"}
        assert DBOS.get_result("forked") == 3
        assert http.post("/workflows/good/fork", json=body).status_code == 409
        assert http.post("/dbos-workflow-recovery", json=["nobody"]).json() == []

        for verb in ("resume", "restart", "fork"):
            answer = http.post(f"/workflows/nope/{verb}")
            assert (answer.status_code, "nope" in answer.json()["error"]) == (404, True)


def test_clearing_away(shop: Launch) -> None:
    dbos = shop()

    @DBOS.workflow(name="linger")
    def linger() -> None:
        DBOS.sleep(60)

    with SetWorkflowID("lingering"):
        handle = dbos.start_workflow(linger)
    with client() as http:
        assert http.post("/dbos-garbage-collect", json={"cutoff_epoch_timestamp_ms": None}).status_code == 204
        assert len(dbos.list_workflows()) == 3
        future = {"cutoff_epoch_timestamp_ms": 2**62}
        assert http.post("/dbos-garbage-collect", json=future).status_code == 204
        assert [each.workflow_id for each in dbos.list_workflows()] == ["lingering"]
        assert http.post("/dbos-global-timeout", json=future).status_code == 204
        assert handle.get_status().status == "CANCELLED"


def test_deactivated_it_takes_on_nothing_more(shop: Launch) -> None:
    shop()
    running = DBOS._instance._running  # type: ignore[union-attr]
    assert running is not None
    with client() as http:
        assert http.get("/deactivate").text == "deactivated"
        for service in (running.dispatcher, running.scheduler):
            eventually(lambda service=service: not service._thread.is_alive())  # type: ignore[misc]
        assert http.get("/dbos-healthz").status_code == 200
        assert http.get("/workflows/good").status_code == 200


BAD = [
    ("/workflows", b"{", "no JSON"),
    ("/workflows", b"[1]", "must be a JSON object"),
    ("/workflows", b'{"limit": -1}', "limit must be a whole number from 0 on, not -1"),
    ("/workflows", b'{"offset": true}', "offset must be a whole number"),
    ("/workflows", b'{"start_time": "soon"}', "start_time must be an ISO 8601 time"),
    ("/workflows", b'{"status": 7}', "status must be a text or a list of texts, not 7"),
    ("/workflows", b'{"sort_desc": "yes"}', 'sort_desc must be true or false, not "yes"'),
    ("/workflows", b" " * 1_048_577, "may have 1048576 bytes"),
    ("/queues", b'{"limit": 9223372036854775808}', "limit must be a whole number"),
    ("/dbos-global-timeout", b"{}", "cutoff_epoch_timestamp_ms must be a whole number from 0 on, not null"),
    ("/dbos-garbage-collect", b'{"rows_threshold": "1"}', "rows_threshold must be a whole number"),
    ("/dbos-workflow-recovery", b'"local"', "must be a list of executor ids"),
    ("/workflows/good/fork", b'{"start_step": "2"}', "start_step must be a whole number from"),
    ("/workflows/good/fork", b'{"new_workflow_id": 2}', "new_workflow_id must be a text, not 2"),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_bad_requests_are_answered_by_a_sentence(shop: Launch) -> None:
    shop()
    with client() as http:
        for path, body, sentence in BAD:
            answer = http.post(path, content=body)
            assert (answer.status_code, sentence in answer.json()["error"]) == (400, True), (path, body, answer.text)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_wrong_token_is_refused(shop: Launch) -> None:
    shop(admin_token="right")
    for headers, sentence in (
        ({}, "wants a token"),
        ({"Authorization": "Basic right"}, "wants a token"),
        ({"Authorization": "Bearer wrong"}, "not the token"),
        ({"Authorization": "Bearer ri\u00e9"}, "not the token"),
    ):
        with client() as http:
            encoded = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = http.post("/workflows/good/cancel", headers=encoded)
            assert (answer.status_code, sentence in answer.json()["error"]) == (401, True)
            assert http.get("/metrics", headers=encoded).status_code == 401
            assert http.get("/dbos-healthz").status_code == 200
    with client(Authorization="Bearer right") as http:
        assert http.get("/workflows/good").status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_a_token_no_web_page_gets_through(shop: Launch) -> None:
    """A page can send requests to this machine, or call it by a name of its own that leads here."""
    shop()
    for headers in (
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ):
        with client(**headers) as http:
            answer = http.get("/deactivate")
            assert (answer.status_code, "admin_token" in answer.json()["error"]) == (403, True), headers
    with client(Host="localhost:3001") as http:
        assert http.get("/workflows/good").status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_is_off_unless_asked_for_and_gone_after_destroy(launch: Launch) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "dbos-admin-server"]

    launch()
    assert threads() == []
    launch(run_admin_server=True, admin_port=0)
    address = server().address
    assert address is not None
    assert threads() == ["dbos-admin-server"]
    DBOS.destroy()
    assert threads() == []
    with socket.socket() as probe:
        assert probe.connect_ex(address) != 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_port_that_is_taken_keeps_nobody_from_running(
    launch: Launch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        launch(run_admin_server=True, admin_port=taken.getsockname()[1])
        assert server().address is None
        assert "The admin server is off: it cannot bind 127.0.0.1 port" in caplog.text
    caplog.clear()
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    launch(run_admin_server=True, admin_port=0)
    assert "it needs uvicorn: pip install 'dbos[admin]'" in caplog.text
