"""The tutorial's story is true: killed after the first day, the program goes on with the second."""

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.markdown import ROOT, blocks

PAGE = ROOT / "docs/tutorials/first-workflow.md"

TO_BE_KILLED = """
import runpy, time
pause, days = time.sleep, iter((0.5, 60))
time.sleep = lambda seconds: pause(next(days) if seconds == 0.5 else seconds)
runpy.run_path("app.py", run_name="__main__")
"""  # the program, whose second day lasts until it is killed, however late that is


def test_the_batch_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    found = blocks(PAGE)
    (program,) = [block for block in found if block.tag == "program"]
    (tmp_path / "app.py").write_text(program.text)
    killed, resumed, finished = [block.text.splitlines() for block in found if block.language == "console"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBOS_")}
    command = [sys.executable, "app.py"]

    with subprocess.Popen(
        [sys.executable, "-c", TO_BE_KILLED], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        seen = [first.stdout.readline().rstrip() for _ in range(2)]
        first.kill()  # the second day has begun, so the first one is recorded
        assert first.stdout.read() == ""
    assert seen == killed[-2:]

    for expected in (resumed, finished):
        assert expected[0] == "$ python app.py"
        again = subprocess.run(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, timeout=45, check=True
        )
        assert again.stdout.splitlines() == expected[1:]
