"""What every `Registry` must do; an adapter's test derives from `RegistryConformance`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from streamgauge.errors import ArtefactAltered, ModelError
from streamgauge.models.metrics import measure
from streamgauge.models.run import Report, TrainingRun
from streamgauge.scoring.artefact import ModelArtefact
from streamgauge.scoring.calibration import Calibrator
from streamgauge.scoring.coding import Coding, FeatureCoding
from streamgauge.scoring.ensemble import Ensemble, Linear
from streamgauge.scoring.onnx_export import export_onnx
from streamgauge.scoring.policy import RegisteredPolicy
from streamgauge.scoring.reasons import ReasonCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamgauge.errors import StreamgaugeError
    from streamgauge.models.registry import Registry


def build_run(name: str = "risk", weight: float = 1.0) -> TrainingRun:
    """Return a trained model of one feature; another weight is another model.

    >>> build_run(weight=2.0).artefact.name
    'risk'
    """
    one, none = np.ones(1), np.empty(0)
    linear = Linear(
        impute=0 * one,
        center=0 * one,
        scale=one,
        coef=weight * one,
        mean=0 * one,
        flag_feature=np.empty(0, np.int32),
        flag_center=none,
        flag_scale=none,
        flag_coef=none,
        flag_mean=none,
        intercept=-2.0,
    )
    ensemble = Ensemble(1, linear)
    artefact = ModelArtefact(
        name=name,
        ensemble=ensemble,
        onnx=export_onnx(ensemble),
        coding=Coding((FeatureCoding("F.x"),)),
        calibrator=Calibrator(kind="sigmoid", slope=1.0, rows=8, bads=2),
        program={"names": ["F.x"]},
        program_sha256="ab" * 32,
        label="late",
        label_sha256="cd" * 32,
        known="recorded",
        reasons=(ReasonCode("R1", "X is high"),),
        metadata={"data": {"from": 1_000_000, "to": 2_000_000}, "code_version": "0"},
    )
    x, bad = np.linspace(-2, 2, 8), np.array([0, 0, 1, 0, 0, 1, 0, 1], np.float64)
    margin = ensemble.margin(x.reshape(-1, 1))
    metrics = measure(margin, artefact.calibrator.pd(margin), bad, np.arange(8))
    report = Report(
        model=name,
        known="recorded",
        last_position=9,
        moment=3_000_000,
        labels={"good": 5, "bad": 3},
        parts={},
        purged=0,
        metrics=metrics,
        measured_on="test",
        leaks=(),
        recomputed=0,
        directions=(),
        parity=8,
        estimator={"kind": "logistic", "params": [["C", weight]]},
        split={"kind": "time"},
        warnings=("few rows",),
    )
    rows = pl.DataFrame({"part": ["test"] * 8, "bad": bad.astype(np.int8), "margin": margin, "F.x": x})
    return TrainingRun(artefact=artefact, report=report, plots={"roc.png": b"\x89PNG"}, rows=rows)


def build_policy(model: str = "risk", approve_below: float = 0.05) -> RegisteredPolicy:
    """Return a policy version that is not registered yet."""
    return RegisteredPolicy(
        model=model,
        model_sha256="ab" * 32,
        version=0,
        approve_below=approve_below,
        refer_below=0.1,
        grades=(("A", 0.05), ("B", 1.0)),
        rules=(),
        program=None,
        baseline={"margin": -2.25, "contributions": [0.125]},
        definition_sha256="ef" * 32,
    )


class RegistryConformance:
    """The checks, for pytest: derive, name the class ``Test…`` and give `open_registry`."""

    def open_registry(self, folder: Path) -> Registry:
        """Open or create a registry of the adapter under test, kept in ``folder``."""
        raise NotImplementedError

    def test_a_new_registry_is_empty(self, tmp_path: Path) -> None:
        """Nothing is there, and asking is no error."""
        registry = self.open_registry(tmp_path / "none")
        assert registry.models() == []
        assert (registry.champion("risk"), registry.versions("risk"), registry.policy("risk")) == (None, [], None)
        assert registry.by_sha256("risk", "ab" * 32) is None
        assert registry.policy_by_sha256("risk", "ab" * 32) is None

    def test_the_first_version_is_champion_and_the_next_is_not(self, tmp_path: Path) -> None:
        """Promotion is another matter than training."""
        registry = self.open_registry(tmp_path)
        registry.prepare()
        first_run, second_run = build_run(), build_run(weight=2.0)
        first, second = (registry.register(run.artefact, run) for run in (first_run, second_run))
        assert (first.version, first.alias_champion) == (1, True)
        assert (second.version, second.alias_champion) == (2, False)
        assert registry.models() == ["risk"]
        assert registry.champion("risk") == first
        assert registry.versions("risk") == [first, second]
        assert registry.by_sha256("risk", second_run.artefact.sha256) == second

    def test_an_entry_says_what_the_model_is(self, tmp_path: Path) -> None:
        """Hashes, data range, moment and figures; the moment is the dataset's, not the clock's."""
        registry = self.open_registry(tmp_path)
        run = build_run()
        entry = registry.register(run.artefact, run)
        assert (entry.name, entry.sha256, entry.known) == ("risk", run.artefact.sha256, "recorded")
        assert (entry.label, entry.label_sha256, entry.program_sha256) == ("late", "cd" * 32, "ab" * 32)
        assert (entry.data_from, entry.data_to, entry.created_at) == (1_000_000, 2_000_000, 3_000_000)
        assert entry.metrics["auc"] == run.report.metrics.auc
        assert entry.run_id

    def test_the_same_artefact_is_not_doubled(self, tmp_path: Path) -> None:
        """Training twice from the same log registers once."""
        registry = self.open_registry(tmp_path)
        entries = [registry.register(run.artefact, run) for run in (build_run(), build_run())]
        assert entries[0] == entries[1]
        assert len(registry.versions("risk")) == 1

    def test_another_process_finds_everything(self, tmp_path: Path) -> None:
        """A registry opened later answers the same."""
        run = build_run()
        writer = self.open_registry(tmp_path)
        entry = writer.register(run.artefact, run)
        policy = writer.register_policy(build_policy())
        reader = self.open_registry(tmp_path)
        assert reader.champion("risk") == entry
        assert reader.load(entry).sha256 == run.artefact.sha256
        assert reader.rows(entry).equals(run.rows)
        assert reader.policy("risk") == policy
        assert reader.policy_by_sha256("risk", policy.sha256) == policy

    def test_models_do_not_mix(self, tmp_path: Path) -> None:
        """Each name has its own versions and policies."""
        registry = self.open_registry(tmp_path)
        for name in ("risk", "fraud"):
            run = build_run(name)
            assert registry.register(run.artefact, run).version == 1
        registry.register_policy(build_policy("fraud"))
        assert registry.models() == ["fraud", "risk"]
        assert registry.policy("risk") is None

    def test_an_altered_artefact_is_refused(self, tmp_path: Path) -> None:
        """The hash that was registered is the one that loads."""
        registry = self.open_registry(tmp_path)
        run = build_run()
        entry = registry.register(run.artefact, run)
        with _refused(ArtefactAltered):
            registry.load(msgspec.structs.replace(entry, sha256="00" * 32))
        with _refused(ModelError):
            registry.load(msgspec.structs.replace(entry, version=7))
        with _refused(ModelError):
            registry.rows(msgspec.structs.replace(entry, version=7))

    def test_policies_are_numbered_and_the_newest_is_in_force(self, tmp_path: Path) -> None:
        """An older one put in force again keeps its number."""
        registry = self.open_registry(tmp_path)
        run = build_run()
        registry.register(run.artefact, run)
        first = registry.register_policy(build_policy())
        second = registry.register_policy(build_policy(approve_below=0.03))
        assert (first.version, second.version) == (1, 2)
        assert registry.policy("risk") == second
        assert registry.register_policy(build_policy()) == first
        assert registry.policy("risk") == first
        assert registry.policy_by_sha256("risk", second.sha256) == second

    def test_a_model_with_infinite_figures_is_registered(self, tmp_path: Path) -> None:
        """A figure that does not exist is left out rather than written."""
        registry = self.open_registry(tmp_path)
        run = build_run()
        metrics = msgspec.structs.replace(run.report.metrics, slope=float("nan"))
        run = replace(run, report=msgspec.structs.replace(run.report, metrics=metrics))
        assert "slope" not in registry.register(run.artefact, run).metrics


@contextmanager
def _refused(kind: type[StreamgaugeError]) -> Iterator[None]:
    """Check that the block raises an error of that kind."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised.")
