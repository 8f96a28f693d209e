"""The churn example, small: an absence as outcome, real training, scores as learnt, protected attributes apart."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from examples.churn import run
from streamgauge.app.settings import find_place
from streamgauge.testing.subscriptions import Service, simulate_service

CUSTOMERS = 700


@pytest.fixture(scope="module")
def service() -> Service:
    return simulate_service(CUSTOMERS, run.DAYS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run.make_place(tmp_path_factory.mktemp("churn") / "project")


@pytest.fixture(scope="module")
def outcome(service: Service, root: Path) -> run.Outcome:
    return run.run_example(service, root)


def test_the_model_ranks_customers_as_the_hidden_truth_does(outcome: run.Outcome) -> None:
    assert outcome.test.auc_low > 0.65
    assert outcome.truth > 0.6
    assert outcome.test.mean_pd == pytest.approx(outcome.test.bad_rate, abs=0.06)
    assert outcome.labels["bad"] > 1_000
    assert outcome.labels["open"] > 0


def test_what_is_served_is_what_was_learnt(outcome: run.Outcome) -> None:
    assert outcome.served.compared > 100
    assert outcome.served.differing == 0


def test_labels_are_the_absence_of_a_paid_charge(service: Service, root: Path, outcome: run.Outcome) -> None:
    assert outcome.customers == CUSTOMERS
    rows = pl.read_parquet(find_place(root).models / "churn/1/run/rows.parquet").filter(pl.col("part") != "unlabelled")
    paid = (
        service.frames["Charge"]
        .filter(pl.col("paid"))
        .select(pl.format("customer:{}", "customer").alias("entity"), "at")
    )
    joined = rows.with_row_index("row").join(paid, on="entity", how="left")
    inside = (pl.col("at") > pl.col("as_of")) & (pl.col("at") <= pl.col("as_of") + pl.duration(days=35))
    found = joined.group_by("row", maintain_order=True).agg(
        (inside.fill_null(value=False)).any().alias("paid"), pl.col("bad").first()
    )
    assert (found["paid"] == (found["bad"] == 0)).all()
    assert found["bad"].sum() > 50


def test_protected_attributes_are_in_no_file_but_their_own(root: Path, outcome: run.Outcome) -> None:
    assert [one.attribute for one in outcome.fairness.attributes] == ["Person.sex", "Person.born"]
    sex = outcome.fairness.attributes[0]
    assert sex.known == outcome.fairness.entities
    assert sex.auc is not None
    assert sex.auc.value < 0.6
    place = find_place(root)
    columns = pl.read_parquet(place.models / "churn/1/run/rows.parquet").columns
    assert not {"sex", "born", "Person.sex", "Person.born"} & set(columns)
    holding = [path.name for path in place.data.rglob("*") if path.is_file() and b'"born"' in path.read_bytes()]
    assert holding == ["protected.db"]


def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run.main(["--customers", "400", "--json", "--keep", str(tmp_path / "kept")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["customers"] == 400
    assert (tmp_path / "kept" / "churn.py").exists()
    assert run.main(["--customers", "400", "--keep", str(tmp_path / "kept")]) == 2
    assert "is not empty" in capsys.readouterr().err
