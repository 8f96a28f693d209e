"""A fresh MLflow store, made once: making one takes seconds."""

from pathlib import Path

import pytest

from streamgauge.adapters.mlflow.tracking import Tracker


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mlflow")
    Tracker(folder, None)
    return folder / "mlflow.db"


@pytest.fixture
def folder(tmp_path: Path, store: Path) -> Path:
    """An empty registry's folder that has its store."""
    home = tmp_path / "models"
    home.mkdir()
    (home / "mlflow.db").write_bytes(store.read_bytes())
    return home
