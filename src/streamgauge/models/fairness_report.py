"""What a fairness report says; the API describes it without what computes it."""

from __future__ import annotations

import msgspec


class Interval(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval.

    Attributes:
        value: The figure.
        low: The interval's lower end.
        high: The interval's upper end.
    """

    value: float
    low: float
    high: float


class GroupFairness(msgspec.Struct, frozen=True, kw_only=True):
    """One group of an attribute.

    Attributes:
        group: Its name: a level, or a range of numbers.
        entities: How many entities are in it.
        rows: How many applications or observations they have.
        bad_rate: The share of bads among rows whose outcome is known; None without any.
        mean_pd: Their mean PD.
        approved: The share that the policy approves; None without a policy.
        auc: How well the model's features tell the group from the others; 0.5 is not at all. None for few entities.
        impact_ratio: Its approved share over that of the reference group (adverse impact ratio); None without a policy.
        mean_difference: Mean log-odds of the PD against the reference group's, in standard deviations over all rows.
        opportunity_gap: The approved share among rows that turned out good, minus the reference group's; None without a
            policy.
        adverse: Whether the impact ratio is below four fifths.
    """

    group: str
    entities: int
    rows: int
    bad_rate: float | None
    mean_pd: float
    approved: float | None
    auc: Interval | None = None
    impact_ratio: Interval | None = None
    mean_difference: Interval | None = None
    opportunity_gap: Interval | None = None
    adverse: bool = False


class AttributeFairness(msgspec.Struct, frozen=True, kw_only=True):
    """One protected attribute.

    Attributes:
        attribute: Such as ``Person.sex``.
        known: How many of the model's entities it is known of.
        unknown: Of how many it is not.
        auc: The highest AUC of a group from the model's features; None where no two groups are large enough.
        reference: The group that others are compared with: the one with the highest approved share, or without a policy
            with the lowest mean PD, of those that are large enough. None without one.
        groups: The groups in order.
    """

    attribute: str
    known: int
    unknown: int
    auc: Interval | None
    reference: str | None
    groups: tuple[GroupFairness, ...]


class FairnessReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a model and its policy treat people of protected groups.

    Attributes:
        model: The model's name.
        version: Its version.
        model_sha256: Its artefact.
        approve_below: The policy's cutoff, None without a policy.
        rows: How many rows were looked at.
        entities: Of how many entities.
        attributes: One entry for each declared attribute.
    """

    model: str
    version: int
    model_sha256: str
    approve_below: float | None
    rows: int
    entities: int
    attributes: tuple[AttributeFairness, ...]
