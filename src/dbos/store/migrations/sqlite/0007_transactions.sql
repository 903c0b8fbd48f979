-- What `@DBOS.transaction` writes beside the user's data, where that is this database. schema.sql explains the columns.
-- It may be there already: of an application that has its data here and its system tables elsewhere.

create table if not exists transaction_outputs (
    workflow_uuid text not null,
    function_id integer not null,
    function_name text not null,
    output text,
    error text,
    serialization text,
    life text not null,
    epoch integer not null,
    executor_id text,
    txn_id text,
    txn_snapshot text not null,
    created_at integer not null,
    primary key (workflow_uuid, function_id)
) strict, without rowid;
