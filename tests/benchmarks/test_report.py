"""The arithmetic of the benchmark's report: a figure in a published table must mean what its column says."""

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.catalogue import WORKLOADS, DatabaseKind, Workload
from benchmarks.measurement import SCRIPTS, Series
from benchmarks.report import Comparison
from benchmarks.targets import TARGETS, AtLeast, AtMost, Target, Verdict

RATE = Workload("rate", "a rate", "steps/s")
LATENCY = Workload("latency", "a latency", "ms", less_is_better=True)


def compared(workload: Workload, ours: list[float], other: list[float], target: Target | None) -> Comparison:
    database: DatabaseKind = "sqlite"
    return Comparison(
        workload,
        database,
        Series(workload, database, "ours", ours),
        Series(workload, database, "other", other),
        target,
    )


def test_a_ratio_says_how_many_times_better_in_either_direction() -> None:
    assert compared(RATE, [60, 40, 50], [10, 5, 11], None).ratio == 5
    assert compared(LATENCY, [10], [30], None).ratio == 3


@pytest.mark.parametrize(("ours", "verdict"), [(80, Verdict.GOAL), (79, Verdict.ACCEPTED), (49, Verdict.MISSED)])
def test_a_ratio_is_judged_by_goal_and_by_what_is_accepted(ours: float, verdict: Verdict) -> None:
    assert compared(RATE, [ours], [10], AtLeast(8, 5)).verdict is verdict


@pytest.mark.parametrize(("ours", "verdict"), [(60, Verdict.GOAL), (61, Verdict.ACCEPTED), (101, Verdict.MISSED)])
def test_a_limit_is_judged_without_the_other_side(ours: float, verdict: Verdict) -> None:
    assert compared(LATENCY, [ours], [], AtMost(60, 100)).verdict is verdict


def test_a_script_that_failed_has_missed_its_target_and_has_no_figure() -> None:
    row = compared(RATE, [50], [10], AtLeast(8, 5))
    row.ours.failures.append("it broke")
    assert row.ours.median is None
    assert row.ratio is None
    assert row.verdict is Verdict.MISSED
    assert "it broke" in report.failures([row.ours])
    assert "| failed |" in report.table([row], "ours", "other")


def test_the_table_names_every_figure_with_its_unit_and_scatter() -> None:
    text = report.table([compared(RATE, [4000, 5000, 4500], [500, 500, 500], AtLeast(8, 5))], "ours", "other")
    assert text.splitlines()[-1] == "| a rate | SQLite | 4,500 steps/s ±11% | 500 steps/s ±0% | 9.0x | 8x (5x) | ✓ |"


def test_a_section_of_a_document_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("before\n<!-- aged: begin -->\nold\n<!-- aged: end -->\nafter\n")
    report.replace_section(document, "aged", "new")
    report.replace_section(document, "aged", "newer")
    assert document.read_text() == "before\n<!-- aged: begin -->\n\nnewer\n\n<!-- aged: end -->\nafter\n"
    with pytest.raises(ValueError, match="no section"):
        report.replace_section(document, "benchmark", "new")


def test_catalogue_scripts_and_targets_name_the_same_workloads() -> None:
    names = [one.name for one in WORKLOADS]
    scripts = {path.stem for path in SCRIPTS.glob("*.py")} - {"session", "queue_drain"}
    assert set(names) == scripts
    assert len(names) == len(scripts)
    for name, by_database in TARGETS.items():
        [workload] = [one for one in WORKLOADS if one.name == name]
        assert set(by_database) <= set(workload.databases)
