"""The endpoints, and how failures are answered: by a status and `{"error": "a sentence"}`."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from dbos.admin import documents
from dbos.admin.controls import Controls
from dbos.admin.documents import FILTERS, QUEUED_FILTERS, BadRequest
from dbos.admin.gate import HEALTH, refusal
from dbos.error import (
    DBOSConflictingWorkflowError,
    DBOSException,
    DBOSNonExistentWorkflowError,
    DBOSQueryTimeoutError,
)
from dbos.telemetry import prometheus

logger = logging.getLogger("dbos")

LARGEST_BODY_BYTES = 1_048_576

Endpoint = Callable[[Controls, Request], Awaitable[Response]]


def application(controls: Controls, token: str | None) -> Starlette:
    """The server as an ASGI application."""
    routes = [
        Route(path, partial(_answer, endpoint, controls, token), methods=[method])
        for method, path, endpoint in ENDPOINTS
    ]
    return Starlette(routes=routes)


async def _answer(endpoint: Endpoint, controls: Controls, token: str | None, request: Request) -> Response:
    refused = refusal(request, token)
    if refused is not None:
        status, sentence = refused
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        return JSONResponse({"error": sentence}, status, headers)
    try:
        return await endpoint(controls, request)
    except (BadRequest, ValueError) as error:
        return JSONResponse({"error": str(error)}, 400)
    except DBOSException as error:
        if type(error) not in STATUSES:
            logger.error("The admin server could not answer %s %s: %s", request.method, request.url.path, error)
        return JSONResponse({"error": error.message}, STATUSES.get(type(error), 500))


STATUSES: dict[type[DBOSException], int] = {
    DBOSNonExistentWorkflowError: 404,
    DBOSConflictingWorkflowError: 409,
    DBOSQueryTimeoutError: 504,
}


async def _body(request: Request) -> Any:
    """The document of a request; None for an empty one. Raises BadRequest."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_BODY_BYTES:
            raise BadRequest(f"The body of a request may have {LARGEST_BODY_BYTES} bytes")
    try:
        return json.loads(content) if content.strip() else None
    except (ValueError, RecursionError):
        raise BadRequest("The body of the request is no JSON") from None


async def _fields(request: Request) -> dict[str, Any]:
    body = await _body(request)
    if body is not None and not isinstance(body, dict):
        raise BadRequest("The body of this request must be a JSON object")
    return body or {}


# ------------------------------------------------------------ the process


async def health(controls: Controls, request: Request) -> Response:
    return PlainTextResponse("healthy")


async def metrics(controls: Controls, request: Request) -> Response:
    answer = await run_in_threadpool(lambda: prometheus.exposition(controls.metrics()))
    return Response(answer, headers={"Content-Type": prometheus.CONTENT_TYPE})


async def deactivate(controls: Controls, request: Request) -> Response:
    await run_in_threadpool(controls.deactivate)
    return PlainTextResponse("deactivated")


async def recover(controls: Controls, request: Request) -> Response:
    body = await _body(request)
    if not isinstance(body, list) or not all(isinstance(each, str) for each in body):
        raise BadRequest('The body must be a list of executor ids such as ["local"]')
    return JSONResponse(await run_in_threadpool(controls.recover, body))


async def garbage_collect(controls: Controls, request: Request) -> Response:
    body = await _fields(request)
    bounds = [
        None if body.get(key) is None else documents.whole(key, body[key], 0)
        for key in ("cutoff_epoch_timestamp_ms", "rows_threshold")
    ]
    await run_in_threadpool(controls.garbage_collect, *bounds)
    return Response(status_code=204)


async def global_timeout(controls: Controls, request: Request) -> Response:
    key = "cutoff_epoch_timestamp_ms"
    cutoff = documents.whole(key, (await _fields(request)).get(key), 0)
    await run_in_threadpool(controls.global_timeout, cutoff)
    return Response(status_code=204)


async def queues(controls: Controls, request: Request) -> Response:
    return JSONResponse([documents.queue(spec) for spec in controls.queues()])


# ------------------------------------------------------------ workflows


async def list_workflows(controls: Controls, request: Request) -> Response:
    wanted = documents.filters(await _fields(request), FILTERS)
    found = await run_in_threadpool(controls.list_workflows, **wanted)
    return JSONResponse([documents.workflow(each) for each in found])


async def list_queued(controls: Controls, request: Request) -> Response:
    wanted = documents.filters(await _fields(request), QUEUED_FILTERS)
    found = await run_in_threadpool(controls.list_queued_workflows, **wanted)
    return JSONResponse([documents.workflow(each) for each in found])


async def get(controls: Controls, request: Request) -> Response:
    status = await run_in_threadpool(controls.get, _id(request))
    return Response(status_code=404) if status is None else JSONResponse(documents.workflow(status))


async def steps(controls: Controls, request: Request) -> Response:
    found = await run_in_threadpool(controls.steps, _id(request))
    return JSONResponse([documents.step(each) for each in found])


async def cancel(controls: Controls, request: Request) -> Response:
    await run_in_threadpool(controls.cancel, _id(request))
    return Response(status_code=204)


async def resume(controls: Controls, request: Request) -> Response:
    await run_in_threadpool(controls.resume, _id(request))
    return Response(status_code=204)


async def restart(controls: Controls, request: Request) -> Response:
    forked = await run_in_threadpool(controls.fork, _id(request), 1, None, None)
    return JSONResponse({"workflow_id": forked})


async def fork(controls: Controls, request: Request) -> Response:
    body = await _fields(request)
    given = body.get("start_step")
    step = 1 if given is None else documents.whole("start_step", given, -(2**63))
    new_id, version = (documents.optional_text(body, key) for key in ("new_workflow_id", "application_version"))
    forked = await run_in_threadpool(controls.fork, _id(request), step, new_id, version)
    return JSONResponse({"workflow_id": forked})


def _id(request: Request) -> str:
    workflow_id: str = request.path_params["workflow_id"]
    return workflow_id


ENDPOINTS: list[tuple[str, str, Endpoint]] = [
    ("GET", HEALTH, health),
    ("GET", "/metrics", metrics),
    ("GET", "/deactivate", deactivate),
    ("GET", "/dbos-workflow-queues-metadata", queues),
    ("POST", "/dbos-workflow-recovery", recover),
    ("POST", "/dbos-garbage-collect", garbage_collect),
    ("POST", "/dbos-global-timeout", global_timeout),
    ("POST", "/workflows", list_workflows),
    ("POST", "/queues", list_queued),
    ("GET", "/workflows/{workflow_id}", get),
    ("GET", "/workflows/{workflow_id}/steps", steps),
    ("POST", "/workflows/{workflow_id}/cancel", cancel),
    ("POST", "/workflows/{workflow_id}/resume", resume),
    ("POST", "/workflows/{workflow_id}/restart", restart),
    ("POST", "/workflows/{workflow_id}/fork", fork),
]
