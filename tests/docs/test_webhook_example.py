"""examples/webhook_payment.py behind a real server, over HTTP: killed while an order waits for its payment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.example_servers import ExampleServer
from tests.support.waiting import eventually


@pytest.mark.timeout(120)  # two servers start
def test_an_order_is_completed_once_although_the_shop_is_killed_while_it_waits(
    tmp_path: Path, database_url: str
) -> None:
    log = tmp_path / "shop.log"
    with ExampleServer("webhook_payment.py", tmp_path, database_url) as shop:

        def ask(method: str, path: str) -> Any:
            return shop.ask(method, path).json()

        assert ask("POST", "orders/4711") == {"pay_at": "https://pay.example.com/4711"}
        assert shop.ask("POST", "webhook/payment/4712/paid").status_code == 404
        assert shop.ask("GET", "orders/4712").status_code == 404
        assert ask("GET", "orders/4711") == {"status": "PENDING", "result": None}
        shop.kill()
        assert log.read_text() == "4711 reserved\n4711 payment requested\n"

        shop.start()
        assert ask("GET", "orders/4711")["status"] == "PENDING"
        assert ask("POST", "webhook/payment/4711/paid") == {"received": "paid"}
        assert shop.ask("POST", "webhook/payment/4711/refused").status_code == 200  # too late: the first call counts
        eventually(lambda: ask("GET", "orders/4711") == {"status": "SUCCESS", "result": "shipped"})
        assert ask("POST", "orders/4711") == {"pay_at": "https://pay.example.com/4711"}
    assert log.read_text() == "4711 reserved\n4711 payment requested\n4711 shipped\n"
