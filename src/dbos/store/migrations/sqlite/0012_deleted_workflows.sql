-- Where the epochs of an id go on when its workflow is deleted and another one is started under it.

create table deleted_workflows (
    workflow_uuid text primary key,
    next_epoch integer not null,
    deleted_at integer not null
) strict, without rowid;

create index deleted_workflow_age on deleted_workflows (deleted_at);
