"""`DBOS(fastapi=app)` and `DBOS(flask=app)`, behind real servers, over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import flask
import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.routing import Route

from dbos import DBOS, DBOSConfig, DBOSContextSetAuth, error
from tests.support.waiting import eventually
from tests.support.web_servers import Ask, served_by_uvicorn, served_by_werkzeug

KEY = "dbos-idempotency-key"

WEB_ERRORS = {
    "forbidden": (error.DBOSNotAuthorizedError("only for admins"), 403, "only for admins", "8"),
    "conflict": (
        error.DBOSConflictingWorkflowError("w", "why"),
        500,
        "Conflicting workflow invocation with the same ID (w): why",
        "9",
    ),
    "plain": (error.DBOSException("something"), 500, "something", None),
}


@pytest.fixture
def config(sqlite_url: str) -> Iterator[DBOSConfig]:
    DBOS.destroy(destroy_registry=True)
    yield {"name": "web-app", "system_database_url": sqlite_url}
    DBOS.destroy(destroy_registry=True)


def is_launched() -> bool:
    return DBOS.application_version != ""


def fastapi_app(config: DBOSConfig) -> FastAPI:
    """An application whose handlers are, call, or start workflows."""
    app = FastAPI()
    DBOS(config=config, fastapi=app)

    @app.post("/greetings/{name}")
    @DBOS.workflow(name="greet")
    async def greet(name: str) -> dict[str, Any]:
        return {"id": DBOS.workflow_id, "said": f"hello {name}"}

    @app.post("/pairs")
    def start_two() -> list[str | None]:
        first, second = DBOS.start_workflow(echo, 1), DBOS.start_workflow(echo, 2)
        return [DBOS.workflow_id, first.workflow_id, second.workflow_id]

    @DBOS.workflow(name="echo")
    def echo(number: int) -> int:
        return number

    @app.get("/errors/{which}")
    def fail(which: str) -> None:
        if which == "other":
            raise RuntimeError("not ours")
        raise WEB_ERRORS[which][0]

    @app.get("/me")
    async def me() -> list[Any]:
        before = DBOS.authenticated_user
        DBOS.set_authentication("ada", ["admin"])
        await asyncio.sleep(0)
        return [before, DBOS.authenticated_user, DBOS.authenticated_roles]

    return app


def flask_app(config: DBOSConfig) -> flask.Flask:
    """The same for Flask."""
    app = flask.Flask("web-app")
    DBOS(config=config, flask=app)

    @app.post("/greetings/<name>")
    @DBOS.workflow(name="greet")
    def greet(name: str) -> dict[str, Any]:
        return {"id": DBOS.workflow_id, "said": f"hello {name}"}

    @app.post("/pairs")
    def start_two() -> list[str | None]:
        first, second = DBOS.start_workflow(echo, 1), DBOS.start_workflow(echo, 2)
        return [DBOS.workflow_id, first.workflow_id, second.workflow_id]

    @DBOS.workflow(name="echo")
    def echo(number: int) -> int:
        return number

    @app.get("/errors/<which>")
    def fail(which: str) -> None:
        if which == "other":
            raise RuntimeError("not ours")
        raise WEB_ERRORS[which][0]

    @app.get("/me")
    def me() -> list[Any]:
        before = DBOS.authenticated_user
        DBOS.set_authentication("ada", ["admin"])
        return [before, DBOS.authenticated_user, DBOS.authenticated_roles]

    DBOS.launch()
    return app


Serve = Callable[[Any], AbstractContextManager[Ask]]
FRAMEWORKS = [
    pytest.param(fastapi_app, served_by_uvicorn, id="fastapi"),
    pytest.param(flask_app, served_by_werkzeug, id="flask"),
]


@pytest.mark.parametrize(("make", "serve"), FRAMEWORKS)
def test_a_request_is_answered_by_workflows(
    config: DBOSConfig, make: Callable[[DBOSConfig], Any], serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(make(config)) as ask:
        # the header names the workflow that is the handler
        for name in ("ada", "alan"):
            answer = ask("POST", f"/greetings/{name}", headers={KEY: "greeting-1"})
            assert answer.json() == {"id": "greeting-1", "said": "hello ada"}
            assert not [header for header in answer.headers if "dbos" in header]
        ids = {ask("POST", "/greetings/ada").json()["id"] for _ in range(2)}
        assert len(ids) == 2
        assert "greeting-1" not in ids

        # or the first one that the handler starts
        first, second = ask("POST", "/pairs", headers={KEY: "pair"}), ask("POST", "/pairs", headers={KEY: ""})
        assert first.json()[:2] == [None, "pair"]
        assert len({*first.json()[1:], *second.json()[1:]}) == 4

        # a key that cannot be an id is the client's mistake
        refused = ask("POST", "/pairs", headers={KEY: "k" * 600})
        assert refused.status_code == 400
        assert refused.json()["dbos_error"] == "DBOSException"
        assert "512 bytes" in refused.json()["message"]

        # identities end with their request
        for _ in range(2):
            assert ask("GET", "/me").json() == [None, "ada", ["admin"]]
        assert DBOS.authenticated_user is None

        with caplog.at_level(logging.ERROR, logger="dbos"):
            for which, (raised, status, message, code) in WEB_ERRORS.items():
                answer = ask("GET", f"/errors/{which}")
                body = {"message": message, "dbos_error_code": code, "dbos_error": type(raised).__name__}
                assert (answer.status_code, answer.json()) == (status, body)
        logged = [record.exc_info[1] for record in caplog.records if record.name == "dbos" and record.exc_info]
        assert logged == [raised for raised, status, *_ in WEB_ERRORS.values() if status == 500]
        assert ask("GET", "/errors/other").status_code == 500
        assert "not ours" not in ask("GET", "/errors/other").text


def test_fastapi_launches_before_the_applications_own_lifespan_and_destroys_after_it(config: DBOSConfig) -> None:
    seen: list[object] = []

    @DBOS.workflow()
    def greet() -> str:
        return "hello"

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        seen.append((await DBOS.start_workflow_async(greet)).workflow_id is not None)
        yield {"door": "open"}
        seen.append(is_launched())

    app = FastAPI(lifespan=lifespan)
    DBOS(config=config, fastapi=app)
    DBOS(config=config, fastapi=app)  # as every module that is imported twice
    assert not is_launched()
    for _ in range(2):  # an application can be started again, as tests do
        with served_by_uvicorn(app) as ask:
            assert is_launched()
            assert ask("GET", "/openapi.json").status_code == 200
        assert not is_launched()
    assert seen == [True, True, True, True]


def test_what_is_launched_already_is_not_launched_again(config: DBOSConfig, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    DBOS(config=config, fastapi=app)
    DBOS.launch()
    with caplog.at_level(logging.WARNING, logger="dbos"), served_by_uvicorn(app):
        assert is_launched()
    assert not is_launched()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_an_application_that_cannot_launch_does_not_start(config: DBOSConfig) -> None:
    app = FastAPI()
    config["run_migrations"] = False  # of a database that does not exist
    DBOS(config=config, fastapi=app)
    with pytest.raises(AssertionError, match="did not start"), served_by_uvicorn(app):
        pass


def test_the_users_own_handlers_and_contexts_win(config: DBOSConfig) -> None:
    app = FastAPI()

    @app.exception_handler(error.DBOSException)
    async def answer(_: object, failure: error.DBOSException) -> Any:
        raise HTTPException(418, failure.message)

    @app.middleware("http")
    async def authenticate(request: Any, call_next: Callable[[Any], Any]) -> Any:
        with DBOSContextSetAuth(request.headers["user"], ["reader"]):
            return await call_next(request)

    @DBOS.workflow()
    def whoami() -> list[Any]:
        return [DBOS.authenticated_user, DBOS.authenticated_roles]

    @app.get("/later")
    def later(background: BackgroundTasks) -> None:
        background.add_task(whoami)

    @app.get("/me")
    def me() -> list[Any]:
        return whoami()

    @app.get("/error")
    def fail() -> None:
        raise error.DBOSNotAuthorizedError("no")

    DBOS(config=config, fastapi=app)
    with served_by_uvicorn(app) as ask:
        assert ask("GET", "/me", headers={"user": "ada"}).json() == ["ada", ["reader"]]
        assert ask("GET", "/error", headers={"user": "ada"}).status_code == 418
        assert ask("GET", "/later", headers={"user": "alan", KEY: "background"}).status_code == 200
        eventually(lambda: DBOS.get_workflow_status("background"))
        assert DBOS.retrieve_workflow("background").get_result() == ["alan", ["reader"]]


def test_starlette_will_do(config: DBOSConfig) -> None:
    @DBOS.workflow()
    async def who() -> str | None:
        return DBOS.workflow_id

    async def handle(request: Any) -> Any:
        from starlette.responses import JSONResponse

        return JSONResponse(await who())

    app = Starlette(routes=[Route("/", handle)])
    DBOS(config=config, fastapi=app)  # type: ignore[arg-type]
    with served_by_uvicorn(app) as ask:
        assert ask("GET", "/", headers={KEY: "plain"}).json() == "plain"


def test_what_cannot_be_served_is_refused_and_leaves_nothing_behind(config: DBOSConfig) -> None:
    late = FastAPI()
    with served_by_uvicorn(late):
        pass
    served = flask.Flask("served")
    served.test_client().get("/")
    for wrong, complaint in (
        ({"fastapi": flask.Flask("other")}, "FastAPI application, not <Flask"),
        ({"flask": FastAPI()}, "Flask application, not <fastapi"),
        ({"fastapi": late}, "too late"),
        ({"flask": served}, "too late"),
    ):
        with pytest.raises(error.DBOSInitializationError, match=complaint):
            DBOS(config=config, **wrong)
        with pytest.raises(error.DBOSException, match="Construct"):
            DBOS.launch()


def test_a_flask_application_is_wrapped_once(config: DBOSConfig) -> None:
    app = flask.Flask("app")
    for _ in range(2):
        DBOS(config=config, flask=app)
    wrapped = app.wsgi_app
    DBOS.destroy()
    DBOS(config=config, flask=app)
    assert app.wsgi_app is wrapped
