"""A page in the browser that follows a workflow, by server-sent events, through restarts of the server.

The workflow leaves its progress behind in a stream. The page listens to `/bakes/ID/events`, whose events carry the
offset to go on from. When the connection breaks, the browser comes back by itself and sends the last offset it has
seen as `Last-Event-ID`: it misses nothing and sees nothing twice. Kill the server in between and start it again: the
workflow carries on, and so does the page. Run it with `python examples/progress_page.py [PORT]` and open
http://127.0.0.1:8000, or the port you chose. Needs FastAPI and uvicorn.
"""

import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import HTMLResponse, StreamingResponse

from dbos import DBOS, SetWorkflowID

SECONDS_PER_LOAF = float(os.environ.get("SECONDS_PER_LOAF", "0.5"))
LOAVES = 20
RECONNECT_MS = 200

PAGE = """<!doctype html>
<title>Bakery</title>
<h1>Bakery</h1>
<ol id="loaves"></ol>
<p id="state">waiting</p>
<script>
  const bake = new URLSearchParams(location.search).get("bake") ?? crypto.randomUUID();
  const state = document.getElementById("state");
  fetch(`/bakes/${bake}`, { method: "POST" }).then(() => {
    const events = new EventSource(`/bakes/${bake}/events`);
    events.onopen = () => { state.textContent = "connected"; };
    events.onerror = () => { state.textContent = "interrupted"; };  // the browser tries again by itself
    events.onmessage = (event) => {
      const line = document.createElement("li");
      line.textContent = JSON.parse(event.data).loaf;
      document.getElementById("loaves").append(line);
    };
    events.addEventListener("end", () => { events.close(); state.textContent = "done"; });
  });
</script>
"""


@DBOS.step()
def bake_loaf(number: int) -> str:
    time.sleep(SECONDS_PER_LOAF)
    return f"loaf {number}"


@DBOS.workflow()
def bake(loaves: int) -> int:
    for number in range(1, loaves + 1):
        DBOS.write_stream("progress", {"loaf": bake_loaf(number)})
    DBOS.close_stream("progress")
    return loaves


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    DBOS(config={"name": "bakery", "log_level": "WARNING"})
    DBOS.launch()  # also carries on with whatever an earlier process left unfinished
    yield
    DBOS.destroy()


app = FastAPI(lifespan=lifespan)


@app.get("/")
def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.post("/bakes/{bake_id}")
async def start(bake_id: str) -> dict[str, str]:
    with SetWorkflowID(bake_id):  # starting it again, as a page that is reloaded does, attaches to the one that exists
        handle = await DBOS.start_workflow_async(bake, LOAVES)
    return {"workflow_id": handle.workflow_id}


@app.get("/bakes/{bake_id}/events")
async def events(bake_id: str, last_event_id: int = Header(default=0)) -> StreamingResponse:
    if await DBOS.get_workflow_status_async(bake_id) is None:
        raise HTTPException(404, "there is no such bake")
    return StreamingResponse(follow(bake_id, last_event_id), media_type="text/event-stream")


async def follow(bake_id: str, offset: int) -> AsyncIterator[str]:
    """The rest of the stream from an offset on; the id of an event is where to go on after it."""
    yield f"retry: {RECONNECT_MS}\n\n"
    async for value in DBOS.read_stream_async(bake_id, "progress", offset=offset):
        offset += 1
        yield f"id: {offset}\ndata: {json.dumps(value)}\n\n"
    yield "event: end\ndata:\n\n"


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
