"""Exporting workflows as plain data, and importing them, into another database say."""

from __future__ import annotations

from typing import Any

from dbos.error import DBOSException, DBOSNonExistentWorkflowError
from dbos.model.ids import validate_workflow_id
from dbos.model.workflow import Status
from dbos.runtime.engine import Engine
from dbos.runtime.operation import Ask, Operation
from dbos.runtime.step import as_step
from dbos.store.transfer import WORKFLOW, Exported, require_exported

FORMAT = "dbos-workflows"
VERSION = 1


def export_workflow(engine: Engine, workflow_id: str, *, export_children: bool = False) -> Operation[dict[str, Any]]:
    """A workflow with its history, as a document that JSON can hold: `import_workflow` takes it.

    Args:
        workflow_id: A workflow in whatever state; its steps, messages, events and streams come along.
        export_children: Export what it started, too, and what that started.

    Values are as they are stored. Raises DBOSNonExistentWorkflowError.
    """
    return as_step("DBOS.exportWorkflow", _export(engine, validate_workflow_id(workflow_id), export_children))


def _export(engine: Engine, workflow_id: str, with_children: bool) -> Operation[dict[str, Any]]:
    ids = [workflow_id]
    if with_children:
        ids += yield Ask(engine.store.workflows.children, ids)
    workflows: list[Exported] = yield Ask(engine.store.transfers.take_out, ids)
    if not any(each[WORKFLOW]["workflow_uuid"] == workflow_id for each in workflows):
        raise DBOSNonExistentWorkflowError("target", workflow_id)
    return {"format": FORMAT, "version": VERSION, "workflows": workflows}


def import_workflow(engine: Engine, document: dict[str, Any]) -> Operation[list[str]]:
    """Write the workflows of an exported document, all or none; their ids.

    Args:
        document: What `export_workflow` gave, in this process or as JSON from another one.

    What is enqueued or delayed is dispatched from now on. What was running is owned by nobody here: resume it. What is
    here already is left as it is, unless it is an older state. Raises DBOSConflictingWorkflowError for an older state,
    or if an id belongs to another workflow, and DBOSException for a document that cannot be.
    """
    return as_step("DBOS.importWorkflow", _import(engine, _checked(engine, document)))


def _import(engine: Engine, workflows: list[Exported]) -> Operation[list[str]]:
    yield Ask(engine.store.transfers.bring_in, workflows)
    engine.announce_enqueued(None)
    return [each[WORKFLOW]["workflow_uuid"] for each in workflows]


def _checked(engine: Engine, document: Any) -> list[Exported]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DBOSException(f"import_workflow takes what export_workflow gave: a dict whose 'format' is {FORMAT!r}")
    if document.get("version") != VERSION:
        raise DBOSException(f"The document has version {document.get('version')!r}; this library knows {VERSION}")
    if not isinstance(document.get("workflows"), list):
        raise DBOSException("The document has no list of workflows")
    workflows = [require_exported(engine.store.transfers.columns, each) for each in document["workflows"]]
    for each in workflows:
        row = each[WORKFLOW]
        validate_workflow_id(row["workflow_uuid"])
        if row["status"] not in set(Status) or not isinstance(row["epoch"], int):
            raise DBOSException(f"Workflow {row['workflow_uuid']} has no status or epoch that could be")
    return workflows
