"""``streamgauge score``, ``features``, ``decide``, ``verify`` and ``portfolio``, as the owner and beside one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from streamgauge.app.settings import Place
from tests.app.cli.conftest import answer, command, read_table, refusal, running

NUMBERS = count(1)
AS_OF = "2025-12-01T00:00:00Z"


@pytest.fixture(scope="module", params=["as the owner", "beside the owner"])
def root(request: pytest.FixtureRequest, project: Place) -> Iterator[Path]:
    if request.param == "as the owner":
        yield project.root
    else:
        with running(project.root):
            yield project.root


@pytest.fixture(scope="module")
def active(project: Place, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An account with a score at the end of the history."""
    out = tmp_path_factory.mktemp("rows") / "rows.parquet"
    answer("dataset", "--model", "account-risk", "--out", out, "-C", project.root)
    return str(pl.read_parquet(out).filter(pl.col("as_of") == datetime(2025, 12, 1, tzinfo=UTC))["entity"][0])


def application() -> dict[str, Any]:
    asked = datetime.now(UTC).isoformat()
    event = {"stream": "Application", "id": f"a-cli-{next(NUMBERS)}", "account": "acc-00017", "asked_at": asked}
    return {**event, "amount": "1500.00", "term_months": 12}


def test_a_score_is_read_as_of_a_moment(root: Path, active: str) -> None:
    score = answer("score", active, "--model", "account-risk", "--as-of", AS_OF, "-C", root)
    assert 0.0003 <= score["pd"] < 1
    assert score["as_of"] == "2025-12-01T00:00:00.000000Z"
    assert "PD" in command("score", active, "--as-of", AS_OF, "-C", root).stdout


def test_features_are_read_for_a_model_and_for_the_whole_file(root: Path, active: str) -> None:
    of_model = answer("features", active, "--model", "account-risk", "--as-of", AS_OF, "-C", root)
    of_file = answer("features", active, "--as-of", AS_OF, "-C", root)
    assert of_model["features"].items() <= of_file["features"].items()
    assert "CashFlow.inflow_sum_30d" in command("features", active, "--as-of", AS_OF, "-C", root).stdout


def test_an_unknown_entity_is_refused(root: Path) -> None:
    assert "acc-nobody" in refusal("score", "acc-nobody", "-C", root)


def test_an_event_model_has_no_score_of_an_entity(root: Path, active: str) -> None:
    assert "Application" in refusal("score", active, "--model", "application-risk", "-C", root)


@pytest.mark.parametrize(("text", "part"), [("yesterday", "no moment"), ("2025-12-01T00:00:00", "no time zone")])
def test_a_moment_that_cannot_be_read_is_a_usage_error(root: Path, text: str, part: str) -> None:
    assert part in refusal("score", "acc-00017", "--as-of", text, "-C", root, code=2)


def test_a_decision_is_made_once_and_verified(root: Path, tmp_path: Path) -> None:
    event = application()
    file = tmp_path / "application.json"
    file.write_text(json.dumps(event))
    first = answer("decide", file, "-C", root)
    assert first["decision_id"] == f"Application-{event['id']}"
    assert first["outcome"] in {"approve", "refer", "decline"}
    assert len(first["reasons"]) <= 4
    again = answer("decide", file, "-C", root)
    assert (again["repeated"], again["digest"]) == (True, first["digest"])
    file.write_text(json.dumps({**event, "amount": "1.00"}))
    assert "used for event" in refusal("decide", file, "-C", root)
    verified = answer("verify", "-C", root)
    assert verified["checked"] == verified["match"] >= 1
    assert verified["chain"] == "intact"
    assert "match" in command("verify", "--last", "1", "-C", root).stdout


def test_a_decision_for_a_reader_names_its_reasons(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "application.json"
    file.write_text(json.dumps(application()))
    shown = command("decide", file, "--id", f"by-hand-{next(NUMBERS)}", "-C", root)
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.split()[0] in {"APPROVE", "REFER", "DECLINE"}
    assert "application-risk 1" in shown.stdout


def test_an_event_that_is_none_is_refused(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "application.json"
    file.write_text("[1, 2]")
    assert "no JSON object" in refusal("decide", file, "-C", root)
    file.write_text(json.dumps({**application(), "term_months": "many"}))
    assert "term_months" in refusal("decide", file, "-C", root)
    file.write_text(json.dumps({"stream": "Applicaton"}))
    assert "--id" in refusal("decide", file, "-C", root)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_the_portfolio_is_scored_as_of_one_moment(root: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"scores.{suffix}"
    told = answer("portfolio", "--out", out, "-C", root)
    read = read_table(out)
    assert len(read) == told["scored"] > 0
    assert read.columns == ["entity", "pd", "points", "margin", "as_of", "position", "known_at", "model", "version"]
    assert read["as_of"].n_unique() == 1
    entity, moment = read["entity"][0], read["as_of"][0]
    as_of = moment if isinstance(moment, str) else moment.isoformat()
    score = answer("score", entity, "--model", "account-risk", "--as-of", as_of, "-C", root)
    assert (score["pd"], score["margin"]) == (read["pd"][0], read["margin"][0])


def test_a_portfolio_needs_a_format_that_is_known(root: Path, tmp_path: Path) -> None:
    assert ".csv" in refusal("portfolio", "--out", tmp_path / "scores.txt", "-C", root)
