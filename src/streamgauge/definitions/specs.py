"""What features, observations, labels, models and policies mean: frozen trees, the form that is hashed and computed.

The classes and operators a user writes (`streamgauge.definitions.rows` and its neighbours) build these specs;
everything
behind them (the kernel, the oracles, the dataset, the scorer) reads only specs.

A **tree** is a nested tuple whose first item names its node.

Conditions (three-valued, as in SQL; a row is kept only where the condition is true)::

    ("field", name)  ("int", units)                                    integer leaves
    ("add" | "sub" | "mul", a, b)                                      integer arithmetic; null with any null
    ("eq" | "ne" | "lt" | "le" | "gt" | "ge", a, b)                    null with any null
    ("in", ("field", name), (units, ...))                              sorted, without nulls; null for null
    ("is_null", ("field", name))                                       never null
    ("and" | "or", a, b)  ("not", a)

Literals are already in the field's units; operands of different decimals are already brought to the same scale.

Feature expressions (float64, null with any null unless said)::

    ("agg", AggregateSpec)  ("const", float)
    ("neg", a)  ("add" | "sub" | "mul" | "div" | "min" | "max", a, b)
    ("coalesce", a, b)                                                 b where a is null

Feature predicates (three-valued)::

    ("eq" | "ne" | "lt" | "le" | "gt" | "ge", expression, expression)
    ("is_null", expression)("and" | "or", p, q)("not", p)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from streamgauge.definitions.schema import FieldSpec, StreamSpec

Tree: TypeAlias = tuple[Any, ...]

Summary = Literal["sum", "mean", "std", "min", "max", "slope", "below"]
Step = Literal["count", "sum", "min", "max", "distinct", "first", "last"]

QUANTILE_SCALE: Final = 10**12
"""A quantile's order is a whole number of these parts: rank ⌈q·n⌉ is exact in int64 for every n an entity may have."""

HALF_LIVES: Final = 40
"""After so many half-lives a decayed value weighs nothing."""


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """Which events of the rows an aggregate sees.

    Attributes:
        kind: ``duration`` is (t − width, t]; ``last`` the newest ``n`` live events of the stream within reach;
            ``life`` all
            up to t.
        width_us: The duration's width, or the reach of ``last``, in µs; 0 for ``life``.
        n: How many events ``last`` takes; 0 otherwise.
    """

    kind: Literal["duration", "last", "life"]
    width_us: int = 0
    n: int = 0


@dataclass(frozen=True, slots=True)
class AggregateSpec:
    """One aggregate of one stream's rows, as semantics define it.

    Attributes:
        kind: ``count distinct sum mean std min max first last time_since_last time_since_first share top_share gap_mean
            gap_median gap_max gap_std slope quantile streak decayed_sum``, ``level_`` + ``mean min max std slope
            time_below since_below now``, ``each`` (steps, then ``summary``), or ``observed`` (the observed event's own
            field).
        stream: The stream whose rows are aggregated.
        window: Which events are seen; for ``each`` the window of one step.
        where: The condition that keeps rows, or None.
        prior: Whether the observed event is left out.
        field: The value field (the weight of ``share`` and ``top_share``), or None.
        decimals: The value field's decimals.
        subset: The condition of ``share``'s part and of ``streak``'s matches.
        key: The key field of ``top_share``.
        times: How many steps ``each`` has.
        step: What a step of ``each`` computes: ``count sum min max distinct first last``.
        summary: How ``each`` summarizes its steps.
        threshold: The units that ``time_below``, ``since_below`` and ``each…below`` compare with (strictly below).
        role: The role or pair (``card|merchant``) whose rows are read; empty for the stream's primary role. A
            `FeatureProgram` names it always.
        quantile: The order q of ``quantile`` in units of 10⁻¹²; a median's is 5·10¹¹.
        half_life_us: The half-life of ``decayed_sum``, whole seconds in µs.
    """

    kind: str
    stream: str
    window: WindowSpec
    where: Tree | None = None
    prior: bool = False
    field: str | None = None
    decimals: int = 0
    subset: Tree | None = None
    key: str | None = None
    times: int = 0
    step: Step | Literal[""] = ""
    summary: Summary | Literal[""] = ""
    threshold: int = 0
    role: str = ""
    quantile: int = 0
    half_life_us: int = 0


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One finished feature: a column of a dataset, a value of the API.

    Attributes:
        name: ``CashFlow.inflow_sum_30d``; for an observed field ``Application.amount``.
        expression: How it is computed.
        role: The entity field the feature belongs to (``account``).
        levels: For a closed category, its levels in order of their codes; an empty tuple for an open one; None for
            numbers.
        risk: ``up`` or ``down`` where the feature must move risk one way, else None.
        code: Its adverse action reason code, or None.
        reason: The reason's text, or None.
        why: The rationale of ``risk``, or None.
        leak_waiver: Why a leak check's refusal is waived, or None.
        line: The line of the project file that defines it.
    """

    name: str
    expression: Tree
    role: str
    levels: tuple[str, ...] | None = None
    risk: Literal["up", "down"] | None = None
    code: str | None = None
    reason: str | None = None
    why: str | None = None
    leak_waiver: str | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class ObserveSpec:
    """When, and of whom, a model's observations are taken.

    Attributes:
        kind: ``stream`` (each event of a stream), ``every`` (a grid), ``at`` (named moments).
        role: The entity field observed.
        stream: The observed stream of kind ``stream``.
        step_us: The grid's step.
        anchor_us: One moment of the grid, µs since the epoch.
        moments: The named moments, µs since the epoch.
        active: The feature predicate that must be true of an entity at a grid moment, or None.
    """

    kind: Literal["stream", "every", "at"]
    role: str
    stream: str | None = None
    step_us: int = 0
    anchor_us: int = 0
    moments: tuple[int, ...] = ()
    active: Tree | None = None


@dataclass(frozen=True, slots=True)
class OutcomeRows:
    """Rows of an outcome stream."""

    stream: str
    where: Tree | None = None


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """What makes an observation bad.

    Attributes:
        name: The label's name in the project file.
        bad: The rows that make an observation bad; where ``absent``, the rows whose absence does.
        indeterminate: The rows that make it indeterminate where nothing makes it bad, or None.
        match: The field of the outcome stream that refers to the observation's event, or None.
        starts_stream: The stream of the event that exposes an observation, or None.
        starts_field: The field of that stream that refers to the observation's event.
        within_us: The outcome window's length; 0 where ``until_us`` is given.
        settle_us: How long outcomes may take to become known.
        until_us: The fixed end of the outcome window, or None.
        absent: Whether an observation is bad where no row of ``bad`` occurs in its window.
    """

    name: str
    bad: OutcomeRows
    indeterminate: OutcomeRows | None = None
    match: str | None = None
    starts_stream: str | None = None
    starts_field: str | None = None
    within_us: int = 0
    settle_us: int = 0
    until_us: int | None = None
    absent: bool = False


@dataclass(frozen=True, slots=True)
class EstimatorSpec:
    """A declared estimator.

    Attributes:
        kind: Its family: ``boosting``, ``forest`` or ``logistic``.
        params: Its scikit-learn parameters, sorted by name.
        path: Its class (``sklearn.ensemble:ExtraTreesClassifier``); empty for the family's own.
    """

    kind: Literal["boosting", "forest", "logistic"]
    params: tuple[tuple[str, Any], ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """How rows are divided: ``time`` (train │ purge │ calibrate │ purge │ test) or ``fold`` (by entity)."""

    kind: Literal["time", "fold"]
    calibrate_us: int = 0
    test_us: int = 0
    folds: int = 0
    by: str | None = None


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """Which share of good training rows a model is fitted on, and the seed that chooses them."""

    good: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One declared model.

    Attributes:
        name: Its name, also in the registry.
        observe: Its observations.
        features: Its features in order.
        label: Its label.
        estimator: Its estimator.
        split: Its split.
        known: ``recorded`` (default) or ``final`` (hindsight, only by name).
        calibration: ``sigmoid`` or ``isotonic``.
        owner: Who answers for it.
        purpose: What it is for.
        tier: Its materiality tier.
        limitations: Known limitations.
        sample: Which training rows it is fitted on, None for all.
        line: The line of the project file that defines it.
    """

    name: str
    observe: ObserveSpec
    features: tuple[FeatureSpec, ...]
    label: LabelSpec
    estimator: EstimatorSpec
    split: SplitSpec
    known: Literal["recorded", "final"] = "recorded"
    calibration: Literal["sigmoid", "isotonic"] = "sigmoid"
    owner: str = ""
    purpose: str = ""
    tier: str = ""
    limitations: str = ""
    sample: SampleSpec | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """A knock-out rule: its outcome stands where the predicate is true or null."""

    outcome: Literal["refer", "decline"]
    predicate: Tree
    code: str
    reason: str
    features: tuple[FeatureSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """How a probability of default and rules become a decision.

    Attributes:
        model: The name of the model it belongs to.
        approve_below: PDs strictly below are approved.
        refer_below: PDs strictly below (and not approved) are referred; the rest is declined.
        grades: (name, upper bound) in ascending order; the last takes the rest.
        rules: The knock-out rules.
    """

    model: str
    approve_below: float
    refer_below: float
    grades: tuple[tuple[str, float], ...] = ()
    rules: tuple[RuleSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class ProtectedSpec:
    """Attributes of people that no model reads.

    Attributes:
        name: The class's name.
        entity: The role they belong to.
        fields: The attributes; any of them may be null.
        doc: The class's docstring.
        line: The line of the project file that declares them.
    """

    name: str
    entity: str
    fields: tuple[FieldSpec, ...]
    doc: str = ""
    line: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes' names in order."""
        return tuple(field.name for field in self.fields)


@dataclass(frozen=True, slots=True)
class ProjectSpec:
    """A whole project file, checked.

    Attributes:
        name: The file's stem.
        streams: The streams by name, in the order of the file.
        features: Every feature of every ``Features`` class by full name, in order.
        labels: The labels by name.
        models: The models by name.
        policies: The policies by the name of their model.
        source: The text of the file.
        protected: The classes of protected attributes by name.
    """

    name: str
    streams: dict[str, StreamSpec]
    features: dict[str, FeatureSpec]
    labels: dict[str, LabelSpec]
    models: dict[str, ModelSpec]
    policies: dict[str, PolicySpec] = field(default_factory=dict)
    source: str = ""
    protected: dict[str, ProtectedSpec] = field(default_factory=dict)
