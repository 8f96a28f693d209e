"""Whatever happens to payments, all that answers of card, merchant and pair gives the same bits: hosts and oracles."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.properties.hosts import Run, train_once, untouched
from tests.properties.role_hosts import PAYMENTS, RoleHosts
from tests.properties.test_hosts import SETTINGS
from tests.properties.troubled_payments import TroubledPayments

EXAMPLES = settings.default.max_examples // 5 if settings.default is not None else 0
"""A fifth of the profile's: an owner is opened and closed in each."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The project of payments with its models."""
    return train_once(tmp_path_factory.getbasetemp(), worker_id, PAYMENTS)


def hosts_of(run: Run, events: int, size: int, tail: int, sample: int) -> RoleHosts:
    """Let a stream run, compare its hosts with one another, and return them."""
    with run.opened():
        run.stream(events, size, troubles=0.7)
        run.owner.log.seal(tail, 20)
        hosts = RoleHosts(run, sample)
        hosts.compare()
    hosts.compare_frame()
    return hosts


def test_every_host_gives_the_oracles_bits_of_troubled_payments(trained: Path, tmp_path: Path) -> None:
    place = untouched(trained, tmp_path / "payments", f"{SETTINGS[1]}[log]\ntail = 60\nseal = 20\n", PAYMENTS)
    run = Run(place, TroubledPayments(2, 9), 2, decided_share=0.7)
    hosts = hosts_of(run, 300, 10, 60, sample=12)
    hosts.judge()
    assert run.restarts
    assert run.imports
    assert run.refused
    assert len(hosts.counts) == 17, hosts.counts
    assert all(hosts.counts.values()), hosts.counts


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    seed=st.integers(0, 2**32 - 1),
    engine=st.sampled_from(SETTINGS),
    tail=st.sampled_from((10, 60, 1_000)),
    entities=st.sampled_from((2, 6, 30)),
    size=st.integers(1, 30),
)
def test_every_host_gives_the_oracles_bits_of_any_payments(
    trained: Path, seed: int, engine: str, tail: int, entities: int, size: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = untouched(trained, Path(folder) / "payments", f"{engine}[log]\ntail = {tail}\nseal = 20\n", PAYMENTS)
        run = Run(place, TroubledPayments(seed, entities), seed, decided_share=0.7)
        hosts_of(run, 60, size, tail, sample=5).judge(of=5)


def test_a_wrong_bit_of_any_host_of_payments_is_found(trained: Path, tmp_path: Path) -> None:
    run = Run(untouched(trained, tmp_path / "payments", law=PAYMENTS), TroubledPayments(9, 6), 9, decided_share=1.0)
    with run.opened():
        run.stream(60, 6, troubles=1)
        RoleHosts(run, 2).compare()
        key, score = next((key, one) for key, one in run.scores.items() if one.model == "payment")
        run.scores[key] = type(score)(**{name: getattr(score, name) for name in score.__struct_fields__} | {"pd": 0.5})
        with pytest.raises(AssertionError, match="published"):
            RoleHosts(run, 2).compare()
        run.scores[key] = score
        read = next(one for one in run.reads if one.values.get("Both.since_first") is not None)
        name, value = "Both.since_first", read.values["Both.since_first"]
        assert isinstance(value, float)
        run.reads[run.reads.index(read)] = replace(read, values={**read.values, name: value * (1 + 2**-52)})
        with pytest.raises(AssertionError, match="backfilled"):
            RoleHosts(run, 2).compare()
