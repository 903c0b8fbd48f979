"""Flask: a scope around every request, and errors of ours as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dbos.api.web.requests import BAD_REQUEST, IDEMPOTENCY_HEADER, answer_to, error_body, refusal_of, request_scope
from dbos.error import DBOSException, DBOSInitializationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

_ENVIRON_KEY = "HTTP_" + IDEMPOTENCY_HEADER.upper().replace("-", "_")


def attach(app: Any) -> None:
    """Give the requests of a Flask application their scopes; harmless if it was done before.

    Raises DBOSInitializationError for anything else, and for an application that has served requests already.
    """
    application = _require_app(app)
    if isinstance(application.wsgi_app, _IdempotencyMiddleware):
        return
    if application.error_handler_spec[None][None].get(DBOSException) is None:
        try:
            application.register_error_handler(DBOSException, answer_to)
        except AssertionError:
            raise DBOSInitializationError("DBOS(flask=app) comes too late: it has handled a request already") from None
    application.wsgi_app = _IdempotencyMiddleware(application.wsgi_app)  # type: ignore[method-assign]


def _require_app(app: Any) -> Flask:
    try:
        from flask import Flask
    except ImportError:
        raise DBOSInitializationError("DBOS(flask=...) needs Flask: pip install 'dbos[flask]'") from None
    if not isinstance(app, Flask):
        raise DBOSInitializationError(f"DBOS(flask=...) takes a Flask application, not {app!r}")
    return app


class _IdempotencyMiddleware:
    """Gives every request its scope."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        key = environ.get(_ENVIRON_KEY)
        refusal = refusal_of(key)
        if refusal is not None:
            start_response(f"{BAD_REQUEST} Bad Request", [("Content-Type", "application/json")])
            return [json.dumps(error_body(refusal)).encode()]
        with request_scope(key):
            return self._app(environ, start_response)
