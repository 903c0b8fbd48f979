"""Patches: changing the code of workflows that run, so that those which began under the old code end under it.

A workflow that reaches a patch for the first time records a marker, a step of its own, and takes the new way, at every
replay again. One that has recorded something else at that point came by under the old code, and takes the old way.
"""

from __future__ import annotations

from dbos.error import DBOSException, DBOSPatchNondeterminismError
from dbos.runtime.context import Attempt, refuse_in_transaction, require_workflow_body
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Operation
from dbos.runtime.step import commit_as_step

MARKER = "DBOS.patch-"


def patch(engine: Engine, patch_name: str) -> Operation[bool]:
    """Shall this workflow take the new way? Call it where the code forks, with a name for the change.

    Args:
        patch_name: Names the change, once and for all.

    True for a workflow that comes here for the first time, and whenever it is replayed after that; False for one that
    has been here under the old code. Raises DBOSPatchNondeterminismError if another patch was recorded at this point,
    and DBOSException anywhere but in the body of a workflow.
    """
    attempt, marker = _here("DBOS.patch", patch_name)
    recorded = attempt.recorded_next()
    if recorded is not None and recorded.function_name != marker:
        if recorded.function_name.startswith(MARKER):
            raise _another(attempt, patch_name, recorded.function_name)
        return False
    yield from commit_as_step(attempt, marker)
    return True


def deprecate_patch(engine: Engine, patch_name: str) -> Operation[bool]:
    """Stands where a patch was, as long as workflows run that recorded it; the old way is gone. Always True.

    Args:
        patch_name: The name of the patch.

    Raises DBOSException anywhere but in the body of a workflow.
    """
    attempt, marker = _here("DBOS.deprecate_patch", patch_name)
    recorded = attempt.recorded_next()
    if recorded is not None and recorded.function_name == marker:
        yield from commit_as_step(attempt, marker)
    return True


def _here(call: str, patch_name: str) -> tuple[Attempt, str]:
    """The attempt whose body asks, and the name of the marker."""
    refuse_in_transaction(call)
    attempt = require_workflow_body(call)
    if not isinstance(patch_name, str) or not patch_name.strip() or not patch_name.isprintable():
        raise DBOSException(f"The name of a patch must be a str of printable characters, not {patch_name!r}")
    return attempt, MARKER + patch_name


def _another(attempt: Attempt, patch_name: str, found: str) -> DBOSPatchNondeterminismError:
    details = f"the patch {found.removeprefix(MARKER)!r} was recorded at this point: patches must be asked in one order"
    return DBOSPatchNondeterminismError(attempt.workflow_id, patch_name, details)
