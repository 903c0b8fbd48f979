"""A shop that can be killed at any click.

    python examples/shop/app.py [PORT]      then open http://127.0.0.1:8000, or the port you chose

Buy something, and press "Kill the server" at any moment you like: while you order, while the bank waits for you, while
the parcel is on its way. Start the program again: nothing was lost, nothing happens twice. Everything is kept in the
file shop.sqlite, or in the Postgres database that DBOS_SYSTEM_DATABASE_URL names. Needs FastAPI, uvicorn and
SQLAlchemy. The tutorial docs/tutorials/shop.md explains how it is made.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.staticfiles import StaticFiles
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dbos import DBOS, SQLAlchemyDatasource, error

DATABASE_URL = os.environ.get("DBOS_SYSTEM_DATABASE_URL", "sqlite:///shop.sqlite")
PATIENCE_SECONDS = 600.0  # for a payment
STAGES = 5  # of a parcel's way
SECONDS_PER_STAGE = float(os.environ.get("SECONDS_PER_STAGE", "1.5"))

app = FastAPI(title="shop")
DBOS(config={"name": "shop", "system_database_url": DATABASE_URL}, fastapi=app)


# ---------------------------------------------------------------- the shop's own tables


class Table(DeclarativeBase):
    pass


class Product(Table):
    __tablename__ = "products"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    cents: Mapped[int]
    stock: Mapped[int]


class Order(Table):
    __tablename__ = "orders"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)  # of its workflow
    product_id: Mapped[str]
    status: Mapped[str]
    stage: Mapped[int] = mapped_column(default=0)


ASSORTMENT = {"lantern": ("Storm lantern", 4900), "compass": ("Pocket compass", 2750), "kettle": ("Camp kettle", 3600)}
STOCK = 8


# ---------------------------------------------------------------- what is done to them, each in one transaction

data = SQLAlchemyDatasource.create(DATABASE_URL)


@data.transaction
def open_shop() -> None:
    """Create the tables and fill the shelves, the first time."""
    session = data.sql_session()
    Table.metadata.create_all(session.connection())
    for product_id, (name, cents) in ASSORTMENT.items():
        if session.get(Product, product_id) is None:
            session.add(Product(id=product_id, name=name, cents=cents, stock=STOCK))


@data.transaction
def reserve(order_id: str, product_id: str) -> bool:
    """Take a product from the shelf and write down the order: both, or neither."""
    session = data.sql_session()
    product = session.get_one(Product, product_id, with_for_update=True)
    if product.stock == 0:
        return False
    product.stock -= 1
    session.add(Order(id=order_id, product_id=product_id, status="waiting for payment"))
    return True


@data.transaction
def put_back(order_id: str) -> None:
    """Nobody paid."""
    session = data.sql_session()
    order = find(order_id)
    order.status = "cancelled"
    session.get_one(Product, order.product_id, with_for_update=True).stock += 1


@data.transaction
def mark_paid(order_id: str) -> None:
    find(order_id).status = "paid"


@data.transaction
def move_on(order_id: str, stage: int) -> None:
    """The parcel has come that far."""
    order = find(order_id)
    order.stage = stage
    order.status = "on its way" if stage < STAGES else "delivered"


@data.transaction
def fill_shelves() -> None:
    for product in data.sql_session().scalars(select(Product).with_for_update()):
        product.stock = max(product.stock, STOCK)


@data.transaction
def look_around() -> dict[str, Any]:
    """What the page shows."""
    session = data.sql_session()
    products = session.scalars(select(Product).order_by(Product.cents.desc())).all()
    orders = session.scalars(select(Order).order_by(Order.number.desc())).all()
    names = {product.id: product.name for product in products}
    return {
        "products": [{"id": p.id, "name": p.name, "cents": p.cents, "stock": p.stock} for p in products],
        "orders": [
            {"number": o.number, "id": o.id, "product": names[o.product_id], "status": o.status, "stage": o.stage}
            for o in orders
        ],
        "stages": STAGES,
    }


def find(order_id: str) -> Order:
    return data.sql_session().scalars(select(Order).where(Order.id == order_id).with_for_update()).one()


# ---------------------------------------------------------------- the workflows: all that must happen, in order


@DBOS.workflow()
def check_out(product_id: str) -> str:
    """An order, from the click to the parcel's departure. Its ID is the order's."""
    order_id = DBOS.workflow_id
    if not reserve(order_id, product_id):
        DBOS.set_event("answer", "sold out")
        return "sold out"
    DBOS.set_event("answer", "please pay")
    payment = DBOS.recv("payment", timeout_seconds=PATIENCE_SECONDS)  # may wait for days, through any restart
    if payment != "accepted":
        put_back(order_id)
        return "cancelled"
    mark_paid(order_id)
    DBOS.start_workflow(deliver, order_id)
    return "paid"


@DBOS.workflow()
def deliver(order_id: str) -> None:
    """The parcel travels in the background, stage by stage."""
    for stage in range(1, STAGES + 1):
        DBOS.sleep(SECONDS_PER_STAGE)
        move_on(order_id, stage)


@app.post("/restock")
@DBOS.workflow()
def restock() -> None:
    fill_shelves()


# ---------------------------------------------------------------- what the page asks for


@app.get("/state")
def state() -> dict[str, Any]:
    return look_around()


@app.post("/orders/{product_id}")
def order(product_id: str) -> dict[str, Any]:
    """The header `dbos-idempotency-key` is the ID of the order: asking again finds the order that is there."""
    if product_id not in ASSORTMENT:
        raise HTTPException(404, "there is no such product")
    order_id = DBOS.start_workflow(check_out, product_id).workflow_id
    return {"order": order_id, "answer": DBOS.get_event(order_id, "answer")}


@app.post("/payments/{order_id}/{answer}")
def payment(order_id: str, answer: str) -> dict[str, str]:
    """What the bank calls. Banks call more than once, to be sure; the key lets the first call count."""
    try:
        DBOS.send(order_id, answer, "payment", idempotency_key=f"payment of {order_id}")
    except error.DBOSNonExistentWorkflowError:
        raise HTTPException(404, "there is no such order") from None
    return {"received": answer}


@app.post("/kill")
def kill() -> None:
    """Not for shops that earn money."""
    os.kill(os.getpid(), signal.SIGKILL)


app.mount("/", StaticFiles(directory=Path(__file__).with_name("page"), html=True))

if __name__ == "__main__":
    open_shop()
    uvicorn.run(app, port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000, log_level="warning")
