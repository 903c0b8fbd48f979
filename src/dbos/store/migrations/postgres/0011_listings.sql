-- What few workflows have is found in a long history without reading all of it, by what each few blocks of the table hold.
-- Such a summary is looked at once in the life of a workflow, when it ends, and hardly ever written to; what has not
-- ended is found by its standing. A column that may be null in a whole summary has one of its own, which leaves nulls out:
-- with them it would be written to each time. (Version 13 has no summaries of this kind, and goes on reading.)

do $$ begin
    if current_setting('server_version_num')::integer >= 140000 then
        create index workflow_traits on {schema}.workflow_status using brin (
            name text_bloom_ops (n_distinct_per_range = 200),
            application_name text_bloom_ops (n_distinct_per_range = 50),
            application_version text_bloom_ops (n_distinct_per_range = 50),
            executor_id text_bloom_ops (n_distinct_per_range = 100)
        ) with (pages_per_range = 32, autosummarize = on) where completed_at is not null;
        create index workflow_users on {schema}.workflow_status using brin (
            authenticated_user text_bloom_ops (n_distinct_per_range = 400)
        ) with (pages_per_range = 32, autosummarize = on)
        where completed_at is not null and authenticated_user is not null;
        create index workflow_queues on {schema}.workflow_status using brin (
            queue_name text_bloom_ops (n_distinct_per_range = 200)
        ) with (pages_per_range = 32, autosummarize = on)
        where completed_at is not null and queue_name is not null;
        create index workflow_schedule_names on {schema}.workflow_status using brin (
            schedule_name text_bloom_ops (n_distinct_per_range = 400)
        ) with (pages_per_range = 32, autosummarize = on)
        where completed_at is not null and schedule_name is not null;
    end if;
end $$;

create index workflow_origins on {schema}.workflow_status (created_at) where was_forked_from;
