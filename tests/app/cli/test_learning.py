"""``streamgauge dataset``, ``train``, ``models`` and ``policy``."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamgauge.app.settings import Place
from tests.app.cli.conftest import answer, command, read_table, refusal


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_a_dataset_is_written_in_every_format(project: Place, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"rows.{suffix}"
    told = answer("dataset", "--model", "application-risk", "--out", out, "-C", project.root)
    read = read_table(out)
    assert len(read) == told["rows"] == sum(told["labels"].values())
    assert told["known"] == "declared"
    assert {"entity", "as_of", "label", "CashFlow.inflow_sum_30d"} <= set(read.columns)


def test_a_dataset_can_be_had_as_it_was_at_an_earlier_position(project: Place, tmp_path: Path) -> None:
    words = ("dataset", "--model", "application-risk", "-C", project.root, "--out", tmp_path / "rows.parquet")
    now = answer(*words)
    before = answer(*words, "--position", now["last_position"] - 5_000)
    assert before["last_position"] == now["last_position"] - 5_000
    assert before["rows"] <= now["rows"]
    assert "no record at position" in refusal(*words, "--position", now["last_position"] + 1)


def test_a_dataset_needs_a_format_that_is_known(project: Place, tmp_path: Path) -> None:
    words = ("dataset", "--model", "application-risk", "-C", project.root, "--out")
    assert ".parquet" in refusal(*words, tmp_path / "rows.xls")
    assert "does not exist" in refusal(*words, tmp_path / "no" / "rows.csv")


def test_a_model_is_named_where_there_are_several(project: Place, tmp_path: Path) -> None:
    assert "account-risk" in refusal("dataset", "--out", tmp_path / "rows.csv", "-C", project.root)
    message = refusal("train", "--model", "account-rsik", "-C", project.root)
    assert 'Did you mean "account-risk"?' in message


def test_training_again_from_the_same_log_gives_the_same_model(project: Place) -> None:
    [before] = [model for model in answer("models", "-C", project.root) if model["name"] == "application-risk"]
    [trained] = answer("train", "--model", "application-risk", "-C", project.root)["trained"]
    assert trained["registered"]["sha256"] == before["sha256"]
    assert trained["registered"]["version"] == before["version"] == 1
    assert trained["report"]["metrics"]["auc"] > 0.6
    shown = command("train", "--model", "application-risk", "-C", project.root).stdout
    assert "Registered application-risk version 1, the champion" in shown


def test_models_are_listed_with_their_figures(project: Place) -> None:
    listed = answer("models", "-C", project.root)
    assert {(model["name"], model["champion"]) for model in listed} == {
        ("account-risk", True),
        ("application-risk", True),
    }
    table = command("models", "-C", project.root).stdout
    assert "account-risk" in table
    assert "AUC" in table


def test_a_model_that_cannot_be_split_is_refused_with_the_span_needed(tmp_path: Path) -> None:
    command("init", tmp_path / "new")
    message = refusal("train", "--model", "account-risk", "-C", tmp_path / "new")
    assert "Import or ingest events first" in message


def test_a_changed_policy_is_evaluated_and_registered_without_training(project: Place) -> None:
    before = answer("policy", "evaluate", "-C", project.root)
    assert before["registered"] is None
    file = project.project_file
    file.write_text(file.read_text().replace("approve_below=0.04", "approve_below=0.03"))
    after = answer("policy", "evaluate", "--model", "application-risk", "--register", "-C", project.root)
    approved = [report["report"]["outcomes"]["approve"]["applications"] for report in (before, after)]
    assert approved[1] < approved[0]
    assert after["registered"]["version"] == 2
    [model] = [model for model in answer("models", "-C", project.root) if model["name"] == "application-risk"]
    assert model["policy"] == 2
    assert "applications" in command("policy", "evaluate", "-C", project.root).stdout


def test_a_model_without_a_policy_is_refused(project: Place) -> None:
    assert "no policy" in refusal("policy", "evaluate", "--model", "account-risk", "-C", project.root)
