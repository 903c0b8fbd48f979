"""Web frameworks."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

WEB = "tests/acceptance/test_web.py::{}"

MUTANTS = (
    Mutant(
        "the key of a request names nothing",
        "api/web/requests.py",
        "with SetWorkflowID(idempotency_key):",
        "if True:",
        WEB.format("test_a_request_is_answered_by_workflows[fastapi]"),
    ),
    Mutant(
        "a user outlives the request",
        "api/web/requests.py",
        "with DBOSContextEnsure():",
        "if True:",
        WEB.format("test_a_request_is_answered_by_workflows[flask]"),
    ),
    Mutant(
        "an application that ends destroys nothing",
        "api/web/fastapi.py",
        "await asyncio.to_thread(life.end)",
        "pass",
        WEB.format("test_fastapi_launches_before_the_applications_own_lifespan_and_destroys_after_it"),
    ),
)
