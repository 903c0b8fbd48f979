"""What a request and an error of ours are to any web framework: a scope of its own, and a status with JSON."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from dbos.api.scopes import DBOSContextEnsure, SetWorkflowID, request_id
from dbos.error import DBOSException

logger = logging.getLogger("dbos")

IDEMPOTENCY_HEADER = "dbos-idempotency-key"

INTERNAL_ERROR = 500
BAD_REQUEST = 400


@contextmanager
def request_scope(idempotency_key: str | None) -> Generator[None]:
    """Handle a request in this block: the key is the id of the first workflow it starts, and no identity outlives it.

    Raises DBOSException for a key that cannot be an id. An empty one counts as none.
    """
    with DBOSContextEnsure():
        if idempotency_key:
            with SetWorkflowID(idempotency_key):
                yield
        else:
            yield


def refusal_of(idempotency_key: str | None) -> DBOSException | None:
    """Why a key cannot be the id of a workflow; None if it can."""
    if idempotency_key:
        try:
            request_id(idempotency_key, None)
        except DBOSException as refusal:
            return refusal
    return None


def error_body(error: DBOSException) -> dict[str, str | None]:
    """What the client is told. Some errors have no code."""
    code = error.dbos_error_code
    return {
        "message": error.message,
        "dbos_error_code": None if code is None else str(code),
        "dbos_error": type(error).__name__,
    }


def answer_to(error: DBOSException) -> tuple[dict[str, str | None], int]:
    """The body and the status for an error that a handler raised. What is the server's fault is logged."""
    status = error.status_code or INTERNAL_ERROR
    if status >= INTERNAL_ERROR:
        logger.error("A request failed: %s", error, exc_info=error)
    return error_body(error), status
