"""Fairness: what features tell of protected attributes, and how differently a model and its policy treat people.

Figures are of the rows kept beside the model, which it was not fitted on. Rows of one entity are no independent
evidence: intervals resample entities with all their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl

from streamgauge.models.fairness_report import AttributeFairness, GroupFairness
from streamgauge.models.grouping import Grouping, group_people
from streamgauge.models.metrics import SEED
from streamgauge.models.proxies import attribute_auc, interval
from streamgauge.models.rows import matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from streamgauge.definitions.specs import ProtectedSpec
    from streamgauge.models.fairness_report import Interval
    from streamgauge.models.protected import Attributes
    from streamgauge.scoring.artefact import ModelArtefact

LEAST_ENTITIES: Final = 30
"""Groups of fewer entities are counted, and nothing is said of them."""

FOUR_FIFTHS: Final = 0.8
_REPLICATES: Final = 400


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows of a model.

    Attributes:
        entities: The entity keys.
        entity: int64[n], each row's entity by its number.
        odds: float64[n], log-odds of the PD.
        pd: float64[n].
        bad: float64[n], 1 bad, 0 good, NaN not known.
        approved: bool[n], or None without a policy.
        X: float64[n, columns], what the model sees.
        t: int64[n], as of when, µs.
    """

    entities: list[str]
    entity: NDArray[np.int64]
    odds: NDArray[np.float64]
    pd: NDArray[np.float64]
    bad: NDArray[np.float64]
    approved: NDArray[np.bool_] | None
    X: NDArray[np.float64]
    t: NDArray[np.int64]

    @classmethod
    def of(cls, artefact: ModelArtefact, rows: pl.DataFrame, approved: NDArray[np.bool_] | None) -> Judged:
        """Return the rows kept beside a model, with what a policy makes of them.

        Args:
            artefact: The model.
            rows: Its kept rows.
            approved: bool[n], or None without a policy.
        """
        entities = rows["entity"].unique().sort()
        numbers = pl.DataFrame({"entity": entities, "number": np.arange(len(entities))})
        owner = rows.select("entity").join(numbers, on="entity", how="left", maintain_order="left")["number"]
        pd = rows["pd"].to_numpy()
        return cls(
            entities=entities.to_list(),
            entity=owner.to_numpy().astype(np.int64),
            odds=np.log(pd / (1.0 - pd)),
            pd=pd,
            bad=rows["bad"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
            approved=approved,
            X=artefact.coding.encode(matrix(rows, artefact.features)),
            t=rows["as_of"].dt.timestamp("us").to_numpy(),
        )


def judge_attribute(
    judged: Judged, spec: ProtectedSpec, name: str, people: Mapping[str, Attributes]
) -> AttributeFairness:
    """Return the figures of one attribute.

    Args:
        judged: The model's rows.
        spec: The class that declares it.
        name: The attribute.
        people: What is known, by entity key.

    Source: adverse impact ratio and four fifths: 29 CFR 1607.4 D; equal opportunity: Hardt, Price and Srebro 2016;
        standardized mean difference: Cohen 1988.
    """
    field = next(one for one in spec.fields if one.name == name)
    grouping = group_people(field, [people.get(key, {}).get(name) for key in judged.entities])
    known = grouping.code >= 0
    large = np.bincount(grouping.code[known], minlength=len(grouping.names)) >= LEAST_ENTITIES
    sums = _Sums.of(judged, grouping)
    reference = sums.reference(large)
    telling = [_telling(judged, grouping, group, large) for group in range(len(large))]
    figures = sums.figures(reference, large)
    aucs = [one for one in telling if one is not None]
    return AttributeFairness(
        attribute=f"{spec.name}.{name}",
        known=int(known.sum()),
        unknown=int((~known).sum()),
        auc=max(aucs, key=lambda one: one.value) if aucs else None,
        reference=None if reference is None else grouping.names[reference],
        groups=tuple(msgspec.structs.replace(one, auc=auc) for one, auc in zip(figures, telling, strict=True)),
    )


def _telling(judged: Judged, grouping: Grouping, group: int, large: NDArray[np.bool_]) -> Interval | None:
    if not large[group] or large.sum() < _TWO:
        return None
    return attribute_auc(judged, grouping, group)


_TWO: Final = 2
_COLUMNS: Final = ("rows", "approved", "good", "approved_good", "odds", "squares")


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over each entity's rows, from which every figure and every replicate is made."""

    grouping: Grouping
    with_policy: bool
    by_entity: NDArray[np.float64]
    pd: NDArray[np.float64]
    bad: NDArray[np.float64]
    group_of_row: NDArray[np.int64]

    @classmethod
    def of(cls, judged: Judged, grouping: Grouping) -> _Sums:
        group_of_row = grouping.code[judged.entity]
        good = judged.bad == 0.0
        approved = np.zeros(len(good), np.bool_) if judged.approved is None else judged.approved
        columns = (np.ones(len(good)), approved, good, good & approved, judged.odds, judged.odds**2)
        n = len(judged.entities)
        table = np.stack([_summed(judged.entity, one, n) for one in columns])
        return cls(
            grouping=grouping,
            with_policy=judged.approved is not None,
            by_entity=table,
            pd=judged.pd,
            bad=judged.bad,
            group_of_row=group_of_row,
        )

    def by_group(self, weight: NDArray[np.float64] | None = None) -> dict[str, NDArray[np.float64]]:
        """Return each column's sum over each group, entities weighted."""
        known, groups = self.grouping.code >= 0, len(self.grouping.names)
        table = self.by_entity if weight is None else self.by_entity * weight
        return {
            name: _summed(self.grouping.code[known], column[known], groups)
            for name, column in zip(_COLUMNS, table, strict=True)
        }

    def reference(self, large: NDArray[np.bool_]) -> int | None:
        """Return the most favoured of the large groups."""
        if large.sum() < _TWO:
            return None
        sums = self.by_group()
        favour = sums["approved"] / sums["rows"] if self.with_policy else -sums["odds"] / sums["rows"]
        return int(np.argmax(np.where(large, favour, -np.inf)))

    def figures(self, reference: int | None, large: NDArray[np.bool_]) -> list[GroupFairness]:
        """Return every group's figures against the reference group."""
        compared = None if reference is None else _compare(self.by_group(), reference)
        drawn: list[dict[str, NDArray[np.float64]]] = []
        if reference is not None:
            rng, entities = np.random.Generator(np.random.PCG64(SEED)), self.by_entity.shape[1]
            for _ in range(_REPLICATES):
                weight = np.bincount(rng.integers(0, entities, entities), minlength=entities).astype(np.float64)
                drawn.append(_compare(self.by_group(weight), reference))
        return [
            self._figures_of(group, compared if large[group] and group != reference else None, drawn)
            for group in range(len(self.grouping.names))
        ]

    def _figures_of(
        self, group: int, compared: dict[str, NDArray[np.float64]] | None, drawn: list[dict[str, NDArray[np.float64]]]
    ) -> GroupFairness:
        inside = self.group_of_row == group
        outcomes = self.bad[inside & ~np.isnan(self.bad)]
        sums = self.by_group()

        def figure(name: str) -> Interval | None:
            if compared is None or (name != "mean_difference" and not self.with_policy):
                return None
            return interval(float(compared[name][group]), [float(one[name][group]) for one in drawn])

        ratio = figure("impact_ratio")
        return GroupFairness(
            group=self.grouping.names[group],
            entities=int((self.grouping.code == group).sum()),
            rows=int(inside.sum()),
            bad_rate=float(outcomes.mean()) if len(outcomes) else None,
            mean_pd=float(self.pd[inside].mean()),
            approved=float(sums["approved"][group] / sums["rows"][group]) if self.with_policy else None,
            impact_ratio=ratio,
            mean_difference=figure("mean_difference"),
            opportunity_gap=figure("opportunity_gap"),
            adverse=ratio is not None and ratio.value < FOUR_FIFTHS,
        )


def _summed(place: NDArray[np.int64], values: NDArray[Any], length: int) -> NDArray[np.float64]:
    """Return the sum of values at each place, float64[length]."""
    return np.asarray(np.bincount(place, weights=values.astype(np.float64), minlength=length), np.float64)


def _compare(sums: Mapping[str, NDArray[np.float64]], reference: int) -> dict[str, NDArray[np.float64]]:
    """Return each group's ratio, difference and gap against the reference group; NaN where one of them is empty."""
    with np.errstate(divide="ignore", invalid="ignore"):
        approved, odds = sums["approved"] / sums["rows"], sums["odds"] / sums["rows"]
        opportunity = sums["approved_good"] / sums["good"]
        total = sums["rows"].sum()
        spread = np.sqrt(sums["squares"].sum() / total - (sums["odds"].sum() / total) ** 2)
        return {
            "impact_ratio": approved / approved[reference],
            "mean_difference": (odds - odds[reference]) / spread,
            "opportunity_gap": opportunity - opportunity[reference],
        }
