"""FastAPI, and what it stands on: any Starlette application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from dbos.api.web.requests import BAD_REQUEST, IDEMPOTENCY_HEADER, answer_to, error_body, refusal_of, request_scope
from dbos.error import DBOSException, DBOSInitializationError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

Action = Callable[[], None]


class _Life:
    """What happens when an application starts and when it ends. Attached once; attaching it again changes what."""

    def __init__(self, start: Action, end: Action) -> None:
        self.start = start
        self.end = end


_attached: WeakKeyDictionary[Starlette, _Life] = WeakKeyDictionary()


def attach(app: Any, start: Action, end: Action) -> None:
    """Run DBOS with an application: from before its own lifespan to after it, and around its requests.

    Args:
        app: A FastAPI or Starlette application that does not serve yet.
        start: Called when it starts.
        end: Called when it ends.

    Raises DBOSInitializationError for anything else.
    """
    application = _require_app(app)
    life = _attached.get(application)
    if life is not None:
        life.start, life.end = start, end
        return
    life = _Life(start, end)
    try:
        application.add_middleware(_IdempotencyMiddleware)
    except RuntimeError as refusal:
        raise DBOSInitializationError(f"DBOS(fastapi=app) comes too late: {refusal}") from None
    application.exception_handlers.setdefault(DBOSException, _answer)
    within = application.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[Any]:
        await asyncio.to_thread(life.start)  # the event loop may belong to others, who go on meanwhile
        try:
            async with within(app) as state:
                yield state
        finally:
            await asyncio.to_thread(life.end)

    application.router.lifespan_context = lifespan
    _attached[application] = life


def _require_app(app: Any) -> Starlette:
    try:
        from starlette.applications import Starlette
    except ImportError:
        raise DBOSInitializationError("DBOS(fastapi=...) needs FastAPI: pip install 'dbos[fastapi]'") from None
    if not isinstance(app, Starlette):
        raise DBOSInitializationError(f"DBOS(fastapi=...) takes a FastAPI application, not {app!r}")
    return app


class _IdempotencyMiddleware:
    """Gives every request its scope. Plain ASGI, so that handlers run in the context it makes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from starlette.datastructures import Headers
        from starlette.responses import JSONResponse

        key = Headers(scope=scope).get(IDEMPOTENCY_HEADER)
        refusal = refusal_of(key)
        if refusal is not None:
            await JSONResponse(error_body(refusal), BAD_REQUEST)(scope, receive, send)
            return
        with request_scope(key):
            await self._app(scope, receive, send)


async def _answer(request: Request, error: Exception) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(*answer_to(cast(DBOSException, error)))
