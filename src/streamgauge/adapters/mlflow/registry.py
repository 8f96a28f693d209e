"""The registry: MLflow tracks and names every version, plain files serve it.

The serving directory is the authority: it is written first and whole, and reading it needs no MLflow. A version that
could not be tracked (a crash, a server that is down) is tracked by the next `register`.
"""

from __future__ import annotations

import io
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from streamgauge.adapters.mlflow.directory import ServingDirectory
from streamgauge.models.registry import RegisteredModel, entry_of

if TYPE_CHECKING:
    import polars as pl

    from streamgauge.models.run import TrainingRun
    from streamgauge.scoring.artefact import ModelArtefact
    from streamgauge.scoring.policy import RegisteredPolicy

logger = logging.getLogger(__name__)


class MlflowRegistry:
    """Registers models and policies below a directory, and tracks models in MLflow.

    Args:
        directory: Where models are served from; it need not exist yet.
        tracking_uri: An MLflow server; by default a SQLite store in the directory.
    """

    def __init__(self, directory: Path, tracking_uri: str | None = None) -> None:
        self._files = ServingDirectory(directory)
        self._uri = tracking_uri
        self._preparing: threading.Thread | None = None

    def prepare(self) -> None:
        """Load MLflow and make its store in another thread; that takes seconds."""
        if self._preparing is None:
            self._files.root.mkdir(parents=True, exist_ok=True)
            self._preparing = threading.Thread(target=self._warm, name="mlflow", daemon=True)
            self._preparing.start()

    def register(self, artefact: ModelArtefact, run: TrainingRun) -> RegisteredModel:
        """See `streamgauge.models.registry.Registry.register`."""
        self._files.settle_champions()
        registered = self.by_sha256(artefact.name, artefact.sha256)
        if registered is None:
            registered = self._files.add(entry_of(run), artefact, _files_of(run))
        self._track()
        return self.by_sha256(artefact.name, artefact.sha256) or registered

    def models(self) -> list[str]:
        """See `streamgauge.models.registry.Registry.models`."""
        return self._files.models()

    def champion(self, model: str) -> RegisteredModel | None:
        """See `streamgauge.models.registry.Registry.champion`."""
        return self._files.champion(model)

    def versions(self, model: str) -> list[RegisteredModel]:
        """See `streamgauge.models.registry.Registry.versions`."""
        return self._files.versions(model)

    def load(self, registered: RegisteredModel) -> ModelArtefact:
        """See `streamgauge.models.registry.Registry.load`."""
        return self._files.artefact(registered)

    def rows(self, registered: RegisteredModel) -> pl.DataFrame:
        """See `streamgauge.models.registry.Registry.rows`."""
        return self._files.rows(registered)

    def erase(self, entity: str) -> int:
        """See `streamgauge.models.registry.Registry.erase`."""
        return self._files.erase(entity)

    def by_sha256(self, model: str, sha256: str) -> RegisteredModel | None:
        """See `streamgauge.models.registry.Registry.by_sha256`."""
        return next((one for one in self._files.versions(model) if one.sha256 == sha256), None)

    def register_policy(self, policy: RegisteredPolicy) -> RegisteredPolicy:
        """See `streamgauge.models.registry.Registry.register_policy`."""
        return self._files.add_policy(policy)

    def policy(self, model: str) -> RegisteredPolicy | None:
        """See `streamgauge.models.registry.Registry.policy`."""
        return self._files.policy(model)

    def policy_by_sha256(self, model: str, sha256: str) -> RegisteredPolicy | None:
        """See `streamgauge.models.registry.Registry.policy_by_sha256`."""
        return next((one for one in self._files.policies(model) if one.sha256 == sha256), None)

    def _track(self) -> None:
        """Track every version that is not tracked yet; a failure is logged, and made up for by the next `register`."""
        from streamgauge.adapters.mlflow.tracking import Tracker

        if self._preparing is not None:
            self._preparing.join()
        waiting = self._files.untracked()
        if not waiting:
            return
        try:
            tracker = Tracker(self._files.root, self._uri)
            for entry in waiting:
                self._files.note_tracked(entry, tracker.track(entry, self._files.home(entry.name, entry.version)))
        except Exception:  # MLflow's errors share no class; the model is registered and serves without it
            logger.exception("A registered model could not be tracked in MLflow; the next training tries again.")

    def _warm(self) -> None:
        from streamgauge.adapters.mlflow.tracking import Tracker

        try:
            Tracker(self._files.root, self._uri)
        except Exception:  # it is tried again, and told of, when there is something to track
            logger.debug("MLflow could not be prepared.", exc_info=True)


def _files_of(run: TrainingRun) -> dict[str, bytes]:
    rows = io.BytesIO()
    run.rows.write_parquet(rows)
    return {**run.plots, "report.json": run.report.to_json(), "rows.parquet": rows.getvalue()}
