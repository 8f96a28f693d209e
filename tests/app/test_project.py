"""The Python API: frames in, frames out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

import streamgauge as sg
from streamgauge.app.project import Project
from streamgauge.errors import ImportRefused, SettingsError, UnknownName
from tests.app.conftest import Lender

MOMENT = datetime(2025, 12, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def project(lender: Lender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    place = lender.copy(tmp_path_factory.mktemp("project") / "lender")
    with sg.open(place.root) as opened:
        yield opened


@pytest.fixture(scope="module")
def rows(project: Project) -> pl.DataFrame:
    return project.dataset("account-risk")


def test_features_of_a_frame_are_those_of_the_grid(project: Project, rows: pl.DataFrame) -> None:
    some = rows.filter(pl.col("as_of") == MOMENT).head(20)
    assert len(some) == 20
    asked = some.select(pl.col("entity").alias("account"), "as_of")
    found = project.features(asked, "account-risk")
    names = [name for name in rows.columns if name.startswith("CashFlow.")]
    assert found.columns == ["account", "as_of", *names]
    assert found.select(names).equals(some.select(names))


def test_features_of_the_whole_file_hold_those_of_a_model(project: Project) -> None:
    asked = pl.DataFrame({"entity": ["acc-00001", "acc-00002"], "as_of": [MOMENT, MOMENT]})
    names = project.features(asked, "account-risk").columns
    assert project.features(asked).select(names).equals(project.features(asked, "account-risk"))


def test_training_returns_what_is_registered(project: Project) -> None:
    run = project.train("application-risk")
    assert run.registered is not None
    assert run.registered.version in {model.version for model in project.models() if model.name == "application-risk"}


def test_pandas_frames_go_in(project: Project) -> None:
    asked = pl.DataFrame({"account": ["acc-00001"], "as_of": [MOMENT]})
    assert project.features(asked.to_pandas()).equals(project.features(asked))


def test_moments_without_a_zone_are_refused(project: Project) -> None:
    naive = pl.DataFrame({"account": ["acc-00001"], "as_of": [MOMENT.replace(tzinfo=None)]})
    with pytest.raises(SettingsError, match="time zone"):
        project.features(naive)
    with pytest.raises(SettingsError, match="time zone"):
        project.score("acc-00001", as_of=MOMENT.replace(tzinfo=None))


def test_what_is_no_table_is_refused(project: Project) -> None:
    with pytest.raises(ImportRefused, match="A list is no table"):
        project.ingest([1, 2], "Loan")
    with pytest.raises(UnknownName, match="no column with entities"):
        project.features(pl.DataFrame({"as_of": [MOMENT]}))


def test_an_import_declares_its_arrival(project: Project) -> None:
    loans = pl.DataFrame({"id": ["h-1"], "account": ["acc-00001"], "paid_at": [MOMENT], "application": ["a-1"]})
    with pytest.raises(ImportRefused, match="known_after"):
        project.import_history(loans, "Loan")
    with pytest.raises(UnknownName, match='Did you mean "Loan"'):
        project.import_history(loans, "Laon", known_after="1h")
    assert project.import_history(loans, "Loan", known_after=timedelta(hours=1)).accepted == 1


def test_events_known_now_are_ingested(project: Project) -> None:
    now = datetime.now(UTC)
    loans = pd.DataFrame({"id": ["p-1"], "account": ["acc-00001"], "paid_at": [now], "application": ["a-1"]})
    assert project.ingest(loans, "Loan").accepted == 1


def test_decisions_are_made_and_verified(project: Project) -> None:
    event = {"stream": "Application", "id": "p-1", "account": "acc-00001", "asked_at": datetime.now(UTC).isoformat()}
    decided = project.decide("p-1", {**event, "amount": "900", "term_months": 6})
    assert decided.outcome in {"approve", "refer", "decline"}
    verified = project.verify()
    assert (verified.checked, verified.match) == (1, 1)


def test_the_portfolio_is_a_frame_of_scores(project: Project) -> None:
    scores = project.portfolio()
    assert scores["as_of"].n_unique() == 1
    first = scores.row(0, named=True)
    assert project.score(first["entity"], as_of=first["as_of"]).pd == first["pd"]


def test_a_directory_without_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no streamgauge\.toml"):
        sg.open(tmp_path)
