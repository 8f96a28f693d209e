"""Down-sampling: fewer goods to fit on, the same PDs and reasons that add up."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.definitions.loader import load_source
from streamgauge.definitions.specs import EstimatorSpec, ModelSpec, SampleSpec
from streamgauge.definitions.texts import hash_text
from streamgauge.errors import TrainingRefused
from streamgauge.models.dataset import Dataset, build_dataset, silent
from streamgauge.models.fitting import fit_model
from streamgauge.models.gathering import Gatherer
from streamgauge.models.metrics import auc_of, calibration_line
from streamgauge.models.sampling import fitted_rows, margin_shift, shares
from streamgauge.models.split import Split
from streamgauge.models.train import fit_run
from streamgauge.outcomes.labels import BAD, GOOD, Labels
from streamgauge.scoring.inference import OnnxModel
from streamgauge.scoring.scorer import Scorer
from streamgauge.scoring.shapley import Shapley
from tests.models.conftest import SOURCE

ROWS = 60_000
SHOP = """
import streamgauge as sg
class Visit(sg.Event):
    id: sg.EventId
    shop: sg.Entity
    at: sg.EventTime
    spent: sg.Money
class Shop(sg.Features, entity=Visit.shop):
    visits = Visit.all.count(over=["7d", "28d"])
    spent = Visit.all.mean(Visit.spent, over="28d")
closed = sg.Label(bad=Visit, within="30d")
sg.Model(
    name="closing", observe=Visit, features=[Shop], label=closed, estimator=sg.Boosting(),
    split=sg.TimeSplit(calibrate="30d", test="30d"), sample=sg.Downsample(good=0.05),
)
"""
BOOSTING = EstimatorSpec("boosting", (("max_iter", 60), ("max_leaf_nodes", 6), ("random_state", 0)))
LOGISTIC = EstimatorSpec("logistic", (("max_iter", 1000), ("random_state", 0)))


def rare(estimator: EstimatorSpec, sample: SampleSpec | None, rows: int = ROWS) -> Dataset:
    """Independent rows, each an event of its own shop, with about 3 % bads and a known risk."""
    project = load_source(SHOP)
    model: ModelSpec = replace(project.models["closing"], estimator=estimator, sample=sample)
    rng = np.random.Generator(np.random.PCG64(7))
    X = rng.normal(size=(rows, 3))
    risk = expit(-4.0 + 0.9 * X[:, 0] - 0.6 * X[:, 1])
    bad = rng.random(rows) < risk
    X[rng.random((rows, 3)) < 0.05] = np.nan
    program = Gatherer.program_of(project, model)
    t = np.arange(rows, dtype=np.int64)
    return Dataset(
        model=model,
        program=program.serving,
        active=None,
        entities=[f"shop:{number}" for number in range(rows)],
        entity=t,
        t=t,
        known_at=t,
        position=t,
        imported=np.zeros(rows, np.bool_),
        event_id=tuple(f"v{number}" for number in range(rows)),
        labels=Labels(np.where(bad, BAD, GOOD).astype(np.int8), t, t, t),
        X=X,
        extra_names=(),
        extra=np.empty((rows, 0)),
        known="recorded",
        last_position=rows,
        moment=rows,
    )


def thirds(dataset: Dataset) -> Split:
    train, calibrate, test = np.split(np.arange(len(dataset)), [len(dataset) // 2, len(dataset) * 3 // 4])
    return Split(train, calibrate, test, np.empty(0, np.int64))


def plain_share(seed: int, entity: str, event_id: str) -> float:
    """The share of an observation in Python's own integers: what any machine has to give."""
    state = seed
    for text in (entity, event_id):
        state ^= hash_text(text) % 2**64
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
    return (state >> 11) / 2**53


@pytest.mark.parametrize("estimator", [BOOSTING, LOGISTIC], ids=["boosting", "logistic"])
def test_a_sample_changes_neither_the_mean_pd_nor_the_ranking(estimator: EstimatorSpec) -> None:
    found = {}
    for good in (None, 0.05):
        dataset = rare(estimator, None if good is None else SampleSpec(good))
        split = thirds(dataset)
        fitted = fit_model(dataset, split, silent)
        bad = dataset.bad[split.test]
        rate = float(bad.mean())
        half = 1.96 * math.sqrt(rate * (1 - rate) / len(bad))
        assert abs(float(fitted.pd.mean()) - rate) < half, good
        found[good] = auc_of(fitted.margin, bad)
    assert found[0.05] == pytest.approx(found[None], abs=0.02)
    assert found[None] > 0.72


@pytest.mark.parametrize("estimator", [BOOSTING, LOGISTIC], ids=["boosting", "logistic"])
def test_the_margin_is_corrected_before_anything_is_calibrated(estimator: EstimatorSpec) -> None:
    dataset = rare(estimator, SampleSpec(0.05))
    split = thirds(dataset)
    fitted = fit_model(dataset, split, silent)
    bad = dataset.bad[split.test]
    slope, intercept = calibration_line(expit(fitted.margin), bad)
    rate = float(bad.mean())
    # Without the correction the mean of these probabilities would be above 20 %.
    assert float(expit(fitted.margin).mean()) == pytest.approx(rate, rel=0.12)
    assert slope == pytest.approx(1.0, abs=0.2)
    assert intercept == pytest.approx(0.0, abs=0.8)


@pytest.mark.parametrize("estimator", [BOOSTING, LOGISTIC], ids=["boosting", "logistic"])
def test_export_arrays_and_reasons_carry_the_correction(estimator: EstimatorSpec) -> None:
    dataset = rare(estimator, SampleSpec(0.05), 20_000)
    split = thirds(dataset)
    fitted = fit_model(dataset, split, silent)
    rows = fitted.coding.encode(dataset.X[split.test])
    np.testing.assert_allclose(OnnxModel(fitted.onnx).margin(rows), fitted.margin, rtol=0, atol=1e-12)
    explained = Shapley(fitted.ensemble)
    np.testing.assert_allclose(explained.base + explained.values(rows).sum(axis=1), fitted.margin, rtol=0, atol=1e-9)
    uncorrected = fitted.ensemble.shifted(-margin_shift(SampleSpec(0.05)))
    np.testing.assert_allclose(uncorrected.margin(rows) - fitted.margin, -math.log(0.05), rtol=0, atol=1e-12)


def test_only_goods_of_the_training_part_are_left_out() -> None:
    dataset = rare(BOOSTING, SampleSpec(0.05))
    split = thirds(dataset)
    kept = fitted_rows(dataset, split.train)
    bad = dataset.bad
    assert set(np.flatnonzero(bad == 1)[np.flatnonzero(bad == 1) < len(split.train)]) <= set(kept)
    goods = int((bad[split.train] == 0).sum())
    assert int((bad[kept] == 0).sum()) == pytest.approx(0.05 * goods, abs=4 * math.sqrt(0.05 * 0.95 * goods))
    fitted = fit_model(dataset, split, silent)
    assert fitted.calibrator.rows == len(split.calibrate)
    assert len(fitted.pd) == len(split.test)


def test_whom_a_sample_keeps_depends_on_the_observation_alone() -> None:
    dataset = rare(BOOSTING, SampleSpec(0.05), 2_000)
    rows = np.arange(2_000)
    every = shares(dataset, rows, 0)
    np.testing.assert_array_equal(shares(dataset, rows[::-3], 0), every[::-3])
    assert not np.array_equal(shares(dataset, rows, 1), every)
    assert every[:5].tolist() == [plain_share(0, f"shop:{row}", f"v{row}") for row in range(5)]
    assert np.histogram(every, bins=10, range=(0, 1))[0].min() > 150
    grid = replace(dataset, event_id=None)
    assert abs(float(shares(grid, rows, 0).mean()) - 0.5) < 0.03
    one_shop = replace(grid, entity=np.zeros(2_000, np.int64))
    assert len(np.unique(shares(one_shop, rows, 0))) == 2_000


def test_a_sample_that_leaves_no_goods_is_refused() -> None:
    with pytest.raises(TrainingRefused, match=r"keeps 0 of 9\d\d good rows; 5 are needed"):
        fitted_rows(rare(BOOSTING, SampleSpec(1e-7), 1_000), np.arange(1_000))


def test_the_report_and_the_artefact_say_what_was_fitted_on(log: SqliteLog) -> None:
    project = load_source(SOURCE.replace('test="60d"),\n)', 'test="60d"), sample=sg.Downsample(good=0.25, seed=3),\n)'))
    dataset = build_dataset(project, project.models["weekly"], log)
    run = fit_run(project, dataset, log)
    found = run.report.sample
    assert found is not None
    assert (found.good, found.seed, found.shift) == (0.25, 3, math.log(0.25))
    part = run.report.parts["train"]
    assert found.goods == part.rows - part.bads
    assert 0.2 < found.kept / found.goods < 0.3
    assert run.artefact.metadata["sample"]["shift"] == math.log(0.25)
    scorer = Scorer(run.artefact)
    X = dataset.X[:50]
    margins = scorer.base + scorer.explain(X).sum(axis=1)
    np.testing.assert_allclose(margins, scorer.score_many(X).margin, rtol=0, atol=1e-9)
    assert run.report.metrics.auc > 0.7
