"""Tracking in MLflow: one run and one registered version for each model version, made from its files."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.adapters.mlflow.directory import ARTEFACT, RUN, Tracked

if TYPE_CHECKING:
    from streamgauge.models.registry import RegisteredModel

_SHA: Final = "streamgauge.sha256"
_CHAMPION: Final = "champion"
_MOST_CHARACTERS: Final = 5_000


class Tracker:
    """A connection to an MLflow store."""

    def __init__(self, root: Path, uri: str | None) -> None:
        """Open the store: a server, or a SQLite file below ``root``, made if there is none."""
        self._local = None if uri is not None else root / "mlflow.artifacts"
        store = uri or f"sqlite:///{root.resolve() / 'mlflow.db'}"
        with _quietly():
            from mlflow.tracking import MlflowClient

            self._client: Any = MlflowClient(tracking_uri=store, registry_uri=store)
            self._client.search_experiments(max_results=1)

    def track(self, entry: RegisteredModel, home: Path) -> Tracked:
        """Make the run and the registered version of a model version, or find those that a crash left behind.

        Args:
            entry: The version.
            home: Its directory.
        """
        with _quietly():
            experiment = self._experiment(entry.name)
            found = self._client.search_runs(
                [experiment], filter_string=f"tags.`{_SHA}` = '{entry.sha256}' and attributes.status = 'FINISHED'"
            )
            run_id = found[0].info.run_id if found else self._run(experiment, entry, home)
            return Tracked(run_id, self._version(entry, run_id))

    def _experiment(self, name: str) -> str:
        existing = self._client.get_experiment_by_name(name)
        if existing is not None:
            return str(existing.experiment_id)
        location = None if self._local is None else (self._local.resolve() / name).as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def _run(self, experiment: str, entry: RegisteredModel, home: Path) -> str:
        from mlflow.entities import Metric, Param, RunTag

        report = msgspec.json.decode((home / RUN / "report.json").read_bytes())
        card = msgspec.json.decode((home / ARTEFACT / "card.json").read_bytes())
        at = entry.created_at // 1_000
        run_id = str(
            self._client.create_run(experiment, start_time=at, run_name=f"{entry.name}-{entry.version}").info.run_id
        )
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, at, 0) for name, value in entry.metrics.items() if math.isfinite(value)],
            params=[Param(name, value) for name, value in _params(report).items()],
            tags=[RunTag(name, value) for name, value in _tags(entry, report, card["metadata"]).items()],
        )
        self._client.log_artifacts(run_id, str(home / ARTEFACT), artifact_path=ARTEFACT)
        for path in sorted((home / RUN).iterdir()):
            # Rows of people stay in the lender's own directory.
            if path.suffix != ".parquet":
                self._client.log_artifact(run_id, str(path), artifact_path=RUN)
        self._client.set_terminated(run_id, end_time=at)
        return run_id

    def _version(self, entry: RegisteredModel, run_id: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_registered_model(entry.name)
        except MlflowException:
            self._client.create_registered_model(entry.name)
        versions = self._client.search_model_versions(f"name = '{entry.name}'")
        made = next((one for one in versions if one.run_id == run_id), None)
        if made is None:
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{ARTEFACT}"
            made = self._client.create_model_version(entry.name, source, run_id, tags={_SHA: entry.sha256})
        if entry.alias_champion:
            self._client.set_registered_model_alias(entry.name, _CHAMPION, made.version)
        return str(made.version)


def _params(report: dict[str, Any]) -> dict[str, str]:
    params = {f"estimator.{name}": value for name, value in report["estimator"].get("params", [])}
    named = {"estimator": report["estimator"].get("kind", ""), **params}
    named |= {f"split.{name}": value for name, value in report["split"].items()}
    return {name: str(value) for name, value in named.items()}


def _tags(entry: RegisteredModel, report: dict[str, Any], metadata: dict[str, Any]) -> dict[str, str]:
    tags = {
        _SHA: entry.sha256,
        "streamgauge.version": str(entry.version),
        "streamgauge.program_sha256": entry.program_sha256,
        "streamgauge.label": entry.label,
        "streamgauge.label_sha256": entry.label_sha256,
        "streamgauge.known": entry.known,
        "streamgauge.data_from_us": str(entry.data_from),
        "streamgauge.data_to_us": str(entry.data_to),
        "streamgauge.moment_us": str(report["moment"]),
        "streamgauge.last_position": str(report["last_position"]),
        "streamgauge.code_version": str(metadata.get("code_version", "")),
        "streamgauge.warnings": "\n".join(report["warnings"])[:_MOST_CHARACTERS],
    }
    return {name: value for name, value in tags.items() if value}


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep MLflow from reporting its use, and from telling a user of us what its own libraries deprecate."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
