import shutil
from pathlib import Path

import pytest

from streamgauge.adapters.mlflow.registry import MlflowRegistry
from streamgauge.adapters.mlflow.tracking import Tracker
from streamgauge.models.registry import Registry
from streamgauge.testing.registry_conformance import RegistryConformance


class TestMlflowRegistry(RegistryConformance):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def made_once(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        # Making an MLflow store takes seconds; each check gets a copy.
        folder = tmp_path_factory.mktemp("mlflow")
        Tracker(folder, None)
        cls.store = folder / "mlflow.db"

    store: Path

    def open_registry(self, folder: Path) -> Registry:
        if not (folder / "mlflow.db").exists():
            folder.mkdir(exist_ok=True)
            shutil.copy(self.store, folder)
        return MlflowRegistry(folder)
