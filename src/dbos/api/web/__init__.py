"""Web applications: `DBOS(fastapi=app)` and `DBOS(flask=app)`. The one room that knows web frameworks."""
