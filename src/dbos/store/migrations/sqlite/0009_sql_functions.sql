-- On Postgres, functions that enqueue workflows and send messages from SQL. SQLite keeps no functions: nothing to do here.
select 1;
