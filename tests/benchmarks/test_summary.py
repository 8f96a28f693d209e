"""The README's table of what was measured."""

import json
from pathlib import Path

import pytest

from benchmarks.report import RESULTS
from benchmarks.summary import BEGIN, END, HEADLINES, README, Headline, summary, write_readme

BENCHMARKS = json.loads(RESULTS.read_text())["benchmarks"]


def test_the_readme_shows_what_was_measured_last() -> None:
    shown = README.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == summary(BENCHMARKS)


@pytest.mark.parametrize("headline", HEADLINES, ids=lambda headline: headline.says)
def test_every_workload_of_the_readme_was_measured_in_full(headline: Headline) -> None:
    assert not BENCHMARKS[headline.id]["run"]["quick"]
    assert f"| {headline.says} | " in summary(BENCHMARKS)


def test_a_quick_run_is_not_shown_as_the_workload_it_stands_for() -> None:
    whole = {"P9": {**BENCHMARKS["P9"], "run": {"quick": False}}}
    assert "Shapley" in summary(whole)
    assert "Shapley" not in summary({"P9": {**whole["P9"], "run": {"quick": True}}})


def test_a_page_without_a_place_for_the_table_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="no place for the table"):
        write_readme(BENCHMARKS, page)
    assert page.read_text() == "nothing"
