"""Fairness figures on people with a known, planted difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from streamgauge.definitions.schema import FieldKind, FieldSpec
from streamgauge.definitions.specs import ProtectedSpec
from streamgauge.models.fairness import LEAST_ENTITIES, Judged, judge_attribute
from streamgauge.models.fairness_report import AttributeFairness, GroupFairness
from streamgauge.models.grouping import group_people
from streamgauge.models.run import TrainingRun

SEX = FieldSpec("sex", FieldKind.CATEGORY, levels=("f", "m", "x"))
BORN = FieldSpec("born", FieldKind.INTEGER)
PERSON = ProtectedSpec("Person", "customer", (SEX, BORN))


def population(
    *, n: int = 3_000, rows_each: int = 1, gap: float = 0.0, proxy: float = 0.0, policy: bool = True, seed: int = 3
) -> tuple[Judged, dict[str, dict[str, Any]]]:
    """People half f, half m: log-odds are higher for f by ``gap``, and a feature by ``proxy``."""
    rng = np.random.Generator(np.random.PCG64(seed))
    female = rng.random(n) < 0.5
    entity = np.repeat(np.arange(n), rows_each)
    own = rng.normal(size=n)[entity]
    odds = -2.0 + own + gap * female[entity]
    X = np.column_stack([own, rng.normal(size=n)[entity] + proxy * female[entity], np.full(len(entity), np.nan)])
    pd = 1 / (1 + np.exp(-odds))
    bad = (rng.random(len(entity)) < pd).astype(np.float64)
    bad[rng.random(len(entity)) < 0.2] = np.nan
    keys = [f"customer:{number:05d}" for number in range(n)]
    people = {key: {"sex": "f" if one else "m"} for key, one in zip(keys, female.tolist(), strict=True)}
    approved = (pd < 0.15) if policy else None
    t = np.tile(np.arange(rows_each), n)
    return Judged(keys, entity, odds, pd, bad, approved, X, t), people


def of_sex(**planted: Any) -> AttributeFairness:
    judged, people = population(**planted)
    return judge_attribute(judged, PERSON, "sex", people)


def group(found: AttributeFairness, name: str) -> GroupFairness:
    return next(one for one in found.groups if one.group == name)


def test_equal_treatment_is_within_every_interval() -> None:
    found = of_sex()
    other = next(one for one in found.groups if one.group != found.reference)
    assert other.impact_ratio is not None
    assert other.mean_difference is not None
    assert other.opportunity_gap is not None
    assert other.impact_ratio.low <= 1.0
    assert not other.adverse
    assert other.mean_difference.low < 0.0 < other.mean_difference.high
    assert other.opportunity_gap.low < 0.0 < other.opportunity_gap.high
    assert found.auc is not None
    assert found.auc.low < 0.5 + 0.02


def test_a_planted_difference_is_found_and_is_what_was_planted() -> None:
    found = of_sex(gap=0.8)
    assert found.reference == "m"
    women = group(found, "f")
    men = group(found, "m")
    assert women.approved is not None
    assert men.approved is not None
    assert women.impact_ratio is not None
    assert women.mean_difference is not None
    assert women.opportunity_gap is not None
    assert women.impact_ratio.value == pytest.approx(women.approved / men.approved)
    assert women.impact_ratio.high < 1.0
    assert women.adverse
    # 0.8 over the spread of own (1) and of the gap itself (0.4).
    assert women.mean_difference.low < 0.8 / np.sqrt(1.0 + 0.16) < women.mean_difference.high
    assert women.opportunity_gap.high < 0.0
    assert (men.impact_ratio, men.mean_difference, men.opportunity_gap) == (None, None, None)


def test_the_gap_of_opportunity_is_of_those_who_turned_out_good() -> None:
    judged, people = population(gap=0.5)
    found = judge_attribute(judged, PERSON, "sex", people)
    assert judged.approved is not None
    female = np.array([people[judged.entities[owner]]["sex"] == "f" for owner in judged.entity.tolist()])
    good = judged.bad == 0.0
    expected = judged.approved[good & female].mean() - judged.approved[good & ~female].mean()
    gap = group(found, "f").opportunity_gap
    assert gap is not None
    assert gap.value == pytest.approx(expected)


def test_features_that_tell_an_attribute_are_found() -> None:
    auc = of_sex(proxy=1.5).auc
    assert auc is not None
    # The AUC of two normal distributions 1.5 apart is 0.856.
    assert 0.80 < auc.low < 0.856 < auc.high + 0.02


def test_without_a_policy_there_is_no_cutoff_to_compare_at() -> None:
    found = of_sex(gap=0.8, policy=False)
    women = group(found, "f")
    assert found.reference == "m"
    assert (women.approved, women.impact_ratio, women.opportunity_gap) == (None, None, None)
    assert women.mean_difference is not None


def test_rows_of_one_entity_do_not_narrow_an_interval() -> None:
    once, often = of_sex(gap=0.3, n=600), of_sex(gap=0.3, n=600, rows_each=20)

    def width(found: AttributeFairness) -> float:
        one = group(found, "f").mean_difference
        assert one is not None
        return one.high - one.low

    assert width(often) > 0.8 * width(once)


def test_of_few_people_nothing_is_said() -> None:
    judged, people = population()
    for key in judged.entities[: LEAST_ENTITIES - 1]:
        people[key] = {"sex": "x"}
    found = judge_attribute(judged, PERSON, "sex", people)
    few = group(found, "x")
    assert few.entities == LEAST_ENTITIES - 1
    assert few.rows == few.entities
    assert (few.auc, few.impact_ratio, few.mean_difference) == (None, None, None)
    assert found.reference in {"f", "m"}


def test_people_of_whom_nothing_is_known_are_counted_and_left_out() -> None:
    judged, people = population(gap=0.8)
    all_known = judge_attribute(judged, PERSON, "sex", people)
    some = dict(list(people.items())[::2])
    found = judge_attribute(judged, PERSON, "sex", some)
    assert (found.known, found.unknown) == (1_500, 1_500)
    assert found.known + found.unknown == all_known.known
    nobody = judge_attribute(judged, PERSON, "sex", {})
    assert (nobody.known, nobody.auc, nobody.reference, nobody.groups) == (0, None, None, ())


def test_numbers_are_grouped_by_quarters_and_levels_by_their_names() -> None:
    years = [1950 + number % 40 for number in range(400)] + [None]
    grouping = group_people(BORN, years)
    assert grouping.names == ("1950 to 1959", "1960 to 1969", "1970 to 1979", "1980 to 1989")
    assert np.bincount(grouping.code[:-1]).tolist() == [100, 100, 100, 100]
    assert grouping.code[-1] == -1
    assert group_people(SEX, ["m", "f", "m"]).names == ("f", "m")
    assert group_people(FieldSpec("member", FieldKind.FLAG), [1, 0, None]).names == ("no", "yes")
    assert group_people(FieldSpec("income", FieldKind.MONEY, decimals=2), [-5, 1250]).names == ("-0.05", "12.50")
    assert group_people(BORN, [7] * 90 + list(range(10))).names[0] == "0 to 7"


def test_the_rows_kept_beside_a_model_are_enough(runs: dict[str, TrainingRun]) -> None:
    run = runs["weekly"]
    judged = Judged.of(run.artefact, run.rows, None)
    assert len(judged.entities) == run.rows["entity"].n_unique()
    people: dict[str, dict[str, int | str]] = {
        key: {"sex": "f" if number % 2 else "m"} for number, key in enumerate(judged.entities)
    }
    found = judge_attribute(judged, PERSON, "sex", people)
    assert sum(one.rows for one in found.groups) == len(run.rows)
    means = run.rows.with_columns(
        pl.col("entity").replace_strict({k: v["sex"] for k, v in people.items()}).alias("sex")
    )
    for one in found.groups:
        expected = means.filter(pl.col("sex") == one.group)["pd"].mean()
        assert one.mean_pd == pytest.approx(expected)
    assert found.auc is not None
    assert found.auc.low < 0.55
