"""examples/webhook_payment.py behind a real server, over HTTP: killed while an order waits for its payment."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.docs.markdown import ROOT
from tests.support.waiting import eventually

STARTING_SECONDS = 40.0  # on a busy machine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def shop(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The example as a process of its own, once it answers."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBOS_")}
    command = [sys.executable, str(ROOT / "examples" / "webhook_payment.py"), str(home), str(port)]
    with subprocess.Popen(command, cwd=home, env=environment) as process:
        try:
            eventually(lambda: is_up(port), STARTING_SECONDS)
            yield process
        finally:
            process.kill()


def is_up(port: int) -> bool:
    try:
        return ask(port, "GET", "/orders/nothing").status_code == 404
    except httpx.TransportError:
        return False


def ask(port: int, method: str, path: str) -> httpx.Response:
    return httpx.request(method, f"http://127.0.0.1:{port}{path}", timeout=30, trust_env=False)


def outcome(port: int) -> Any:
    answer = ask(port, "GET", "/orders/4711").json()
    return answer["status"] == "SUCCESS" and answer["result"]


def test_an_order_is_completed_once_although_the_shop_is_killed_while_it_waits(tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "shop.log"
    with shop(tmp_path, port) as process:
        assert ask(port, "POST", "/orders/4711").json() == {"pay_at": "https://pay.example.com/4711"}
        assert ask(port, "POST", "/webhook/payment/4712/paid").status_code == 404
        assert ask(port, "GET", "/orders/4711").json() == {"status": "PENDING", "result": None}
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    assert log.read_text() == "4711 reserved\n4711 payment requested\n"
    with shop(tmp_path, port) as process:
        assert ask(port, "POST", "/webhook/payment/4711/paid").json() == {"received": "paid"}
        assert ask(port, "POST", "/webhook/payment/4711/refused").status_code == 200  # too late: the first call counts
        assert eventually(lambda: outcome(port)) == "shipped"
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    with shop(tmp_path, port):
        assert ask(port, "POST", "/orders/4711").json() == {"pay_at": "https://pay.example.com/4711"}
        assert outcome(port) == "shipped"
    assert log.read_text() == "4711 reserved\n4711 payment requested\n4711 shipped\n"
