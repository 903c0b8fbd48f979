"""REMEMBER: the system database, the same on SQLite and Postgres. `store.Store` is the way in."""
