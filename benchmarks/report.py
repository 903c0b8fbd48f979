"""Series in, a Markdown table out: medians, how far they scattered, ratios, and whether the promise was kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.catalogue import DatabaseKind, Workload
from benchmarks.measurement import Series
from benchmarks.targets import Target, Verdict

DATABASE_TITLES: dict[DatabaseKind, str] = {"postgres": "Postgres", "sqlite": "SQLite"}
LEGEND = (
    "Medians over the rounds; ± is half the distance between best and worst. A ratio says how many times better."
    " Goal (and the least accepted): ✓ reached, ~ accepted, ✗ missed."
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row: a workload on a kind of database, done by the contender and by the one it is compared with."""

    workload: Workload
    database: DatabaseKind
    ours: Series
    other: Series | None
    target: Target | None

    @property
    def ratio(self) -> float | None:
        """How many times better the contender is."""
        if self.other is None or self.ours.median is None or self.other.median is None:
            return None
        if self.workload.less_is_better:
            return self.other.median / self.ours.median
        return self.ours.median / self.other.median

    @property
    def verdict(self) -> Verdict:
        if self.target is None:
            return Verdict.NONE
        return Verdict.MISSED if self.ours.median is None else self.target.verdict(self.ours.median, self.ratio)


def table(rows: list[Comparison], contender: str, other: str | None) -> str:
    """The comparison as Markdown."""
    titles = ["workload", "database", contender, *([other, "ratio"] if other else []), "goal", ""]
    lines = [_line(titles), _line(["---", "---", *["---:"] * (len(titles) - 4), "---:", ":---:"])]
    for row in rows:
        database = DATABASE_TITLES[row.database] if row.workload.touches_database else "–"
        cells = [row.workload.title, database, _figure(row.ours)]
        if other:
            cells += [_figure(row.other), _ratio(row.ratio)]
        lines.append(_line([*cells, str(row.target or ""), str(row.verdict)]))
    return "\n".join(lines)


def failures(series: list[Series]) -> str:
    """What went wrong, in the scripts' own words."""
    return "\n\n".join(
        f"{one.workload.name} on {one.database}, {one.contender}:\n{failure}"
        for one in series
        for failure in one.failures
    )


def write_json(path: Path, facts: dict[str, str], rows: list[Comparison]) -> None:
    """Every single figure, for whoever wants to compute something else."""
    results = [
        {
            "workload": row.workload.name,
            "database": row.database,
            "unit": row.workload.unit,
            "ratio": row.ratio,
            "goal": str(row.target or ""),
            "verdict": str(row.verdict),
            "figures": {one.contender: one.figures for one in (row.ours, row.other) if one is not None},
        }
        for row in rows
    ]
    path.write_text(json.dumps({**facts, "results": results}, indent=2, ensure_ascii=False) + "\n")


def replace_section(path: Path, name: str, content: str) -> None:
    """Put the content between the file's two markers of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found_begin, rest = path.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{path.name} has no section between {begin} and {end}")
    path.write_text(f"{before}{begin}\n\n{content.strip()}\n\n{end}{after}")


def _figure(series: Series | None) -> str:
    if series is None or series.median is None:
        return "failed" if series and series.failures else ""
    digits = 1 if series.median < 100 else 0
    scatter = f" ±{series.spread:.0%}" if len(series.figures) > 1 else ""
    return f"{series.median:,.{digits}f} {series.workload.unit}{scatter}"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1f}x" if ratio >= 1.5 else f"{ratio:.2f}x"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
