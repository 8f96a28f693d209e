"""The results: one JSON file of everything measured, and the Markdown table that the documents include."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Report, Spread, commit, machine, versions

RESULTS = ROOT / "benchmarks" / "results.json"
TABLE = ROOT / "docs" / "reference" / "benchmarks.md"

_OPENING = """# Benchmarks

Written by `make bench` from its own results; the figures behind it are in `benchmarks/results.json`.
Each figure is the median of repetitions, with the least and the greatest in brackets; one without brackets was
measured once. A ratio says how many times better we are than the peer (below 1: how much worse). Shared machines
are noisy: in P3, P4, P5, P7 and P9 repetitions are interleaved and ratios taken within each, after values were
checked to be the same. P1, P2, P6, P8, linear, and P3's rows of Spark and Feast are measured one after the other in
one run, and checked where a section says so.
"""


def write(reports: Sequence[Report], *, quick: bool, results: Path = RESULTS, table: Path = TABLE) -> dict[str, Any]:
    """Write both; benchmarks that were not run now keep their last results. Return what was written."""
    kept = json.loads(results.read_text()) if results.exists() else {}
    ran = {
        "commit": commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": machine(),
        "versions": versions(),
    }
    found = dict(kept.get("benchmarks", {}))
    found |= {report.id: {**report.to_json(), "run": ran} for report in reports}
    content = {"benchmarks": dict(sorted(found.items()))}
    results.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    table.write_text(markdown(content["benchmarks"]))
    return content


def markdown(benchmarks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page of the results."""
    return "\n".join([_OPENING, *(_section(found) for found in benchmarks.values())])


def _section(found: Mapping[str, Any]) -> str:
    ran = found["run"]
    on = ran["machine"]
    lines = [
        f"## {found['id']}: {found['title']}",
        "",
        f"Goal: {found['goal']}.",
        "",
        "| | median | ratio | |",
        "|---|---|---|---|",
    ]
    for row in found["rows"]:
        figure = shown(Spread(**row["figure"]), row["unit"])
        ratio = shown(Spread(**row["ratio"]), "×") if row["ratio"] else ""
        lines.append(f"| {row['name']} | {figure} | {ratio} | {row['note']} |")
    lines += ["", *(f"- Checked: {_line(text)}." for text in found["checks"])]
    lines += [f"- {_line(text)}" for text in found["notes"]]
    size = ", ".join(f"{name.replace('_', ' ')} {_size(value)}" for name, value in found["size"].items())
    lines += [
        f"- Size: {size}.",
        (
            f"- Run {'in quick form ' if ran['quick'] else ''}at {ran['at']}, commit {ran['commit'] or 'unknown'}, on "
            f"{on['cores']} cores ({on['cpu']}), load average {on['load_average']} before."
        ),
        "",
    ]
    return "\n".join(lines)


def shown(spread: Spread, unit: str) -> str:
    """Return a figure as a person reads it.

    >>> shown(Spread(0.0123, 0.01, 0.5, 3), "s")
    '12.3 ms (10.0–500)'
    """
    factor = 1.0
    if unit == "s" and spread.median < 1:
        factor, unit = (1e3, "ms") if spread.median >= 1e-3 else (1e6, "µs")
    gap = "" if unit in {"", "×"} else " "
    median = f"{_digits(spread.median * factor)}{gap}{unit}"
    if spread.n == 1:
        return median
    return f"{median} ({_digits(spread.low * factor)}–{_digits(spread.high * factor)})"


def _line(text: str) -> str:
    return " ".join(text.split())


def _digits(value: float) -> str:
    """Return three significant digits."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.3g}" if abs(value) < 10 and abs(value) < 0.1 else f"{value:#.3g}"


def _size(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " and ".join(_size(one) for one in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
