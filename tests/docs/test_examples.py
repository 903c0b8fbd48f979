"""The examples run as a newcomer runs them: as programs of their own, in an empty directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT
from tests.support.warm_python import WarmPython

OUTPUTS = {
    "scheduled_app.py": "report of 28 March 2025, 07:30 GMT for Ada and Alan\n"
    "report of 31 March 2025, 07:30 BST for Ada and Alan\n"
    "2 readings, 1 second apart\n",
    "search_as_you_type.py": "novel: indexing 'start when they pause'\n"
    "21 keystrokes, 1 workflow, 4 words\n"
    "novel: indexing 'and begin anew after that'\n"
    "25 keystrokes, 1 workflow, 5 words\n",
    "fan_out.py": "20 pages, 13100 words; the fastest mirror is near\n",
    "retries.py": "answer of attempt 2, and no teapot at once\n"
    "failed after 2 attempts: the service is down\n"
    "resumed: the service answered\n",
    "configured_instances.py": "from me@example.com to Ada: please come\n"
    "from me@example.com to Alan: please come\n"
    "from office@example.com to Grace: please come\n"
    "stored as class Mailbox, instance work; also Mailbox\n",
    "fan_in_by_queue.py": "210 words on 20 pages, the first counted by workflow survey-1\n",
    "rate_limited_calls.py": "12 calls, from regal to drawer; within 0.5 s never more than 5\n",
    "user_partitions.py": "ada begins sea, ada ends sea, ada begins hill, ada ends hill\n"
    "bob begins sea, bob ends sea, bob begins hill, bob ends hill\n",
}
OTHERWISE_TESTED = {
    "demo.py",
    "order_service.py",
    "progress_page.py",
    "shop/app.py",
    "webhook_payment.py",
    "worker_fleet.py",
}
FLEET = (
    "40 parcels, from parcel 0 to parcel 39\n"
    "never more than 4 at a time\n"
    "one worker was killed, with status -9; the other one carried on\n"
)

JUDGE = """
import pathlib, sys
import demo
sys.exit(len(demo.judge(demo.Demo(pathlib.Path(sys.argv[1])), "receipt for 3 parcels sent")))
"""


def environment() -> dict[str, str]:
    """Nothing in it configures us."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DBOS_")}
    return inherited | {"PYTHONWARNINGS": "error"}


def run(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )


@pytest.mark.parametrize("name", OUTPUTS)
def test_example(name: str, tmp_path: Path, warm_python: WarmPython) -> None:
    process = warm_python.run([str(ROOT / "examples" / name)], cwd=tmp_path, env=environment(), timeout=45)
    assert (process.returncode, process.stdout) == (0, OUTPUTS[name]), process.stderr


def test_every_example_is_run() -> None:
    examples = {path.relative_to(ROOT / "examples").as_posix() for path in (ROOT / "examples").rglob("*.py")}
    assert examples == OUTPUTS.keys() | OTHERWISE_TESTED


def test_worker_fleet(database_url: str, tmp_path: Path) -> None:
    process = run(tmp_path, str(ROOT / "examples" / "worker_fleet.py"), database_url)
    assert (process.returncode, process.stdout) == (0, FLEET), process.stderr


def test_demo(tmp_path: Path) -> None:
    process = run(tmp_path, str(ROOT / "examples" / "demo.py"), "--keep", str(tmp_path / "demo"))
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stderr == ""
    assert process.stdout.count("SIGKILL") == 2
    assert "each of the 9 steps took effect exactly once" in process.stdout


def test_demo_notices_a_repeated_step(tmp_path: Path) -> None:
    """The verdict is worth something only if it can be bad: one more line in the ledger must turn it."""
    home = tmp_path / "demo"
    assert run(tmp_path, str(ROOT / "examples" / "demo.py"), "--keep", str(home)).returncode == 0
    ledger = home / "ledger.jsonl"
    charged = next(line for line in ledger.read_text().splitlines() if '"charge_card"' in line and '"done"' in line)
    judge = tmp_path / "judge.py"
    judge.write_text(JUDGE)
    (tmp_path / "demo.py").write_text((ROOT / "examples" / "demo.py").read_text())
    assert run(tmp_path, str(judge), str(home)).returncode == 0
    ledger.write_text(ledger.read_text() + charged + "\n")
    assert run(tmp_path, str(judge), str(home)).returncode == 1
