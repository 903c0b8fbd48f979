create table {schema}.streams (
    workflow_uuid text collate "C" not null,
    key text collate "C" not null,
    "offset" bigint not null,
    value text not null,
    serialization text,
    function_id integer not null,
    epoch integer not null,
    step_attempt integer,
    token text collate "C",
    written_at_ms bigint not null,
    primary key (workflow_uuid, key, "offset")
);

create unique index stream_token on {schema}.streams (token) where token is not null;
