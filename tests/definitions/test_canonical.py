"""Hashes: pinned, and blind to what a computer does not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamgauge.definitions.canonical import canonical, digest
from streamgauge.definitions.loader import load_project, load_source
from streamgauge.definitions.specs import ProjectSpec
from tests.definitions.conftest import MODEL, STREAMS

CREDIT = Path(__file__).parents[2] / "examples" / "credit" / "credit.py"
POLICY = "m = sg.Model(**parts)\nsg.Policy(m, approve_below=0.04, refer_below=0.08, grades={'A': 0.1, 'B': 1})\n"

GOLDEN = {
    "stream Movement": "52b0281d28d8c6ea",
    "feature CashFlow.inflow_pace": "25397e0adf0cc511",
    "feature CashFlow.top_payer": "a21b207efb8b4618",
    "feature CashFlow.since_overdrawn": "4573b5fc42d6618d",
    "label default_90d": "ffa3aca41a304566",
    "model account-risk": "996aeaf97f7b9c17",
    "model application-risk": "8c5485b0027119aa",
    "policy application-risk": "fe8d0ee9997f8735",
}


def found(project: ProjectSpec) -> dict[str, str]:
    return {
        **{f"stream {name}": digest(spec) for name, spec in project.streams.items()},
        **{f"feature {name}": digest(spec) for name, spec in project.features.items()},
        **{f"label {name}": digest(spec) for name, spec in project.labels.items()},
        **{f"model {name}": digest(spec) for name, spec in project.models.items()},
        **{f"policy {name}": digest(spec) for name, spec in project.policies.items()},
    }


@pytest.mark.parametrize("definition", GOLDEN)
def test_a_hash_stays_what_it_was(definition: str) -> None:
    assert found(load_project(CREDIT))[definition][:16] == GOLDEN[definition]


def test_layout_comments_and_local_names_are_no_part_of_a_hash() -> None:
    source = STREAMS + MODEL + POLICY
    moved = "# a comment\n\n" + source.replace("weekly", "grid").replace("A booked movement", "Another text")
    moved = moved.replace('reason="Many movements"', 'reason="Too many"').replace(
        'entity=Movement.account, reach="365d"', 'reach="365d", entity=Movement.account'
    )

    assert moved != source
    assert found(load_source(moved)) == found(load_source(source))


CHANGES = {
    "a window": ('over="30d"', 'over="31d"', {"feature Cash.n", "model risk"}),
    "a threshold": ("Arrears.days >= 30", "Arrears.days >= 31", {"label bad", "model risk"}),
    "a level": ('"own"]', '"own", "x"]', {"stream Movement", "feature Cash.kind", "model risk"}),
    "a code": ('code="R01"', 'code="R02"', {"feature Cash.n", "model risk"}),
    "a bound": ("approve_below=0.04", "approve_below=0.05", {"policy risk"}),
    "lateness": ("class Application(sg.Event)", "class Application(sg.Event, lateness='1d')", {"stream Application"}),
}


@pytest.mark.parametrize(("old", "new", "changed"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_meaning_changes_the_hashes_it_reaches(old: str, new: str, changed: set[str]) -> None:
    source = STREAMS + MODEL + POLICY
    assert source.count(old) == 1

    before, after = found(load_source(source)), found(load_source(source.replace(old, new)))

    assert {name for name in before if before[name] != after[name]} == changed


def test_a_value_without_a_canonical_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no canonical form"):
        canonical(object())


def test_a_truth_is_no_number() -> None:
    assert digest([True]) != digest([1])
    assert digest([1]) != digest([1.0])
