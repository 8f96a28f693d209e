"""Planted leaks: what happened later, written as if it had been known before."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.errors import LeakFound
from streamgauge.models.dataset import Dataset, build_dataset
from streamgauge.models.leaks import check_leaks, cut_rows, refuse_differences
from streamgauge.models.recompute import from_cut_log, in_hindsight
from tests.models.conftest import EVENTS, FEATURES, LABELS, MODELS, Lender, new_lender

PLANTED = 'mark = Mark.all.sum(Mark.weight, over="7d")\n'
WAIVED = 'mark = sg.feature(Mark.all.sum(Mark.weight, over="7d"), leak_waiver="a test")\n'


def planted(path: Path, history: dict[str, pl.DataFrame], share: float, feature: str = PLANTED) -> Dataset:
    """The grid's dataset with a feature over marks of what became bad later."""
    source = EVENTS + FEATURES.replace("    history =", f"    {feature}    history =") + LABELS + MODELS
    lender = new_lender(path / "events.sqlite", source, {**history, "Mark": marks(history, share)})
    log = lender.open()
    rows = build_dataset(lender.project, lender.project.models["weekly"], log)
    log.close()
    return rows


def marks(history: dict[str, pl.DataFrame], share: float) -> pl.DataFrame:
    """A mark in each of the eight weeks before an outcome, known at once, for a share of the accounts."""
    late = history["Arrears"].filter(pl.col("account").hash(1) % 100 < 100 * share)
    weeks = []
    for days in range(1, 61, 7):
        at = (pl.col("at") - timedelta(days=days)).alias("at")
        name = pl.concat_str("id", pl.lit(f"-{days}")).alias("id")
        weeks.append(late.select(name, "account", at, known_at=at).with_columns(weight=pl.lit(1, pl.Int64)))
    return pl.concat(weeks)


def test_a_copy_of_the_outcome_ranks_too_well_by_itself(tmp_path: Path, history: dict[str, pl.DataFrame]) -> None:
    with pytest.raises(LeakFound) as refused:
        check_leaks(planted(tmp_path, history, share=1.0))
    assert "CashFlow.mark: it ranks outcomes by itself with an AUC of 0.9" in str(refused.value)
    assert "CashFlow.balance_mean" not in str(refused.value)


def test_a_copy_of_some_outcomes_is_caught_by_what_young_rows_lack(
    tmp_path: Path, history: dict[str, pl.DataFrame]
) -> None:
    with pytest.raises(LeakFound) as refused:
        check_leaks(planted(tmp_path, history, share=0.75))
    assert "CashFlow.mark: AUC 0.8" in str(refused.value)
    assert "young rows look safer by it" in str(refused.value)


def test_a_waiver_lets_it_pass_and_is_shown(tmp_path: Path, history: dict[str, pl.DataFrame]) -> None:
    found = check_leaks(planted(tmp_path, history, share=1.0, feature=WAIVED))
    assert (found[0].feature, found[0].verdict, found[0].waiver) == ("CashFlow.mark", "waived", "a test")


@pytest.fixture(scope="module")
def rows(lender: Lender) -> Dataset:
    log = lender.open()
    built = build_dataset(lender.project, lender.project.models["weekly"], log)
    log.close()
    return built


def test_an_honest_project_passes_and_shows_what_hindsight_would_add(lender: Lender, log: SqliteLog) -> None:
    added: dict[str, float | None] = {}
    for model in lender.project.models.values():
        rows = build_dataset(lender.project, model, log)
        sample = np.flatnonzero(rows.usable)
        found = check_leaks(rows, (sample, in_hindsight(lender.project, rows, log, sample)))
        assert {leak.verdict for leak in found} == {"clear"}
        ranks = [max(leak.auc, leak.null_auc) for leak in found]
        assert ranks == sorted(ranks, reverse=True)
        added = {leak.feature: leak.hindsight_auc for leak in found}
        assert added["CashFlow.kind"] is None
        assert max(abs(value) for value in added.values() if value is not None) < 0.02
    assert any(added.values()), "no application had a movement of its day that became known later"


def test_features_come_out_the_same_from_the_log_cut_at_what_was_known(
    lender: Lender, log: SqliteLog, rows: Dataset
) -> None:
    sample = cut_rows(rows, 60)
    refuse_differences(rows, sample, from_cut_log(lender.project, rows, log, sample), rows.names)
    asked = build_dataset(lender.project, lender.project.models["asked"], log)
    sample = cut_rows(asked, 60)
    refuse_differences(asked, sample, from_cut_log(lender.project, asked, log, sample), asked.names)


def test_whether_a_feature_is_null_may_be_the_leak(rows: Dataset) -> None:
    X = rows.X.copy()
    # Good rows lack the value; where there is one it says nothing.
    X[:, 0] = np.where(rows.bad == 1, np.arange(len(rows)) % 7, np.nan)
    with pytest.raises(LeakFound, match=r"inflow_sum_30d: (it|whether it is null) ranks outcomes .* AUC of 1\.000"):
        check_leaks(replace(rows, X=X))


def test_a_category_is_judged_by_its_levels(rows: Dataset) -> None:
    X = rows.X.copy()
    kind = rows.names.index("CashFlow.kind")
    X[:, kind] = np.where(rows.bad == 1, 4.0, np.arange(len(rows)) % 4)
    with pytest.raises(LeakFound, match=r"CashFlow\.kind: it ranks"):
        check_leaks(replace(rows, X=X))


def test_a_value_that_knew_more_is_refused(lender: Lender, log: SqliteLog) -> None:
    honest = lender.project.models["asked"]
    hindsight = build_dataset(lender.project, replace(honest, known="final"), log)
    posing = replace(hindsight, known="declared", model=honest)
    sample = np.arange(300)
    with pytest.raises(LeakFound, match="from the log cut at what was known"):
        refuse_differences(posing, sample, from_cut_log(lender.project, posing, log, sample), posing.names)
