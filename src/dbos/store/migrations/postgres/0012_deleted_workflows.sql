-- Where the epochs of an id go on when its workflow is deleted and another one is started under it, from SQL as well.

create table {schema}.deleted_workflows (
    workflow_uuid text collate "C" primary key,
    next_epoch integer not null,
    deleted_at bigint not null
);

create index deleted_workflow_age on {schema}.deleted_workflows (deleted_at);

create or replace function {schema}.enqueue_workflow(
    workflow_name text,
    queue_name text,
    positional_args json[] default '{}',
    named_args json default '{}',
    class_name text default null,
    config_name text default null,
    workflow_id text default null,
    app_version text default null,
    timeout_ms bigint default null,
    deadline_epoch_ms bigint default null,
    deduplication_id text default null,
    priority integer default null,
    queue_partition_key text default null,
    authenticated_user text default null,
    authenticated_roles text default null,
    delay_until_epoch_ms bigint default null,
    application_name text default null
) returns text language plpgsql as $$
declare
    id text := coalesce(workflow_id, cast(gen_random_uuid() as text));
    now_ms bigint := cast(extract(epoch from statement_timestamp()) * 1000 as bigint);
    known record;
    broken text;
begin
    if coalesce(btrim(workflow_name), '') = '' then
        raise exception 'enqueue_workflow takes the name of a workflow' using errcode = 'invalid_parameter_value';
    end if;
    if coalesce(btrim(queue_name), '') = '' then
        raise exception 'enqueue_workflow takes the name of a queue' using errcode = 'invalid_parameter_value';
    end if;
    if btrim(id) = '' or octet_length(id) > 512 then
        raise exception 'a workflow ID has 1 to 512 bytes' using errcode = 'invalid_parameter_value';
    end if;
    if priority < 1 then
        raise exception 'Invalid priority %. Priority must be between 1~2147483647.', priority
            using errcode = 'invalid_parameter_value';
    end if;
    if timeout_ms < 0 then
        raise exception 'Invalid workflow timeout %. Timeouts must be positive.', timeout_ms
            using errcode = 'invalid_parameter_value';
    end if;
    if json_typeof(named_args) <> 'object' then
        raise exception 'named_args must be a JSON object' using errcode = 'invalid_parameter_value';
    end if;
    if json_typeof(cast(authenticated_roles as json)) <> 'array' then
        raise exception 'authenticated_roles must be a JSON array' using errcode = 'invalid_parameter_value';
    end if;
    if deduplication_id is not null and queue_partition_key is not null then
        raise exception 'Deduplication is not supported for partitioned queues'
            using errcode = 'invalid_parameter_value';
    end if;
    loop
        begin
            insert into {schema}.workflow_status (
                workflow_uuid, owner_xid, status, epoch, name, class_name, config_name, inputs, serialization,
                application_name, application_version, application_id, authenticated_user, authenticated_roles,
                queue_name, workflow_timeout_ms, workflow_deadline_epoch_ms, delay_until_epoch_ms, deduplication_id,
                priority, queue_partition_key, created_at, updated_at
            )
            select
                id, 'sql:' || gen_random_uuid(),
                case when delay_until_epoch_ms is null then 'ENQUEUED' else 'DELAYED' end,
                coalesce((select d.next_epoch from {schema}.deleted_workflows as d where d.workflow_uuid = id), 0),
                enqueue_workflow.workflow_name, enqueue_workflow.class_name, enqueue_workflow.config_name,
                '{"namedArgs":' || coalesce(named_args, '{}') || ',"positionalArgs":'
                || array_to_json(coalesce(positional_args, '{}')) || '}',
                'portable_json', enqueue_workflow.application_name, app_version, '',
                enqueue_workflow.authenticated_user, enqueue_workflow.authenticated_roles, enqueue_workflow.queue_name, timeout_ms, deadline_epoch_ms,
                enqueue_workflow.delay_until_epoch_ms, enqueue_workflow.deduplication_id,
                coalesce(enqueue_workflow.priority, 0), enqueue_workflow.queue_partition_key, now_ms, now_ms
            where not exists (select 1 from {schema}.workflow_status as w where w.workflow_uuid = id)
            on conflict (workflow_uuid) do nothing;
        exception when unique_violation then
            get stacked diagnostics broken = constraint_name;
            if broken <> 'workflow_deduplication' then
                raise;
            end if;
            raise exception 'DBOS queue duplicated: workflow % was deduplicated due to an existing workflow in queue % '
                'with deduplication ID %', id, queue_name, deduplication_id using errcode = 'unique_violation';
        end;
        select w.name, w.class_name, w.config_name into known
        from {schema}.workflow_status as w where w.workflow_uuid = id;
        exit when found; -- else it was being deleted just then
    end loop;
    if (known.name, known.class_name, known.config_name)
        is distinct from (workflow_name, enqueue_workflow.class_name, enqueue_workflow.config_name) then
        raise exception 'DBOS conflicting workflow: % is a workflow of another function, %', id, known.name
            using errcode = 'unique_violation';
    end if;
    perform pg_notify({channel}, cast(json_build_array('sql', 'enqueued', json_build_array(queue_name)) as text));
    return id;
end $$;
