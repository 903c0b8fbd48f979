"""An order, from the warehouse to the receipt: the application that `demo.py` kills twice.

It is an ordinary program: workflows, steps, and a `main` that launches and starts one order. Each step also writes what
it does to a ledger, on disk before it goes on, so that what happened in the world can be told from what the database
says. Run it alone with `python examples/order_service.py DIRECTORY`.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbos import DBOS, SetWorkflowID

HOME = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
DATABASE = HOME / "orders.sqlite"
LEDGER = HOME / "ledger.jsonl"
CARRIER_CLOSED = HOME / "carrier-closed"  # while this file exists, the carrier keeps fragile parcels waiting

ORDER_ID = "order-4711"
ITEMS = {"teapot": 39.5, "lamp": 74.0, "atlas": 28.0}
FRAGILE = {"lamp"}
COOLING_OFF_SECONDS = 2.0


@contextmanager
def noted(step: str, subject: str) -> Iterator[None]:
    """Write to the ledger when a step begins and when it is done, each on disk before anything else happens."""
    _write_down(step, subject, "began")
    yield
    _write_down(step, subject, "done")


def _write_down(step: str, subject: str, event: str) -> None:
    line = json.dumps({"pid": os.getpid(), "step": step, "subject": subject, "event": event})
    ledger = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(ledger, line.encode() + b"\n")
        os.fsync(ledger)
    finally:
        os.close(ledger)


@DBOS.step()
def reserve_stock(order_id: str, items: list[str]) -> str:
    with noted("reserve_stock", order_id):
        return f"{len(items)} items reserved"


@DBOS.step()
def charge_card(order_id: str, amount: float) -> str:
    with noted("charge_card", order_id):
        return f"{amount:.2f} EUR charged"


@DBOS.step()
def print_label(order_id: str, item: str) -> str:
    with noted("print_label", item):
        return f"{order_id}/{item}"


@DBOS.step()
def hand_to_carrier(item: str, label: str) -> str:
    with noted("hand_to_carrier", item):
        while item in FRAGILE and CARRIER_CLOSED.exists():
            time.sleep(0.01)  # another party takes its time, as other parties do
        return f"parcel {label} handed over"


@DBOS.step()
def send_receipt(order_id: str, parcels: list[str]) -> str:
    with noted("send_receipt", order_id):
        return f"receipt for {len(parcels)} parcels sent"


@DBOS.workflow()
def ship_item(order_id: str, item: str) -> str:
    label = print_label(order_id, item)
    return hand_to_carrier(item, label)


@DBOS.workflow()
def fulfil_order(order_id: str, items: dict[str, float]) -> str:
    reserve_stock(order_id, list(items))
    charge_card(order_id, sum(items.values()))
    shipments = [DBOS.start_workflow(ship_item, order_id, item) for item in items]
    parcels = [shipment.get_result() for shipment in shipments]
    DBOS.sleep(COOLING_OFF_SECONDS)
    return send_receipt(order_id, parcels)


def main() -> None:
    DBOS(config={"name": "orders", "system_database_url": f"sqlite:///{DATABASE}", "log_level": "WARNING"})
    DBOS.launch()  # also carries on with whatever an earlier process left unfinished
    with SetWorkflowID(ORDER_ID):  # the ID makes the order unique: starting it again attaches to the one that exists
        order = DBOS.start_workflow(fulfil_order, ORDER_ID, ITEMS)
    print(order.get_result())
    DBOS.destroy()


if __name__ == "__main__":
    main()
