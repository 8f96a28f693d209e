"""Training: from the log to a registered, calibrated model and its report."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from streamgauge.definitions.canonical import canonical, digest
from streamgauge.errors import TrainingRefused, UnknownName, close_match
from streamgauge.models.dataset import Dataset, build_datasets, silent
from streamgauge.models.fitting import FittedModel, fit_model
from streamgauge.models.leaks import FeatureLeak, check_leaks, cut_rows, refuse_differences
from streamgauge.models.metrics import Metrics, measure
from streamgauge.models.plots import draw
from streamgauge.models.policies import make_policy, rule_features
from streamgauge.models.recompute import from_cut_log, in_hindsight
from streamgauge.models.rows import kept_rows
from streamgauge.models.run import Direction, Part, Report, TrainingRun
from streamgauge.models.sampling import describe_sample
from streamgauge.models.serving import Serving
from streamgauge.models.split import Split, fold_split, time_split
from streamgauge.outcomes.closing import closing_span
from streamgauge.scoring.artefact import ModelArtefact
from streamgauge.scoring.reasons import reason_codes
from streamgauge.scoring.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.definitions.specs import FeatureSpec, ModelSpec, ProjectSpec
    from streamgauge.log.port import Log
    from streamgauge.models.dataset import Progress
    from streamgauge.models.registry import Registry
    from streamgauge.outcomes.events import Ints

RECOMPUTED_ROWS: Final = 40
HINDSIGHT_ROWS: Final = 2_000
_BASELINE_ROWS: Final = 1_000
_FEW_BADS: Final = 100
_SILENT_ROWS: Final = 50
_SLOPE: Final = (0.7, 1.4)


def train_model(
    project: ProjectSpec,
    model_name: str,
    log: Log,
    registry: Registry,
    *,
    workers: int = 2,
    progress: Progress = silent,
) -> TrainingRun:
    """Train a model of the project from the log, and register it.

    The model that is registered is the one that was reported: fitted on the train part, calibrated on the calibration
    part, measured on the test part, not fitted again. If it becomes champion and the project has a policy for it, the
    policy's version is registered with it.

    Args:
        project: The project.
        model_name: The model's name.
        log: The log; it is read up to its last position of now, later records do not matter.
        registry: Where the model goes.
        workers: How many threads compute features.
        progress: Told of (phase, done, of how much); phases are ``dataset``, ``leaks``, ``folds``, ``fit``, ``parity``,
            ``report``, ``register``.

    Raises:
        UnknownName: The project has no such model.
        SpanTooShort: A part of the split has too few bads or goods.
        LeakFound: A feature knows the outcome.
        TrainingRefused: The fitted model moves against a declared direction of risk, or there is nothing to observe.
        ModelError: The model cannot be fitted, calibrated or exported.
        ParityError: The export disagrees with the fitted model.
    """
    return train_models(project, [model_name], log, registry, workers=workers, progress=progress)[0]


def train_models(
    project: ProjectSpec,
    names: Sequence[str],
    log: Log,
    registry: Registry,
    *,
    workers: int = 2,
    progress: Progress = silent,
) -> list[TrainingRun]:
    """Train several models from one reading of the log, and register each as soon as it is trained.

    Arguments and errors are those of `train_model`; a model that is refused ends the training of those after it.
    """
    models = []
    for name in names:
        if name not in project.models:
            raise UnknownName(f'The project has no model "{name}". {close_match(name, project.models)}')
        models.append(project.models[name])
    registry.prepare()
    extra = {model.name: _rule_features(project, model) for model in models}
    runs = []
    for dataset in build_datasets(project, models, log, workers=workers, progress=progress, extra=extra):
        run = fit_run(project, dataset, log, progress=progress)
        progress("register", 0, 1)
        runs.append(register_run(project, run, registry))
        progress("register", 1, 1)
    return runs


def fit_run(project: ProjectSpec, dataset: Dataset, log: Log, *, progress: Progress = silent) -> TrainingRun:
    """Train on a dataset and report, without registering.

    Args:
        project: The project the dataset was built for.
        dataset: The dataset.
        log: The log it was built from.
        progress: As for `train_model`.

    Raises:
        TrainingRefused: As `train_model`.
        ModelError: As `train_model`.
    """
    model = dataset.model
    if not len(dataset):
        raise TrainingRefused(
            f'Model "{model.name}" has no observation: the log holds no live {model.observe.stream or "active entity"}.'
            " Import history, or look at active=."
        )
    refuse_silence(dataset)
    split = split_rows(dataset)
    progress("leaks", 0, 1)
    recomputed = _recompute(project, dataset, log)
    leaks = check_leaks(dataset, _hindsight(project, dataset, log))
    progress("leaks", 1, 1)
    fitted = fit_model(dataset, split, progress)
    progress("report", 0, 1)
    bad = dataset.bad[fitted.measured]
    metrics = measure(fitted.margin, fitted.pd, bad, dataset.entity[fitted.measured])
    artefact = _artefact(dataset, split, fitted, metrics, leaks)
    run = TrainingRun(
        artefact=artefact,
        report=_report(dataset, split, fitted, metrics, leaks, recomputed),
        plots=draw(model.name, fitted.margin, fitted.pd, bad, metrics),
        rows=kept_rows(dataset, split, artefact, fitted.out_of_fold),
    )
    progress("report", 1, 1)
    return run


def register_run(project: ProjectSpec, run: TrainingRun, registry: Registry) -> TrainingRun:
    """Register a trained model, and the project's policy for it if it is the champion."""
    registered = registry.register(run.artefact, run)
    policy = project.policies.get(run.artefact.name)
    in_force = None
    if policy is not None and registered.alias_champion:
        in_force = registry.register_policy(make_policy(project, policy, run.artefact, run.rows))
    return replace(run, registered=registered, policy=in_force)


def split_rows(dataset: Dataset) -> Split:
    """Split a dataset as its model declares.

    Raises:
        SpanTooShort: A part has too few bads or goods.
    """
    spec, label = dataset.model.split, dataset.model.label
    if spec.kind == "fold":
        return fold_split(spec, dataset.entities, dataset.entity, dataset.bad, dataset.usable)
    return time_split(spec, dataset.t, dataset.labels.closes_at, dataset.bad, dataset.usable, closing_span(label))


def refuse_silence(dataset: Dataset) -> None:
    """Refuse an absence that is none of the world but of the log: since some day, every row is bad.

    Raises:
        TrainingRefused: No good row is newer than a whole outcome window, though many rows are.
    """
    label = dataset.model.label
    good, usable = dataset.usable & (dataset.bad == 0.0), dataset.usable
    if not label.absent or not good.any():
        return
    last = int(dataset.t[good].max())
    since = usable & (dataset.t > last)
    if since.sum() >= _SILENT_ROWS and int(dataset.t[since].max()) - last >= label.within_us:
        raise TrainingRefused(
            f'Model "{dataset.model.name}" learns from the absence of {label.bad.stream} rows, and none is known since '
            f"{_day(last)}: all {int(since.sum()):,} rows after it are bad. A history that ends there says nothing of "
            f"the time until {_day(dataset.moment)}, when its last record came in. Import {label.bad.stream} up to "
            "then."
        )


def _day(moment_us: int) -> str:
    return f"{np.datetime64(moment_us, 'us').astype('datetime64[D]')}"


def _rule_features(project: ProjectSpec, model: ModelSpec) -> list[FeatureSpec]:
    policy = project.policies.get(model.name)
    return [] if policy is None else rule_features(project, policy)


def _recompute(project: ProjectSpec, dataset: Dataset, log: Log) -> int:
    if dataset.known == "final":
        return 0
    rows = cut_rows(dataset, RECOMPUTED_ROWS)
    refuse_differences(dataset, rows, from_cut_log(project, dataset, log, rows), dataset.names)
    return len(rows)


def _hindsight(project: ProjectSpec, dataset: Dataset, log: Log) -> tuple[Ints, Any] | None:
    """Return rows of some entities with their features as known at the end."""
    if dataset.known == "final":
        return None
    usable = np.flatnonzero(dataset.usable)
    if not len(usable):
        return None
    step = max(1, -(-len(usable) // HINDSIGHT_ROWS))
    # Whole entities, so that few are read again.
    owners = np.unique(dataset.entity[usable])[::step]
    rows = usable[np.isin(dataset.entity[usable], owners)]
    return rows, in_hindsight(project, dataset, log, rows)


def _artefact(
    dataset: Dataset, split: Split, fitted: FittedModel, metrics: Metrics, leaks: list[FeatureLeak]
) -> ModelArtefact:
    model = dataset.model
    codes = {
        feature.name: (feature.code, feature.reason or feature.code)
        for feature in model.features
        if feature.code is not None
    }
    artefact = ModelArtefact(
        name=model.name,
        ensemble=fitted.ensemble,
        onnx=fitted.onnx,
        coding=fitted.coding,
        calibrator=fitted.calibrator,
        program=dataset.program.canonical(),
        program_sha256=dataset.program.digest,
        label=model.label.name,
        label_sha256=digest(model.label),
        known=dataset.known,
        reasons=reason_codes(dataset.names, codes),
        metadata=_metadata(dataset, split, metrics, leaks),
    )
    frozen = split.calibrate[:: max(1, -(-len(split.calibrate) // _BASELINE_ROWS))]
    return replace(artefact, baseline=Scorer(artefact).baseline(dataset.X[frozen], None))


def _metadata(dataset: Dataset, split: Split, metrics: Metrics, leaks: list[FeatureLeak]) -> dict[str, Any]:
    model, observe = dataset.model, dataset.model.observe
    serving = Serving(observe=observe.kind, stream=observe.stream, role=observe.role, active=dataset.active)
    used = np.concatenate(list(split.parts().values()))
    sample = describe_sample(dataset, split.train)
    return {
        **serving.to_metadata(),
        "code_version": version("streamgauge"),
        "data": {
            "from": int(dataset.t[used].min()),
            "to": int(dataset.t[used].max()),
            "moment": dataset.moment,
            "last_position": dataset.last_position,
        },
        "definition_sha256": digest(model),
        "metrics": {name: value for name, value in metrics.numbers().items() if math.isfinite(value)},
        "card": {
            "owner": model.owner,
            "purpose": model.purpose,
            "tier": model.tier,
            "limitations": model.limitations,
        },
        "leak_waivers": {leak.feature: leak.waiver for leak in leaks if leak.verdict == "waived"},
        **({} if sample is None else {"sample": msgspec.to_builtins(sample)}),
    }


def _report(
    dataset: Dataset, split: Split, fitted: FittedModel, metrics: Metrics, leaks: list[FeatureLeak], recomputed: int
) -> Report:
    model = dataset.model
    parts = {"train": split.train} if split.fold is not None else split.parts()
    return Report(
        model=model.name,
        known=dataset.known,
        last_position=dataset.last_position,
        moment=dataset.moment,
        labels=dataset.counts(),
        parts={name: _part(dataset, rows) for name, rows in parts.items()},
        purged=len(split.purged),
        metrics=metrics,
        measured_on="test" if split.fold is None else "out of fold",
        leaks=tuple(leaks),
        recomputed=recomputed,
        directions=tuple(
            Direction(feature=sweep.feature, risk=sweep.risk, steps=sweep.steps) for sweep in fitted.sweeps
        ),
        parity=fitted.parity,
        estimator=canonical(model.estimator),
        split=canonical(model.split),
        warnings=tuple(_warnings(dataset, metrics, leaks)),
        sample=describe_sample(dataset, split.train),
    )


def _part(dataset: Dataset, rows: Ints) -> Part:
    bads = int(dataset.bad[rows].sum()) if len(rows) else 0
    return Part(
        rows=len(rows),
        bads=bads,
        entities=len(np.unique(dataset.entity[rows])),
        bad_rate=bads / len(rows) if len(rows) else 0.0,
        begins=int(dataset.t[rows].min()) if len(rows) else None,
        ends=int(dataset.t[rows].max()) if len(rows) else None,
    )


def _warnings(dataset: Dataset, metrics: Metrics, leaks: list[FeatureLeak]) -> list[str]:
    found = []
    if dataset.known == "declared":
        found.append("Imported history declares when it became known; the model is marked known=declared.")
    if dataset.known == "final":
        found.append("Trained with hindsight (known=final): its figures are better than what serving can reach.")
    found += [
        f"Leak check waived for {leak.feature} ({leak.finding}): {leak.waiver}"
        for leak in leaks
        if leak.verdict == "waived"
    ]
    if metrics.bads < _FEW_BADS:
        found.append(
            f"The report is on {metrics.bads} bads: AUC {metrics.auc:.3f} may be anything from {metrics.auc_low:.3f} "
            f"to {metrics.auc_high:.3f}."
        )
    if not _SLOPE[0] <= metrics.slope <= _SLOPE[1]:
        found.append(f"The calibration slope is {metrics.slope:.2f}: PDs are too {_manner(metrics.slope)}.")
    if unexposed := dataset.counts()["unexposed"]:
        found.append(f"{unexposed} observations were never exposed and have no outcome: the PD is given approval.")
    return found


def _manner(slope: float) -> str:
    return "extreme" if slope < 1 else "timid"
