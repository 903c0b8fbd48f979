-- What a datasource writes beside the user's data.
create table {table} (
    workflow_id text collate "C" not null,
    step_id integer not null,
    function_name text not null,
    output text,
    error text,
    serialization text, -- codec of output or error
    life text not null, -- which workflow of this id: names the call that started it
    epoch integer not null, -- the attempt that wrote it
    created_at bigint not null,
    primary key (workflow_id, step_id)
);
