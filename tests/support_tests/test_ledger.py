"""What user code did is known even if its process died while it said so."""

from __future__ import annotations

from pathlib import Path

from tests.support.worker_ledger import Ledger


def test_half_a_line_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    Ledger(path).write("begin", "before", 1, "step")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole + whole[:length])  # its process was killed here
        Ledger(path).write("begin", "after", 1, "step")
        begun = [entry.workflow_id for entry in Ledger(path).begun()]
        complete = length == len(whole) - 1  # all but the end of the line
        assert begun == ["before", *["before"] * complete, "after"]
