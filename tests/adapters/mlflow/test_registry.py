import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from streamgauge.adapters.mlflow.registry import MlflowRegistry
from streamgauge.testing.registry_conformance import build_policy, build_run


def client(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")


def test_the_run_is_tracked_with_what_an_auditor_asks_for(folder: Path) -> None:
    run = build_run()
    entry = MlflowRegistry(folder).register(run.artefact, run)
    tracked = client(folder).get_run(entry.run_id)
    assert tracked.info.status == "FINISHED"
    assert tracked.data.metrics["auc"] == pytest.approx(run.report.metrics.auc)
    assert tracked.data.params == {"estimator": "logistic", "estimator.C": "1.0", "split.kind": "time"}
    tags = tracked.data.tags
    assert tags["streamgauge.sha256"] == entry.sha256
    assert tags["streamgauge.program_sha256"] == "ab" * 32
    assert tags["streamgauge.label_sha256"] == "cd" * 32
    assert (tags["streamgauge.known"], tags["streamgauge.code_version"]) == ("recorded", "0")
    assert (tags["streamgauge.data_from_us"], tags["streamgauge.data_to_us"]) == ("1000000", "2000000")
    names = {item.path for item in client(folder).list_artifacts(entry.run_id, "artefact")}
    assert {"artefact/model.onnx", "artefact/manifest.json"} <= names


def test_rows_of_people_are_not_sent_to_the_tracking_store(folder: Path) -> None:
    run = build_run()
    entry = MlflowRegistry(folder).register(run.artefact, run)
    kept = {item.path for item in client(folder).list_artifacts(entry.run_id, "run")}
    assert kept == {"run/report.json", "run/roc.png"}


def test_the_champion_is_an_alias_in_mlflow(folder: Path) -> None:
    registry = MlflowRegistry(folder)
    for weight in (1.0, 2.0):
        run = build_run(weight=weight)
        registry.register(run.artefact, run)
    champion = client(folder).get_model_version_by_alias("risk", "champion")
    assert champion.tags["streamgauge.sha256"] == build_run().artefact.sha256
    assert len(client(folder).search_model_versions("name = 'risk'")) == 2


def test_a_store_that_is_down_stops_nothing_and_is_made_up_for(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    run = build_run()
    down = MlflowRegistry(folder, tracking_uri=f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")
    entry = down.register(run.artefact, run)
    assert entry.run_id == ""
    assert "could not be tracked" in caplog.text
    assert down.load(entry).sha256 == run.artefact.sha256
    other = build_run(weight=2.0)
    up = MlflowRegistry(folder)
    up.register(other.artefact, other)
    assert all(version.run_id for version in up.versions("risk"))


def test_a_crash_between_the_files_and_mlflow_leaves_one_run(folder: Path) -> None:
    run = build_run()
    registry = MlflowRegistry(folder)
    entry = registry.register(run.artefact, run)
    (folder / "risk" / "1" / "tracked.json").unlink()
    assert registry.register(run.artefact, run).run_id == entry.run_id


def test_a_crash_before_the_champion_was_named_is_healed(folder: Path) -> None:
    run = build_run()
    registry = MlflowRegistry(folder)
    registry.register(run.artefact, run)
    (folder / "risk" / "champion.json").unlink()
    (folder / "risk" / ".2.draft").mkdir()
    assert registry.champion("risk") is None
    other = build_run(weight=2.0)
    assert registry.register(other.artefact, other).version == 2
    champion = registry.champion("risk")
    assert champion is not None
    assert champion.version == 1


def test_reading_loads_no_mlflow(folder: Path) -> None:
    registry = MlflowRegistry(folder)
    run = build_run()
    registry.register(run.artefact, run)
    registry.register_policy(build_policy())
    program = """
import json, sys
from pathlib import Path
from streamgauge.adapters.mlflow.registry import MlflowRegistry
registry = MlflowRegistry(Path(sys.argv[1]))
champion = registry.champion("risk")
registry.load(champion), registry.versions("risk"), registry.policy("risk")
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
    command = [sys.executable, "-c", program, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"mlflow", "sqlalchemy", "sklearn", "matplotlib"} & set(json.loads(ended.stdout))
