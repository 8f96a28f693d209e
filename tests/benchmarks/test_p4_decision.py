"""P4's checks on a small lender, served by the real programs."""

from pathlib import Path

import pytest

from benchmarks.lender import make_lender
from benchmarks.p4_decision import Bodies, artefact_of, check, plain_body
from benchmarks.p4_servers import ours, plain


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lender(tmp_path_factory.mktemp("bench") / "lender", 1_500, 730)


def test_a_decision_has_the_margin_that_the_plain_server_gives(project: Path, tmp_path: Path) -> None:
    artefact, bodies = artefact_of(project), Bodies(1_500)
    model = tmp_path / "model.onnx"
    model.write_bytes(artefact.onnx)
    with ours(project) as own, plain(model) as peer:
        rows, found = check(own, peer, artefact, bodies.take(5))
        assert "5 decisions" in found[0]
        outcome = own.load(bodies.take(20), seconds=20, connections=4)
        assert outcome["answers"] == 20
        assert peer.load([plain_body(rows[0])] * 20, seconds=0.2, connections=4, rate=100)["answers"] == 20
        with pytest.raises(RuntimeError, match="422"):
            own.load([b'{"decision_id": "", "event": {}}'], seconds=1, connections=1)
