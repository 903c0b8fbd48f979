"""Every Python block of the README and of docs/ runs, and prints what the page says it prints."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.docs.markdown import ROOT, Block, blocks, pages
from tests.support.warm_python import WarmPython

RUNNER = Path(__file__).with_name("run_blocks.py")
TIMEOUT_SECONDS = 45.0  # each takes about half a second; a page that hangs must say so before its test is killed

KNOWN = {
    *(("python", tag) for tag in ("", "program", "pytest", "excerpt")),
    ("json", ""),
    *(("text", tag) for tag in ("", "output")),
    ("console", ""),
    *(("sql", tag) for tag in ("query", "postgres")),
    ("yaml", ""),  # test_pages.py reads it
}


def page_programs() -> Iterator[Any]:
    """Per page: the blocks that belong together; and each block that is a program of its own."""
    for path in pages():
        found = [block for block in blocks(path) if block.language in ("python", "text")]
        python = [block for block in found if block.language == "python"]
        if shared := [block for block in python if not block.tag]:
            yield pytest.param(shared, False, _outputs(found), id=shared[0].page)
        for block in python:
            if block.tag == "program":
                yield pytest.param([block], True, _outputs(found), id=f"{block.page}:{block.line}")


def _outputs(found: list[Block]) -> dict[int, Block]:
    """Line of a Python block -> the block with its output."""
    pairs = pairwise(found)
    return {code.line: text for code, text in pairs if code.language == "python" and text.tag == "output"}


@pytest.mark.parametrize(("parts", "alone", "outputs"), list(page_programs()))
def test_runs(
    parts: list[Block], alone: bool, outputs: dict[int, Block], tmp_path: Path, warm_python: WarmPython
) -> None:
    job, answer = tmp_path / "job.json", tmp_path / "answer.json"
    job.write_text(json.dumps({"launch": not alone, "blocks": [_located(part) for part in parts]}))
    command = [str(RUNNER), str(job), str(answer)]
    process = warm_python.run(command, cwd=tmp_path, env=environment(tmp_path), timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, f"{parts[0].page} (block_N.py is its N-th block)\n{process.stderr}"
    for part, printed in zip(parts, json.loads(answer.read_text()), strict=True):
        if part.line in outputs:
            assert printed == outputs[part.line].text, f"{part.page}:{part.line} prints something else"


def environment(directory: Path) -> dict[str, str]:
    """Nothing in it configures us."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DBOS_")}
    url = f"sqlite:///{directory / 'docs.sqlite'}"
    return inherited | {"DOCS_DATABASE_URL": url, "PYTHONWARNINGS": "error"}


def _located(part: Block) -> str:
    """The code, moved down to where it stands on its page, so that tracebacks name the line of the page."""
    return "\n" * (part.line - 1) + part.text


def test_files_of_tests_pass(tmp_path: Path) -> None:
    found = [block for path in pages() for block in blocks(path) if block.tag == "pytest"]
    assert found
    for number, block in enumerate(found):
        file = tmp_path / f"test_{number}.py"
        file.write_text(_located(block), encoding="utf-8")
        process = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "dbos_pytest", "-p", "no:cacheprovider", str(file)],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert process.returncode == 0, process.stdout


def test_excerpts_stand_where_a_test_compares_them() -> None:
    """With the program they are from: test_shop.py."""
    assert {block.page for path in pages() for block in blocks(path) if block.tag == "excerpt"} == {
        "docs/tutorials/shop.md"
    }


def test_tags_are_known() -> None:
    """A misspelt tag would silently keep a block from running."""
    tags = {(block.language, block.tag) for path in pages() for block in blocks(path)}
    assert tags <= KNOWN


def test_there_are_snippets_to_run() -> None:
    """Should the pages move, this test is not satisfied with nothing."""
    assert len(list(page_programs())) >= 15
    assert (ROOT / "README.md").exists()
