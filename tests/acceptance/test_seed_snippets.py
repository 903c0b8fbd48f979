"""Every snippet of the reference that is covered so far runs verbatim, on both databases."""

import json
import os
import textwrap
from pathlib import Path

import pytest

from tests.acceptance.seed_snippets import CASES, NOT_YET, snippets
from tests.docs.markdown import ROOT
from tests.support.warm_python import WarmPython

RUNNER = ROOT / "tests/docs/run_blocks.py"
SNIPPETS = snippets()


@pytest.mark.parametrize("title", CASES)
def test_runs_verbatim(title: str, database_url: str, tmp_path: Path, warm_python: WarmPython) -> None:
    case = CASES[title]
    lines = SNIPPETS[title].splitlines()
    assert set(case.later) <= set(lines), "a line that was left for later is not in the snippet"
    snippet = "\n".join(line for line in lines if line not in case.later) + "\n"
    if case.inside:
        snippet = f"{case.inside}\n{textwrap.indent(snippet, '    ')}"
    job, answer = tmp_path / "job.json", tmp_path / "answer.json"
    job.write_text(json.dumps({"launch": case.launch, "blocks": [case.before, snippet, case.after]}))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBOS_")}
    environment |= {"DOCS_DATABASE_URL": database_url, "DBOS_SYSTEM_DATABASE_URL": database_url}
    process = warm_python.run([str(RUNNER), str(job), str(answer)], cwd=tmp_path, env=environment, timeout=45)
    assert process.returncode == 0, process.stderr


def test_no_snippet_is_forgotten() -> None:
    """Each one is covered or waits for a topic, and none does both."""
    assert not CASES.keys() & NOT_YET.keys()
    assert CASES.keys() | NOT_YET.keys() == SNIPPETS.keys()
    assert len(SNIPPETS) == 36
