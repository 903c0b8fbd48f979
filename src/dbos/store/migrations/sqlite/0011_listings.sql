-- The few that others were forked from. (On Postgres, summaries for other listings as well, which SQLite knows none of.)

create index workflow_origins on workflow_status (created_at) where was_forked_from;
