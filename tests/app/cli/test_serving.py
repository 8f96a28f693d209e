"""``streamgauge run``, ``doctor`` and ``demo``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from streamgauge.app.settings import Place
from tests.app.cli.conftest import answer, command, refusal, running


def test_run_serves_creates_a_first_key_once_and_ends_on_a_signal(project: Place) -> None:
    with running(project.root) as started:
        assert started["key"].startswith("sg_")
        request = urllib.request.Request(f"{started['url']}/v1/models", headers={"X-API-Key": started["key"]})  # noqa: S310 - our own server
        with urllib.request.urlopen(request) as response:  # noqa: S310 - the same
            assert {model["name"] for model in json.load(response)} == {"account-risk", "application-risk"}
        checked = answer("doctor", "-C", project.root)
        assert [one["state"] for one in checked["findings"] if one["what"] == "owner"] == ["ok"]
    assert not project.socket.exists()
    with running(project.root) as started:
        assert started["key"] is None


def test_a_second_owner_is_refused(project: Place) -> None:
    with running(project.root):
        assert "owns" in refusal("run", "-C", project.root, "--port", "0")


def test_training_beside_a_running_owner_is_served_at_once(project: Place) -> None:
    file = project.project_file
    file.write_text(file.read_text().replace("approve_below=0.04", "approve_below=0.035"))
    with running(project.root):
        [before] = [model for model in answer("models", "-C", project.root) if model["policy"] is not None]
        answer("policy", "evaluate", "--register", "-C", project.root)
        [after] = [model for model in answer("models", "-C", project.root) if model["policy"] is not None]
    assert after["policy"] == before["policy"] + 1


def test_the_doctor_finds_a_sound_project_healthy(project: Place) -> None:
    examined = answer("doctor", "-C", project.root)
    assert examined["healthy"]
    states = {one["what"]: one["state"] for one in examined["findings"]}
    wanted = ("Python", "project file", "event log", "decision ledger", "states", "account-risk 1", "fsync")
    assert {what: states[what] for what in wanted} == dict.fromkeys(wanted, "ok")
    assert "All is well." in command("doctor", "-C", project.root).stdout


def test_the_doctor_locates_an_altered_artefact(project: Place) -> None:
    [onnx] = (project.models / "account-risk").rglob("model.onnx")
    sound = onnx.read_bytes()
    onnx.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    try:
        result = command("doctor", "-C", project.root, "--json")
        assert result.exit_code == 1
        bad = {one["what"]: one["detail"] for one in json.loads(result.stdout)["findings"] if one["state"] == "bad"}
        assert set(bad) == {"account-risk 1", "states"}
        assert "model.onnx" in bad["account-risk 1"]
    finally:
        onnx.write_bytes(sound)


def test_the_doctor_says_what_a_directory_without_a_project_lacks(tmp_path: Path) -> None:
    result = command("doctor", "-C", tmp_path)
    assert result.exit_code == 1
    assert "streamgauge init" in " ".join(result.stdout.split())


@pytest.mark.e2e
@pytest.mark.slow
def test_the_demo_ends_by_itself_with_one_json_object(tmp_path: Path) -> None:
    words = ("demo", "--for", "4s", "--headless", "--json", "--borrowers", "1000", "--rate", "100", "--dir")
    ended = subprocess.run(
        [sys.executable, "-m", "streamgauge.app.cli", *words, str(tmp_path)],
        capture_output=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    summary = json.loads(ended.stdout)
    assert summary["events"] > 100
    assert set(summary["auc"]) == {"account-risk", "application-risk"}
    assert summary["freshness_ms"]["p99"] >= summary["freshness_ms"]["p50"] > 0
    assert summary["seconds_to_first_score"] > 0
    assert summary["verify"] == {"checked": summary["decisions"], "match": summary["decisions"], "mismatch": 0}
