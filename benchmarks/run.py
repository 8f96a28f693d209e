"""Runs the benchmarks: ``python -m benchmarks.run [--quick] [--only p3]``."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from benchmarks.measure import Report, Spread
from benchmarks.report import RESULTS, TABLE, shown, write
from benchmarks.summary import write_readme
from streamgauge.app.compiling import LATER, PARTS, compile_kernels
from streamgauge.app.service import quiet

MODULES = {
    "p1": "p1_freshness",
    "p2": "p2_stream",
    "p3": "p3_backfill",
    "p4": "p4_decision",
    "p5": "p5_portfolio",
    "p6": "p6_restart",
    "p7": "p7_startup",
    "p8": "p8_newcomer",
    "p9": "p9_explain",
    "linear": "linear",
}


class Benchmark(Protocol):
    """What each module of a benchmark offers."""

    def run(self, *, quick: bool) -> Report:
        """Check that all compute the same, measure, and report."""


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for, print it, and write results, table and the README's summary of them."""
    options = _options(arguments)
    reports = []
    for parts in (PARTS, LATER):  # a start that compiles is P8's to measure, in a clone of its own
        compile_kernels(quiet, parts)
    for name in options.only or MODULES:
        benchmark: Any = importlib.import_module(f"benchmarks.{MODULES[name]}")
        started = time.perf_counter()
        print(f"{name}: measuring ...", file=sys.stderr, flush=True)
        report = benchmark.run(quick=options.quick)
        _print(report, time.perf_counter() - started)
        reports.append(report)
    if options.keep or not options.quick:
        content = write(reports, quick=options.quick, results=options.results, table=options.table)
        if options.results == RESULTS:
            write_readme(content["benchmarks"])


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure against peers.")
    parser.add_argument("--quick", action="store_true", help="small sizes, under 30 s each; written only with --keep")
    parser.add_argument("--only", action="append", choices=list(MODULES), help="one benchmark; may be given again")
    parser.add_argument("--keep", action="store_true", help="write the results of the quick form too")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--table", type=Path, default=TABLE, help="where the Markdown table goes")
    return parser.parse_args(arguments)


def _print(report: Report, took: float) -> None:
    print(f"\n{report.id}  {report.title}  ({took:.0f} s)")
    print(f"    goal: {report.goal}")
    for text in report.checks:
        print(f"    same: {text}")
    for row in report.rows:
        ratio = f"  ratio {_ratio(row.ratio)}" if row.ratio else ""
        print(f"    {row.name:<66} {shown(row.figure, row.unit):<28}{ratio}  {row.note}".rstrip())
    for text in report.notes:
        print(f"    note: {' '.join(text.split())}")
    sys.stdout.flush()


def _ratio(ratio: Spread) -> str:
    return shown(ratio, "×")


if __name__ == "__main__":
    main()
