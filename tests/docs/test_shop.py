"""examples/shop in a real browser, and over bare HTTP: killed at every click, and every order happens once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.docs.markdown import ROOT, blocks
from tests.support.browser import Browser, browser, require_browser
from tests.support.example_servers import ExampleServer
from tests.support.raw_sql import run_sql
from tests.support.waiting import eventually

STOCK = 8


def shop(tmp_path: Path, database_url: str, seconds_per_stage: float = 0.2) -> ExampleServer:
    return ExampleServer("shop/app.py", tmp_path, database_url, SECONDS_PER_STAGE=str(seconds_per_stage))


def test_the_tutorial_shows_what_runs() -> None:
    program = (ROOT / "examples/shop/app.py").read_text(encoding="utf-8")
    excerpts = [block for block in blocks(ROOT / "docs/tutorials/shop.md") if block.tag == "excerpt"]
    assert len(excerpts) >= 5
    for block in excerpts:
        assert block.text in program, f"{block.page}:{block.line}"


def click(page: Browser, selector: str) -> None:
    page.run(f"document.querySelector({selector!r}).click()")


def statuses(page: Browser) -> list[str]:
    return page.texts("#orders .status")


def workflows(database_url: str) -> list[tuple[Any, ...]]:
    return run_sql(
        database_url, "select name, status, count(*) from workflow_status group by name, status order by name"
    )


@pytest.mark.timeout(240)  # a browser and six servers start
def test_every_order_happens_once_although_the_server_is_killed_at_every_click(tmp_path: Path, sqlite_url: str) -> None:
    require_browser()
    on_its_way = 1.0  # at each stage: long enough to be seen there by a page that asks now and then
    with browser(tmp_path / "profile") as page, shop(tmp_path, sqlite_url, on_its_way) as server:
        page.open(server.url)
        eventually(lambda: len(page.texts("#products article")) == 3)

        def restart_after_click(selector: str) -> None:
            click(page, selector)
            server.kill()
            eventually(lambda: page.run("return !document.querySelector('#closed').hidden"))
            server.start()

        restart_after_click("#product-lantern button")
        eventually(lambda: page.texts("#bank[open] #purpose") == ["for order № 1, Storm lantern"])
        server.kill()
        server.start()  # while the bank waits
        restart_after_click("#accept")
        eventually(lambda: statuses(page) == ["on its way"])
        click(page, "#kill")
        server.wait_until_dead()
        server.start()

        restart_after_click("#product-kettle button")
        eventually(lambda: page.texts("#bank[open] #purpose") == ["for order № 2, Camp kettle"])
        eventually(lambda: page.texts(".stock") == ["7 in stock", "7 in stock", "8 in stock"])
        restart_after_click("#decline")
        eventually(lambda: statuses(page) == ["cancelled", "delivered"])
        eventually(lambda: page.texts(".stock") == ["7 in stock", "8 in stock", "8 in stock"])

        click(page, "#restock")
        eventually(lambda: page.texts(".stock") == ["8 in stock"] * 3)

    assert workflows(sqlite_url) == [("check_out", "SUCCESS", 2), ("deliver", "SUCCESS", 1), ("restock", "SUCCESS", 1)]
    orders = run_sql(sqlite_url, "select number, product_id, status, stage from orders order by number")
    assert orders == [(1, "lantern", "delivered", 5), (2, "kettle", "cancelled", 0)]


@pytest.mark.timeout(120)
def test_the_last_one_is_sold_once_on_postgres_too(tmp_path: Path, postgres_url: str) -> None:
    with shop(tmp_path, postgres_url) as server:
        for number in range(STOCK):
            answer = {"order": f"order-{number}", "answer": "please pay"}
            assert server.ask("POST", "orders/lantern", key=f"order-{number}").json() == answer
        assert server.ask("POST", "orders/lantern", key="too-late").json()["answer"] == "sold out"
        server.kill()
        server.start()
        assert server.ask("POST", "orders/lantern", key="order-0").json()["order"] == "order-0"
        assert server.ask("POST", "payments/order-0/accepted").status_code == 200
        server.kill()
        server.start()
        assert server.ask("POST", "payments/order-0/declined").status_code == 200  # too late: the first call counts
        assert server.ask("POST", "payments/order-1/declined").status_code == 200
        assert server.ask("POST", "payments/nobody/accepted").status_code == 404
        assert server.ask("POST", "orders/anchor").status_code == 404

        def found() -> tuple[str, str, int]:
            state = server.ask("GET", "state").json()
            by_id = {order["id"]: order["status"] for order in state["orders"]}
            return by_id["order-0"], by_id["order-1"], state["products"][0]["stock"]

        eventually(lambda: found() == ("delivered", "cancelled", 1))
        assert len(server.ask("GET", "state").json()["orders"]) == STOCK
    assert workflows(postgres_url) == [
        ("check_out", "PENDING", STOCK - 2),
        ("check_out", "SUCCESS", 3),
        ("deliver", "SUCCESS", 1),
    ]
