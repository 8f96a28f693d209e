"""Asks everyone the same questions of the same streams: ``python -m benchmarks.truth.run [--keep]``.

An answer is wrong if it is not the exact value, rounded once; it is wrong in its last digits alone if it lies within a
billionth of that.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import PEERS, ROOT
from benchmarks.truth.by_streamgauge import streamgauge
from benchmarks.truth.exact import Answer, exact
from benchmarks.truth.scenario import HOUR, Scenario, draw

HERE = Path(__file__).parent
RESULTS = ROOT / "benchmarks" / "truth.json"
PAGE = ROOT / "docs" / "explanation" / "exactness.md"
BEGIN, END = "<!-- made by make bench-truth -->", "<!-- end of what make bench-truth made -->"
OTHERS = {"feast": "Feast", "river": "river", "bytewax": "Bytewax", "pathway": "Pathway"}
SEEDS = (1, 2, 3)
NEAR = 1e-9

Answers = dict[str, Sequence[Answer]]
Asked = Callable[[Scenario], Answers]
Figures = dict[str, int]


def main() -> None:
    """Ask, compare, print, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write benchmarks/truth.json and the table of the docs")
    keep = parser.parse_args().keep
    found = {"Streamgauge": figures_of(ours)}
    versions = {}
    for name, shown in OTHERS.items():
        if not (PEERS / "python").exists():
            sys.exit(f"{PEERS} does not exist. Make it with: make bench-venv")
        versions[shown] = _version(name)
        found[shown] = figures_of(_peer(name))
    scenarios = [draw(seed, disorder=True) for seed in SEEDS]
    troubles = {name: sum(one.troubles[name] for one in scenarios) for name in scenarios[0].troubles}
    results = {"seeds": SEEDS, "troubles": troubles, "versions": versions, "figures": found}
    print(table(results))
    if keep:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        write_page(results)


def ours(scenario: Scenario) -> Answers:
    """Return Streamgauge's answers."""
    served, trained = streamgauge(scenario)
    return {"served": served, "trained": trained}


def figures_of(ask: Asked) -> Figures:
    """Return how many values are wrong, under each heading, over all seeds."""
    counts: Figures = {}
    for seed in SEEDS:
        for disorder in (False, True):
            scenario = draw(seed, disorder=disorder)
            answers = ask(scenario)
            for name, count in _wrong(scenario, answers, "disorder" if disorder else "order").items():
                counts[name] = counts.get(name, 0) + count
    return counts


def _wrong(scenario: Scenario, answers: Answers, stream: str) -> Figures:
    right = exact(scenario)
    counts: Figures = {}

    def count(name: str, by: int = 1) -> None:
        counts[name] = counts.get(name, 0) + by

    for question, true, served, trained in zip(
        scenario.questions, right, answers["served"], answers["trained"], strict=True
    ):
        when = "whole hours" if question.t % HOUR == 0 else "any moment"
        for value, one, other in zip(true, served, trained, strict=True):
            count(f"{stream}, {when}: values")
            count(f"{stream}, {when}: wrong", far(one, value))
            count(f"{stream}: last digits", one != value and not far(one, value))
            count(f"{stream}: trained wrong", far(other, value))
            count(f"{stream}: trained unlike served", far(one, other))
    return counts


def far(one: float | None, other: float | None) -> bool:
    """Return whether two values differ by more than their last digits."""
    if one is None or other is None:
        return one is not other
    return not math.isclose(one, other, rel_tol=NEAR, abs_tol=NEAR)


def _peer(name: str) -> Asked:
    def asked(scenario: Scenario) -> Answers:
        words = [str(PEERS / "python"), str(HERE / f"by_{name}.py")]
        quiet = os.environ | {"FEAST_USAGE": "False", "PATHWAY_TELEMETRY_SERVER": "", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            words, input=json.dumps(scenario.packed()), capture_output=True, text=True, check=False, env=quiet
        )
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
        answers = json.loads(done.stdout)
        return {when: [tuple(one) for one in answers[when]] for when in ("served", "trained")}

    return asked


def _version(name: str) -> str:
    words = [str(PEERS / "python"), "-c", f"from importlib.metadata import version; print(version({name!r}))"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def table(results: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    figures = results["figures"]
    asked = figures["Streamgauge"]
    hours, moments = asked["order, whole hours: values"], asked["order, any moment: values"]
    headings = [
        (f"in order, on whole hours, of {hours:,}", "order, whole hours: wrong"),
        (f"in order, at any moment, of {moments:,}", "order, any moment: wrong"),
        (f"disorder, on whole hours, of {hours:,}", "disorder, whole hours: wrong"),
        (f"disorder, at any moment, of {moments:,}", "disorder, any moment: wrong"),
        (f"disorder, in a training set, of {hours + moments:,}", "disorder: trained wrong"),
        ("disorder, trained unlike served", "disorder: trained unlike served"),
        ("disorder, last digits alone", "disorder: last digits"),
    ]
    lines = ["| wrong values | " + " | ".join(title for title, _ in headings) + " |", "|---|" + "---:|" * len(headings)]
    for name, one in figures.items():
        shown = f"{name} {results['versions'][name]}" if name in results["versions"] else f"**{name}**"
        lines.append(f"| {shown} | " + " | ".join(f"{one[read]:,}" for _, read in headings) + " |")
    return "\n".join(lines)


def section(results: dict[str, Any]) -> str:
    """Return the generated section of the page."""
    troubles = results["troubles"]
    told = ", ".join(f"{count:,} {name}" for name, count in troubles.items() if name != "events")
    return f"{table(results)}\n\n{troubles['events']:,} events of {len(results['seeds'])} seeds, of which {told}."


def write_page(results: dict[str, Any]) -> None:
    """Write the section into the page anew."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    PAGE.write_text(f"{head}{BEGIN}\n\n{section(results)}\n\n{END}{tail}")


if __name__ == "__main__":
    main()
