"""How much memory is resident once an application with one workflow has launched? (Linux: VmRSS)"""

from __future__ import annotations

from pathlib import Path

from session import Session

from dbos import DBOS


@DBOS.workflow()
def nothing() -> None:
    return None


session = Session()
session.launch()

status = Path("/proc/self/status").read_text()
resident_kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
session.report(resident_kilobytes / 1024)
