"""An artefact is all that a server needs, and an altered one is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamgauge.errors import ArtefactAltered, ModelError
from streamgauge.scoring.artefact import MANIFEST, ModelArtefact
from streamgauge.scoring.scorer import Scorer
from tests.scoring.portfolio import NAMES, artefact_of, fit

PARTS = (
    "baseline.json",
    "calibrator.json",
    "card.json",
    "coding.json",
    "ensemble.msgpack",
    "model.onnx",
    "program.json",
)


def test_a_saved_artefact_scores_and_explains_as_before(artefact: ModelArtefact, fitted: Any, tmp_path: Path) -> None:
    with_baseline = replace(artefact, baseline=Scorer(artefact).baseline(fitted.raw, None))
    digest = with_baseline.save(tmp_path / "model")
    again = ModelArtefact.load(tmp_path / "model", sha256=digest)
    assert again.sha256 == with_baseline.sha256 == digest
    assert again == with_baseline
    assert again.features == NAMES
    before, after = Scorer(artefact), Scorer(again)
    np.testing.assert_array_equal(after.score_many(fitted.raw).pd, before.score_many(fitted.raw).pd)
    np.testing.assert_array_equal(after.explain(fitted.raw[:9]), before.explain(fitted.raw[:9]))


def test_one_blob_holds_it_all(artefact: ModelArtefact) -> None:
    data = artefact.to_bytes()
    assert ModelArtefact.from_bytes(data, sha256=artefact.sha256) == artefact
    with pytest.raises(ModelError, match="cannot be read"):
        ModelArtefact.from_bytes(b"nothing")


def test_the_parts_are_these(artefact: ModelArtefact, tmp_path: Path) -> None:
    artefact.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*PARTS, MANIFEST}


@pytest.mark.parametrize("part", [*PARTS, MANIFEST])
def test_an_altered_part_is_named(part: str, boosting: Any, tmp_path: Path) -> None:
    artefact_of(boosting).save(tmp_path)
    data = bytearray((tmp_path / part).read_bytes())
    place = data.index(b'"', len(data) // 2) + 1 if part == MANIFEST else len(data) // 2
    data[place] ^= 1
    (tmp_path / part).write_bytes(bytes(data))
    with pytest.raises(ArtefactAltered, match=part):
        ModelArtefact.load(tmp_path)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(part: str, boosting: Any, tmp_path: Path) -> None:
    artefact_of(boosting).save(tmp_path)
    (tmp_path / part).unlink()
    with pytest.raises(ArtefactAltered, match=f"{part} is missing"):
        ModelArtefact.load(tmp_path)


def test_a_whole_artefact_put_in_the_place_of_another_is_refused(boosting: Any, tmp_path: Path) -> None:
    artefact = artefact_of(boosting)
    registered = artefact.sha256
    replace(artefact, metadata={"auc": 0.99}).save(tmp_path)
    ModelArtefact.load(tmp_path)
    with pytest.raises(ArtefactAltered, match="was registered"):
        ModelArtefact.load(tmp_path, sha256=registered)


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no model"):
        ModelArtefact.load(tmp_path)


@pytest.mark.parametrize("kind", ["boosting", "forest", "logistic"])
def test_the_same_inputs_give_the_same_hash_whatever_the_order_of_mappings(kind: str) -> None:
    one = artefact_of(fit(kind, n=400))
    other = artefact_of(fit(kind, n=400))
    shuffled = replace(other, metadata=dict(reversed(other.metadata.items())))
    assert one.sha256 == shuffled.sha256
    assert one.sha256 != replace(other, label="other").sha256


def test_parts_that_were_not_fitted_together_are_refused(boosting: Any) -> None:
    artefact = artefact_of(boosting)
    with pytest.raises(ModelError, match="not fitted together"):
        replace(artefact, coding=type(artefact.coding)(artefact.coding.features[1:]))
    with pytest.raises(ModelError, match="reason codes"):
        replace(artefact, reasons=artefact.reasons[1:])
