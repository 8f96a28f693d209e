"""The results in one table: a line for each workload, from the same results as the whole page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Spread
from benchmarks.report import shown

README = ROOT / "README.md"
BEGIN, END = "<!-- made by make bench -->", "<!-- end of what make bench made -->"

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Headline:
    """One line of the table.

    Attributes:
        id: The benchmark's.
        says: The workload, in a few words.
        own: The name of our row, a pattern.
        goal: What it is measured against, in a few words.
        peers: Peers by the pattern of their row's name, with the words for them.
    """

    id: str
    says: str
    own: str
    goal: str
    peers: Mapping[str, str]


HEADLINES = (
    Headline(
        "P1",
        "an event sent → its new score read over HTTP, p99, at 2,000 events/s over 50k accounts",
        "Streamgauge, event sent → score read, p99",
        "25 ms",
        {"PySpark micro-batches, p99": "PySpark micro-batches, a count and a sum"},
    ),
    Headline(
        "P2",
        "events applied, 47 features, scored, durable, over 50k accounts",
        "Streamgauge, every account alike*",
        "30,000 ev/s",
        {"Bytewax*": "Bytewax, both with 8 features", "river*": "river, the same", "Pathway*": "Pathway, the same"},
    ),
    Headline(
        "P3",
        "exact features of history, 1M events × 16 features, each an observation, 1 % late",
        "Streamgauge, from columns (1,000,000 events, 1% late)",
        "2.5 × Polars",
        {
            "Polars `rolling` (1,000,000 events, 1% late)": "Polars `rolling`",
            "DuckDB `RANGE` (1,000,000 events, 1% late)": "DuckDB `RANGE`",
            "Spark range windows (1,000,000 events, 1% late)": "Spark range windows",
        },
    ),
    Headline(
        "P4",
        "decisions a second, durably recorded, with reasons, 16 connections, one core",
        "Streamgauge, rate (16 connections)",
        "0.6 × plain FastAPI",
        {
            "plain FastAPI + ONNX Runtime, rate (16 connections)": "plain FastAPI + ONNX Runtime, given the features",
            "`mlflow models serve`, rate (16 connections)": "`mlflow models serve`, the same",
            "Feast online store + ONNX Runtime, rate (16 connections)": "Feast's online store + ONNX Runtime",
        },
    ),
    Headline(
        "P4",
        "one decision at 500/s, p99",
        "Streamgauge, p99 (500/s)",
        "5 ms",
        {"plain FastAPI + ONNX Runtime, p99 (500/s)": "plain FastAPI + ONNX Runtime"},
    ),
    Headline(
        "P5",
        "a portfolio of 1M accounts scored again",
        "Streamgauge, all scored and written (1,000,000 accounts*",
        "60 s",
        {"DuckDB SQL + scikit-learn (1,000,000 accounts*": "an overnight batch in DuckDB SQL + scikit-learn"},
    ),
    Headline(
        "P6",
        "`kill -9`, start, first correct score, 1M accounts",
        "Streamgauge, from start to the first score",
        "3 s",
        {"replay from zero*": "replay from zero"},
    ),
    Headline("P7", "`streamgauge --help`", "`streamgauge --help`", "0.3 s", {"`mlflow --help`*": "`mlflow --help`"}),
    Headline("P7", "`streamgauge score X`", "`streamgauge score X`", "1 s", {}),
    Headline("P8", "clone → first live score", "from clone to the first live score", "90 s", {}),
    Headline(
        "P9",
        "exact Shapley reasons of a decision",
        "Streamgauge, one row (a decision)",
        "2 × shap",
        {"`shap.TreeExplainer`, one row": "`shap.TreeExplainer`"},
    ),
)


def summary(benchmarks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of what was measured in full, as Markdown; a workload that was not has no line."""
    lines = ["| | measured | goal | times as good as |", "|---|---|---|---|"]
    for headline in HEADLINES:
        found = benchmarks.get(headline.id)
        rows = () if found is None or found["run"]["quick"] else found["rows"]
        for own in _named(rows, headline.own):
            figure = shown(Spread(**own["figure"]), own["unit"])
            against = "; ".join(_ratio(rows, pattern, words) for pattern, words in headline.peers.items())
            lines.append(f"| {headline.says} | {figure} | {headline.goal} | {against} |")
    return "\n".join(lines)


def write_readme(benchmarks: Mapping[str, Mapping[str, Any]], readme: Path = README) -> None:
    """Write the table into a page that has a place for it."""
    before, begin, rest = readme.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{readme} has no place for the table: it lies between {BEGIN} and {END}.")
    readme.write_text(f"{before}{begin}\n\n{summary(benchmarks)}\n\n{end}{after}", "utf-8")


def _ratio(rows: Rows, pattern: str, words: str) -> str:
    found = [row for row in _named(rows, pattern) if row["ratio"]]
    return f"{shown(Spread(**found[0]['ratio']), '×')} {words}" if found else f"{words}: not measured"


def _named(rows: Rows, pattern: str) -> Iterator[Mapping[str, Any]]:
    return (row for row in rows if fnmatchcase(row["name"], pattern))
