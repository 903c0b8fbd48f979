"""A web application that a test kills: `python web_server.py FRAMEWORK DATABASE_URL HOME` prints the port it serves.

Its only page is a workflow. Both its steps leave a line in `HOME/ledger`; the second waits for the file `HOME/gate`.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig

FRAMEWORK, DATABASE_URL, HOME = sys.argv[1], sys.argv[2], Path(sys.argv[3])


@DBOS.step()
def charge(customer: str) -> None:
    write_down(f"{customer} charged")


@DBOS.step()
def ship(customer: str) -> str:
    write_down(f"{customer} is being served")
    while not (HOME / "gate").exists():
        time.sleep(0.002)
    return f"parcel for {customer}"


def write_down(line: str) -> None:
    ledger = os.open(HOME / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(ledger, f"{line}\n".encode())
    finally:
        os.close(ledger)


@DBOS.workflow()
def buy(customer: str) -> dict[str, Any]:
    charge(customer)
    return {"id": DBOS.workflow_id, "parcel": ship(customer)}


CONFIG: DBOSConfig = {"name": "web-shop", "system_database_url": DATABASE_URL, "log_level": "WARNING"}


def serve_fastapi() -> None:
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()
    DBOS(config=CONFIG, fastapi=app)
    app.post("/purchases/{customer}")(buy)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none")).run(sockets=[listening])


def serve_flask() -> None:
    from flask import Flask
    from werkzeug.serving import make_server

    app = Flask("web-shop")
    DBOS(config=CONFIG, flask=app)
    DBOS.launch()
    app.post("/purchases/<customer>")(buy)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    {"fastapi": serve_fastapi, "flask": serve_flask}[FRAMEWORK]()
