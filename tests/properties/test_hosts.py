"""Whatever happens to a stream, everything that answers gives the same bits: hosts, replay and both oracles."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.properties.hosts import Run, compare, train_once, untouched
from tests.properties.troubled import Troubled

EVENTS = 400
SETTINGS = (
    "[engine]\nbatch = 1\ncached_bytes = 1\n",
    "[engine]\nbatch = 7\ncached_bytes = 20000\ncheckpoint_records = 0\nworkers = 1\n",
    "[engine]\nbatch = 4096\n",
)
EXAMPLES = settings.default.max_examples // 10 if settings.default is not None else 0
"""A tenth of the profile's: an owner is opened and closed in each, and more happens than to payments."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The law's project with its models; trained once, however many processes test."""
    return train_once(tmp_path_factory.getbasetemp(), worker_id)


@pytest.mark.parametrize(("seed", "settings"), list(enumerate(SETTINGS)))
def test_every_host_gives_the_oracles_bits_of_a_troubled_stream(
    seed: int, settings: str, trained: Path, tmp_path: Path
) -> None:
    run = Run(untouched(trained, tmp_path / "law", settings), Troubled(seed, 12), seed)
    with run.opened():
        run.stream(EVENTS, 12, troubles=0.6)
        counts = compare(run, sample=20)
    assert all(counts.values()), counts
    assert run.restarts + run.imports > 0


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    seed=st.integers(0, 2**32 - 1),
    engine=st.sampled_from(SETTINGS),
    tail=st.sampled_from((10, 60, 1_000)),
    entities=st.sampled_from((1, 3, 30)),
    size=st.integers(1, 30),
)
def test_every_host_gives_the_oracles_bits_of_any_stream(
    trained: Path, seed: int, engine: str, tail: int, entities: int, size: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = untouched(trained, Path(folder) / "law", f"{engine}[log]\ntail = {tail}\nseal = 20\n")
        run = Run(place, Troubled(seed, entities), seed)
        with run.opened():
            run.stream(100, size, troubles=0.6)
            run.owner.log.seal(tail, 20)
            compare(run, sample=8)


def test_a_wrong_bit_of_any_host_is_found(trained: Path, tmp_path: Path) -> None:
    run = Run(untouched(trained, tmp_path / "law"), Troubled(9, 6), 9)
    with run.opened():
        run.stream(60, 6, troubles=1)
        compare(run, sample=2)
        key, score = next(iter(run.scores.items()))
        run.scores[key] = type(score)(**{name: getattr(score, name) for name in score.__struct_fields__} | {"pd": 0.5})
        with pytest.raises(AssertionError, match="published"):
            compare(run, sample=2)
        run.scores[key] = score
        read = run.reads[0]
        name, value = next((name, value) for name, value in read.values.items() if isinstance(value, float))
        run.reads[0] = replace(read, values={**read.values, name: value * (1 + 2**-52)})
        with pytest.raises(AssertionError, match="backfilled"):
            compare(run, sample=2)
