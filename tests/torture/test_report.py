"""The report says what the results say, and what it names exists."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.scenario import SCENARIOS as CRASH_SCENARIOS
from tests.mutants.planted import MUTANTS, mutants_of
from tests.torture import enumeration, report, results
from tests.torture.__main__ import main
from tests.torture.enumeration import Enumeration, enumerate_points, read_report, read_words
from tests.torture.enumerations import ENUMERATIONS
from tests.torture.invariants import INVARIANTS
from tests.torture.results import ROOT, Result
from tests.torture.scenario import SCENARIOS

RESULT = Result(
    name="fleet-sqlite",
    what="Executors | are killed.",
    faults=("F13",),
    invariants=("I1", "I3"),
    counts={"kills": 1_200, "workflows": 50_000},
    verdict="held",
    words="",
    seconds=61.4,
    command="python -m tests.torture --only fleet-sqlite --minutes 1 --seed 7",
    commit="abc",
    machine="2 cores",
    seed=7,
)

FOUR_PARTS = Enumeration(
    "four-parts",
    "Counts.",
    (),
    (),
    ("tests.torture.one_part", "{part}", "{seed}"),
    r"(?P<points>\d+) done, (?P<height>\d+) high",
    goals={"points": 10},
    parts=lambda seed: ("1", "2", "3", "4"),
    levels=frozenset({"height"}),
)


def test_a_line_of_the_report() -> None:
    page = report.page([RESULT, replace(RESULT, name="zombies-sqlite", verdict="BROKEN", words="I4: two outcomes")])
    assert (
        "| **fleet-sqlite** (F13): Executors / are killed. | 1,200 kills, 50,000 of 100,000 workflows |"
        " held | 61 s | abc |\n| **zombies-sqlite** (F13): Executors / are killed. | 1,200 kills, 50,000 workflows |"
        " BROKEN: I4: two outcomes | 61 s | abc |"
    ) in page
    assert "$ python -m tests.torture --only fleet-sqlite --minutes 3 --seed 7 --keep\n" in page
    assert "- **planted-bugs** (F33): Bugs" in page
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


def test_parts_are_played_one_after_the_other_and_on_another_day(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(report.LINES, FOUR_PARTS.name, FOUR_PARTS)
    monkeypatch.setattr(results, "KEPT", tmp_path / "kept.json")
    monkeypatch.setattr(results, "commit", lambda: "HEAD")
    monkeypatch.setattr(results, "_is_source_of", lambda revision: revision == "HEAD")
    played: list[list[str]] = []

    def run(enumeration: Enumeration, command: list[str]) -> tuple[str, str, Counter[str]]:
        played.append(command)
        part = int(command[1])
        return "held", "", Counter(points=part, height=part)

    monkeypatch.setattr(enumeration, "run", run)
    first = enumerate_points(FOUR_PARTS, 7, seconds=0)
    assert played == [["tests.torture.one_part", "1", "7"]]
    assert (first.verdict, first.words, first.counts) == ("held", "1 of 4 parts so far", {"height": 1, "points": 1})
    results.keep([first])
    assert "1 of 10 points" in report.page([first])
    assert f"$ {first.command} --keep --resume\n" in report.page([first])
    assert results.to_resume(FOUR_PARTS.name, seed=8) is None
    rest = enumerate_points(FOUR_PARTS, 7, seconds=60, begun=results.to_resume(FOUR_PARTS.name, seed=7))
    assert [command[1] for command in played] == ["1", "2", "3", "4"]
    assert (rest.verdict, rest.words, rest.counts) == ("held", "", {"height": 4, "points": 10})
    assert "10 points (10 wanted)" in report.page([rest])
    assert f"{rest.command} --keep" not in report.page([rest])


def test_a_part_that_breaks_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enumeration, "run", lambda *_: ("BROKEN", "FAILED test", Counter(points=1)))
    broken = enumerate_points(FOUR_PARTS, 7, seconds=60)
    assert (broken.verdict, broken.words, broken.parts) == ("BROKEN", "FAILED test", 1)


def test_parts_together_are_the_whole() -> None:
    """No scenario is in two families of names, and none is left out."""
    for name in ("crash-points-sqlite", "error-points"):
        parts = ENUMERATIONS[name].parts(7)
        assert all(sum(f"x-{scenario}".find(f"x-{part}-") == 0 for part in parts) == 1 for scenario in CRASH_SCENARIOS)
    seeds = [int(first) + more for first in ENUMERATIONS["simulation"].parts(7) for more in range(1_000)]
    assert seeds == list(range(7, 20_007))
    assert sum(len(mutants_of(family)) for family in ENUMERATIONS["planted-bugs"].parts(7)) == len(MUTANTS)


def test_names_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "fleet"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["fleet-sqlite", "fleet-postgres"]
    assert main(["--list", "--only", "failover-postgres"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["failover-postgres"], "not its like"
    assert main(["--only", "nothing"]) == 2
