"""A web page that starts a workflow and shows how far it is. Kill the process while it runs, and start it again."""

import os
import time

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from dbos import DBOS, DBOSConfig, SetWorkflowID

app = FastAPI()

PAGE = """<!doctype html><title>project-name</title>
<p>Workflow <a href="/jobs/{id}">{id}</a> is started by opening <code>/jobs/ANY-ID</code>.</p>"""


@DBOS.step()
def work(number: int) -> int:
    time.sleep(0.2)
    return number


@DBOS.workflow()
def job(steps: int) -> int:
    total = 0
    for number in range(steps):
        total += work(number)
        DBOS.set_event("done", number + 1)
    return total


@app.get("/", response_class=HTMLResponse)
def index() -> str:
    return PAGE.format(id="first")


@app.get("/jobs/{job_id}")
def progress(job_id: str, steps: int = 10) -> dict[str, object]:
    with SetWorkflowID(job_id):  # opened again, it is the same job
        handle = DBOS.start_workflow(job, steps)
    status = handle.get_status()
    return {"status": status.status, "done": DBOS.get_event(job_id, "done", timeout_seconds=0), "result": status.output}


if __name__ == "__main__":
    config: DBOSConfig = {
        "name": "project-name",
        "system_database_url": os.environ.get("DBOS_SYSTEM_DATABASE_URL"),
    }
    DBOS(config=config)
    DBOS.launch()
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
