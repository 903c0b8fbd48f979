"""Runs the code blocks of one page, in order and in one namespace: the child process of test_snippets.py
and of tests/acceptance.

Reads a job (JSON) from the file named first on the command line and writes what each block printed to the second one.
The blocks are written to files of their own, so that tracebacks and `inspect.getsource` find their lines, and they run
as `__main__`, so that what they define can be pickled. A block with `await` at its top level runs on an event loop.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import sys
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

LAUNCH = """
import os
from dbos import DBOS
DBOS(config={"name": "docs", "system_database_url": os.environ["DOCS_DATABASE_URL"], "log_level": "CRITICAL"})
DBOS.launch()
"""


def run(job: dict[str, Any]) -> list[str]:
    """Run the blocks; returns what each of them printed."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    printed = []
    with asyncio.Runner() as runner:
        if job["launch"]:
            exec(compile(LAUNCH, "<launch>", "exec", dont_inherit=True), vars(main))
        for number, text in enumerate(job["blocks"]):
            file = Path(f"block_{number}.py")
            file.write_text(text, encoding="utf-8")
            code = compile(text, str(file.resolve()), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                if code.co_flags & inspect.CO_COROUTINE:
                    runner.run(_evaluate(code, vars(main)))
                else:
                    exec(code, vars(main))
            printed.append(output.getvalue())
        if job["launch"]:
            main.DBOS.destroy()  # type: ignore[attr-defined]
    return printed


async def _evaluate(code: CodeType, space: dict[str, Any]) -> None:
    await eval(code, space)


if __name__ == "__main__":
    answer = json.dumps(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    Path(sys.argv[2]).write_text(answer, encoding="utf-8")
