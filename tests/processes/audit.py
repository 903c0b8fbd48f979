"""A second opinion from inside the database: triggers write down every change, with the epoch that made it."""

from tests.support.raw_sql import run_sql

_SQLITE = (
    "create table audit (number integer primary key, workflow_uuid text, epoch integer, change text)",
    """create trigger audit_steps after insert on operation_outputs begin
        insert into audit (workflow_uuid, epoch, change)
        values (new.workflow_uuid, new.epoch, 'step ' || new.function_id);
    end""",
    """create trigger audit_workflows after update on workflow_status begin
        insert into audit (workflow_uuid, epoch, change) values (new.workflow_uuid, new.epoch, new.status);
    end""",
)
_POSTGRES = (
    """create table dbos.audit (
        number bigint primary key generated always as identity, workflow_uuid text, epoch bigint, change text
    )""",
    """create function dbos.audit_step() returns trigger language plpgsql as $$ begin
        insert into dbos.audit (workflow_uuid, epoch, change)
        values (new.workflow_uuid, new.epoch, 'step ' || new.function_id);
        return null;
    end $$""",
    """create function dbos.audit_workflow() returns trigger language plpgsql as $$ begin
        insert into dbos.audit (workflow_uuid, epoch, change) values (new.workflow_uuid, new.epoch, new.status);
        return null;
    end $$""",
    """create trigger audit_steps after insert on dbos.operation_outputs
        for each row execute function dbos.audit_step()""",
    """create trigger audit_workflows after update on dbos.workflow_status
        for each row execute function dbos.audit_workflow()""",
)


class Audit:
    """Everything that changes in a system database from now on."""

    def __init__(self, url: str) -> None:
        self._url = url
        for statement in _SQLITE if url.startswith("sqlite") else _POSTGRES:
            run_sql(url, statement)

    def changes(self, workflow_id: str) -> list[tuple[int, str]]:
        """(epoch, change) in order."""
        rows = run_sql(
            self._url, "select epoch, change from audit where workflow_uuid = ? order by number", workflow_id
        )
        return [(row[0], row[1]) for row in rows]

    def assert_fenced(self, workflow_id: str, last_epoch: int) -> None:
        """No epoch wrote after a later one; no step was recorded twice; one outcome, by the last epoch."""
        changes = self.changes(workflow_id)
        epochs = [epoch for epoch, _ in changes]
        assert epochs == sorted(epochs), changes
        steps = [change for _, change in changes if change.startswith("step ")]
        assert len(steps) == len(set(steps)), changes
        assert [(epoch, change) for epoch, change in changes if change in ("SUCCESS", "ERROR")] == [
            (last_epoch, "SUCCESS")
        ]
