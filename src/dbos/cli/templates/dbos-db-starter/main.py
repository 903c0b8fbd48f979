"""A transaction: what it writes to your own table commits together with the record of the step, so it happens once."""

import os
import sys

from sqlalchemy import text

from dbos import DBOS, DBOSConfig


@DBOS.transaction()
def create_table() -> None:
    DBOS.sql_session.execute(text("create table if not exists greetings (name text not null, message text not null)"))


@DBOS.transaction()
def add_greeting(name: str, message: str) -> int:
    values = {"name": name, "message": message}
    DBOS.sql_session.execute(text("insert into greetings (name, message) values (:name, :message)"), values)
    return int(DBOS.sql_session.execute(text("select count(*) from greetings")).scalar_one())


@DBOS.workflow()
def greet(name: str) -> int:
    create_table()
    return add_greeting(name, f"Hello, {name}!")


if __name__ == "__main__":
    config: DBOSConfig = {
        "name": "project-name",
        "system_database_url": os.environ.get("DBOS_SYSTEM_DATABASE_URL"),
    }
    DBOS(config=config)
    DBOS.launch()
    for name in sys.argv[1:] or ["Ada", "Grace"]:
        print(f"{greet(name)} greetings so far")
    DBOS.destroy()
