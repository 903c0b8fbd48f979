"""The report says what the results say, and what it names exists."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.torture import report, results
from tests.torture.__main__ import main
from tests.torture.enumerations import ENUMERATIONS, read_report, read_words
from tests.torture.invariants import INVARIANTS
from tests.torture.results import ROOT, Result
from tests.torture.scenario import SCENARIOS

RESULT = Result(
    name="fleet-sqlite",
    what="Executors | are killed.",
    faults=("F13",),
    invariants=("I1", "I3"),
    counts={"kills": 1_200},
    verdict="held",
    words="",
    seconds=61.4,
    command="python -m tests.torture --only fleet-sqlite --minutes 1 --seed 7",
    commit="abc",
    machine="2 cores",
)


def test_a_line_of_the_report() -> None:
    page = report.page([RESULT, replace(RESULT, name="zombies-sqlite", verdict="BROKEN", words="I4: two outcomes")])
    assert (
        "| **fleet-sqlite** (F13): Executors / are killed. | 1,200 kills | held | 61 s | abc |\n"
        "| **zombies-sqlite** (F13): Executors / are killed. | 1,200 kills | BROKEN: I4: two outcomes | 61 s | abc |"
    ) in page
    assert f"$ {RESULT.command}\n" in page
    assert re.search(r"^\| \*\*I1\*\* [^|]+ \| fleet-sqlite \|", page, re.MULTILINE)
    assert re.search(r"^\| \*\*I2\*\* [^|]+ \| – \|", page, re.MULTILINE)


def test_the_report_is_that_of_the_kept_results() -> None:
    written = report.DOCUMENT.read_text(encoding="utf-8")
    assert written == report.page(list(results.load().values())), "run `python -m tests.torture report`"


def test_invariants_name_tests_that_exist() -> None:
    assert list(INVARIANTS) == [f"I{number}" for number in range(1, 51)]
    for number, (_, tests) in INVARIANTS.items():
        assert tests, number
        for test in tests:
            path, _, name = test.partition("::")
            code = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {name}\(", code, re.MULTILINE), test


@pytest.mark.parametrize("each", [*SCENARIOS.values(), *ENUMERATIONS.values()], ids=lambda each: each.name)
def test_lines_name_invariants_and_faults_that_exist(each: object) -> None:
    assert set(each.invariants) <= INVARIANTS.keys()  # type: ignore[attr-defined]
    assert {f"F{number}" for number in range(1, 34)} >= set(each.faults)  # type: ignore[attr-defined]


def test_what_programs_counted(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase><properties><property name="kills" value="20"/></properties></testcase>'
        '<testcase><properties><property name="kills" value="3"/></properties></testcase>'
        "<testcase><skipped/></testcase></testsuite></testsuites>"
    )
    assert read_report(report) == {"tests": 2, "kills": 23}
    pattern = ENUMERATIONS["planted-bugs"].counts
    words = "killed  1.0 s  a bug\n64 of 65 planted bugs were found\n"
    assert read_words(pattern, words) == {"planted bugs found": 64, "planted bugs": 65}
    assert read_words(pattern, "the tests do not even pass") == {}


def test_names_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "fleet"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["fleet-sqlite", "fleet-postgres"]
    assert main(["--only", "nothing"]) == 2
