"""Watch a workflow die by SIGKILL, twice, and carry on: `make demo`.

This script starts `order_service.py` as a worker process, watches the database and the ledger, and kills the worker
first in the middle of a step and then in a durable sleep. The next worker goes on where the last one stopped. At the
end the ledger (what happened in the world) and the database (what was recorded) must agree that every step took effect
exactly once; the exit code is 1 if they do not. Nothing here waits by guessing: every kill follows an observation.
"""

import argparse
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

SERVICE = Path(__file__).with_name("order_service.py")
ORDER_ID = "order-4711"
DEADLINE_SECONDS = 30.0  # for any single thing we wait for; each takes a fraction of a second

EXPECTED = Counter(
    [("reserve_stock", ORDER_ID), ("charge_card", ORDER_ID), ("send_receipt", ORDER_ID)]
    + [(step, item) for step in ("print_label", "hand_to_carrier") for item in ("teapot", "lamp", "atlas")]
)


class Demo:
    """The places where the truth is, and the worker that is running."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = home / "orders.sqlite"
        self.ledger = home / "ledger.jsonl"
        self.worker: subprocess.Popen[str] | None = None
        self.shown = 0  # entries of the ledger that were printed

    # ------------------------------------------------------------ workers

    def start_worker(self, number: int, comment: str) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DBOS_")}
        self.worker = subprocess.Popen(
            [sys.executable, str(SERVICE), str(self.home)], stdout=subprocess.PIPE, text=True, env=environment
        )
        print(f"\nworker {number}, pid {self.worker.pid}: {comment}")

    def kill_worker(self, when: str) -> None:
        assert self.worker is not None
        self.show_progress()
        os.kill(self.worker.pid, signal.SIGKILL)
        self.worker.communicate()
        print(f"  SIGKILL  {when}")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Show progress until the condition holds; give up if the worker ends before or time is over."""
        assert self.worker is not None
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            self.show_progress()
            if self.worker.poll() is not None or time.monotonic() > give_up_at:
                raise SystemExit(f"The worker should have come to the point where {what}, and did not.")
            time.sleep(0.005)

    # ------------------------------------------------------------ observations

    def query(self, sql: str, *values: str) -> list[tuple[object, ...]]:
        """What a second, reading connection to the system database sees."""
        try:
            connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)
        except sqlite3.OperationalError:
            return []  # not there yet
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError:
            return []  # being created right now
        finally:
            connection.close()

    def workflows(self) -> dict[str, str]:
        return dict(self.query("select workflow_uuid, status from workflow_status order by sequence"))  # type: ignore[arg-type]

    def steps(self, workflow_id: str) -> list[tuple[object, ...]]:
        return self.query(
            "select function_id, function_name, coalesce(output, error, child_workflow_id) from operation_outputs"
            " where workflow_uuid = ? order by function_id",
            workflow_id,
        )

    def entries(self) -> list[dict[str, object]]:
        if not self.ledger.exists():
            return []
        return [json.loads(line) for line in self.ledger.read_text().splitlines() if line.endswith("}")]

    def show_progress(self) -> None:
        for entry in self.entries()[self.shown :]:
            self.shown += 1
            if entry["event"] == "done":
                print(f"  {entry['step']:<16} {entry['subject']}")

    def show_checkpoints(self) -> None:
        print("\n  In the database:")
        for workflow_id, status in self.workflows().items():
            print(f"    {workflow_id:<13} {status}")
            for step_id, name, value in self.steps(workflow_id):
                print(f"      {step_id}  {name:<16} {value if value is not None else ''}")

    def asleep_seconds(self) -> float:
        """From the beginning of the sleep to the step after it."""
        times = self.query(
            "select min(started_at_epoch_ms), max(started_at_epoch_ms) from operation_outputs"
            " where workflow_uuid = ? and function_name in ('DBOS.sleep', 'send_receipt')",
            ORDER_ID,
        )
        ((begun, over),) = times
        return (over - begun) / 1000  # type: ignore[operator]

    # ------------------------------------------------------------ the conditions

    def one_shipment_hangs(self) -> bool:
        """Everything is checkpointed but one step, whose body has begun and waits for the carrier."""
        shipments = [(each, status) for each, status in self.workflows().items() if each != ORDER_ID]
        hanging = [each for each, status in shipments if status == "PENDING"]
        begun = {(entry["step"], entry["subject"]) for entry in self.entries()}
        return (
            len(shipments) == 3
            and len(hanging) == 1
            and len(self.steps(hanging[0])) == 1
            and len(self.steps(ORDER_ID)) == 6  # the order has the first result, and waits for the lamp
            and ("hand_to_carrier", "lamp") in begun
        )

    def is_asleep(self) -> bool:
        return any(name == "DBOS.sleep" for _, name, _ in self.steps(ORDER_ID))


def play(demo: Demo) -> str:
    """The story. Returns what the last worker printed: the result of the order."""
    (demo.home / "carrier-closed").touch()
    demo.start_worker(1, "a new order")
    demo.wait_until(demo.one_shipment_hangs, "one shipment hangs at the carrier")
    demo.kill_worker("while the lamp waits at a carrier that does not answer")
    demo.show_checkpoints()

    (demo.home / "carrier-closed").unlink()
    demo.start_worker(2, "finds the order, runs nothing again that is in the database")
    demo.wait_until(demo.is_asleep, "the order sleeps")
    demo.kill_worker("in a durable sleep of two seconds")

    demo.start_worker(3, "sleeps what is left of it, and finishes")
    assert demo.worker is not None
    output, _ = demo.worker.communicate(timeout=DEADLINE_SECONDS)
    demo.show_progress()
    return output.strip()


def judge(demo: Demo, result: str) -> list[str]:
    """Everything that is wrong; nothing, if each step took effect exactly once."""
    entries = demo.entries()
    began = Counter((entry["step"], entry["subject"]) for entry in entries if entry["event"] == "began")
    done = Counter((entry["step"], entry["subject"]) for entry in entries if entry["event"] == "done")
    recorded = Counter(
        name
        for (name,) in demo.query("select function_name from operation_outputs where function_name not like 'DBOS.%'")
    )
    wanted = Counter(step for step, _ in EXPECTED) + Counter({"ship_item": 3})  # the starts of children are steps, too
    interrupted = {("hand_to_carrier", "lamp")}

    wrong = []
    if done != EXPECTED:
        wrong.append(f"the ledger says that this took effect: {dict(done)}")
    if {step for step, times in began.items() if times > 1} != interrupted:
        wrong.append(f"other steps than the interrupted one began more than once: {dict(began)}")
    if recorded != wanted:
        wrong.append(f"the database recorded {dict(recorded)}")
    if set(demo.workflows().values()) != {"SUCCESS"} or len(demo.workflows()) != 4:
        wrong.append(f"the workflows ended as {demo.workflows()}")
    if result != "receipt for 3 parcels sent":
        wrong.append(f"the result is {result!r}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Watch a workflow die by SIGKILL, twice, and carry on exactly once.")
    parser.add_argument("--keep", metavar="DIRECTORY", type=Path, help="work in this directory and leave it behind")
    home: Path | None = parser.parse_args().keep
    if home is not None:
        home.mkdir(parents=True)
    demo = Demo(home.resolve() if home is not None else Path(tempfile.mkdtemp(prefix="dbos-demo-")))
    started = time.monotonic()
    try:
        result = play(demo)
        wrong = judge(demo, result)
        asleep_seconds = demo.asleep_seconds()
    finally:
        if demo.worker is not None and demo.worker.poll() is None:
            demo.worker.kill()
            demo.worker.wait()
        if home is None:
            shutil.rmtree(demo.home, ignore_errors=True)

    print(f"\nThe order ended after {time.monotonic() - started:.1f} s and three processes with: {result}")
    print(f"The sleep of two seconds took {asleep_seconds:.2f} s, over the death of the process that began it.")
    for problem in wrong:
        print(f"  WRONG: {problem}")
    if not wrong:
        print(f"Ledger and database agree: each of the {len(EXPECTED)} steps took effect exactly once.")
        print("One of them, the hand-over of the lamp, began twice: it was killed before it was done.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(main())
