"""A web shop whose payment service calls back: the workflow of an order waits for the webhook, however long it takes.

    python examples/webhook_payment.py [PORT]

    curl -X POST localhost:8000/orders/4711                    places an order; answers where to pay
    curl -X POST localhost:8000/webhook/payment/4711/paid      what the payment service does
    curl localhost:8000/orders/4711                            what has become of it

Kill the process while an order waits, start it again, and call the webhook then: the order is completed once. Needs
FastAPI and uvicorn. What the steps do in the world is written to `shop.log`, in the directory where it was started.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException

from dbos import DBOS, SetWorkflowID, error

LOG = "shop.log"
PATIENCE_SECONDS = 3600.0


def write_down(line: str) -> None:
    """Append to the log, on disk before anything else happens."""
    log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(log, f"{line}\n".encode())
        os.fsync(log)
    finally:
        os.close(log)


@DBOS.step()
def reserve(order_id: str) -> None:
    write_down(f"{order_id} reserved")


@DBOS.step()
def request_payment(order_id: str) -> str:
    write_down(f"{order_id} payment requested")
    return f"https://pay.example.com/{order_id}"


@DBOS.step()
def ship(order_id: str) -> None:
    write_down(f"{order_id} shipped")


@DBOS.step()
def release(order_id: str) -> None:
    write_down(f"{order_id} released")


@DBOS.workflow()
def order(order_id: str) -> str:
    reserve(order_id)
    DBOS.set_event("payment-url", request_payment(order_id))
    payment = DBOS.recv("payment", timeout_seconds=PATIENCE_SECONDS)
    if payment != "paid":
        release(order_id)
        return "cancelled"
    ship(order_id)
    return "shipped"


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    DBOS(config={"name": "web-shop", "log_level": "WARNING"})
    DBOS.launch()  # also carries on with the orders that an earlier process left waiting
    yield
    DBOS.destroy()


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}")
async def place_order(order_id: str) -> dict[str, Any]:
    """The order's ID is the workflow's: placing it again attaches to the one that is there."""
    with SetWorkflowID(order_id):
        await DBOS.start_workflow_async(order, order_id)
    return {"pay_at": await DBOS.get_event_async(order_id, "payment-url", timeout_seconds=30)}


@app.post("/webhook/payment/{order_id}/{status}")
async def payment_webhook(order_id: str, status: str) -> dict[str, Any]:
    """Payment services call more than once, to be sure; the key lets the first call count."""
    try:
        await DBOS.send_async(order_id, status, "payment", idempotency_key=f"payment of {order_id}")
    except error.DBOSNonExistentWorkflowError:
        raise HTTPException(404, "there is no such order") from None
    return {"received": status}


@app.get("/orders/{order_id}")
async def look_at_order(order_id: str) -> dict[str, Any]:
    status = await DBOS.get_workflow_status_async(order_id)
    if status is None:
        raise HTTPException(404, "there is no such order")
    return {"status": status.status, "result": status.output}


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
