"""Features: finished float64 values, what is derived from them, and predicates over them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Generic, Literal, LiteralString, NoReturn, TypeVar

from streamgauge.definitions.conditions import no_truth
from streamgauge.definitions.place import Place, here, refuse, shown
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, Tree
from streamgauge.definitions.terms import Amount
from streamgauge.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Iterator

S = TypeVar("S", bound=LiteralString)


@dataclass(frozen=True, slots=True)
class Leaf:
    """An aggregate whose reach may still be to be said by the class it is named in."""

    spec: AggregateSpec
    roles: tuple[str, ...]
    needs_reach: bool
    place: Place

    def resolve(self, reach_us: int | None, role: str = "") -> AggregateSpec:
        """Return the aggregate with its reach, read under a role of its stream (the primary one unless named).

        Raises:
            DefinitionError: It needs a reach and there is none.
        """
        spec = self.spec if role in {"", self.roles[0]} else replace(self.spec, role=role)
        if not self.needs_reach:
            return spec
        if reach_us is None:
            what = "since_below" if self.spec.kind == "level_since_below" else f'"last {self.spec.window.n}"'
            raise refuse(
                f'{what} needs a reach, the longest time it looks back: class …(sg.Features, entity=…, reach="365d"), '
                'or reach="365d" in its call.',
                self.place,
            )
        return replace(spec, window=replace(spec.window, width_us=reach_us))


@dataclass(frozen=True, slots=True)
class Named:
    """What naming a feature in a ``Features`` class gave it."""

    spec: FeatureSpec
    owner: str


@dataclass(frozen=True, slots=True)
class Notes:
    """What `feature` says about a feature."""

    risk: Literal["up", "down"] | None
    code: str | None
    reason: str | None
    why: str | None
    leak_waiver: str | None
    place: Place


class Feature:
    """A finished value: an aggregate, or an expression over features.

    ``+ - * /``, unary ``-``, `minimum`, `maximum` and `coalesce` derive features; comparisons give predicates for rules
    and for ``active``. Null comes of any null, of a division by zero, and of any value that is not finite.
    """

    __hash__ = object.__hash__

    def __init__(
        self,
        op: str,
        operands: tuple[Feature | float, ...] = (),
        leaf: Leaf | None = None,
        levels: tuple[str, ...] | None = None,
    ) -> None:
        """Keep the operation; it is named later, by the class that holds it."""
        self.op = op
        self.operands = operands
        self.leaf = leaf
        self.levels = levels
        self.place = here()
        self.notes: Notes | None = None
        self.named: Named | None = None

    def tree(self, reach_us: int | None, role: str = "") -> Tree:
        """Return the expression; its aggregates are of the role and reach as far as given unless they say otherwise."""
        if self.named is not None:
            return self.named.spec.expression
        if self.leaf is not None:
            return ("agg", self.leaf.resolve(reach_us, role))
        return (self.op, *(operand_tree(operand, reach_us, role) for operand in self.operands))

    def roots(self) -> Iterator[Feature]:
        """Return the named features it computes from, and any aggregate that no class names."""
        if self.named is not None or self.leaf is not None:
            yield self
            return
        for operand in self.operands:
            if isinstance(operand, Feature):
                yield from operand.roots()

    @property
    def text(self) -> str:
        """How a message shows the feature."""
        return "This feature" if self.named is None else self.named.spec.name

    def is_null(self) -> FeaturePredicate:
        """Whether the feature is null."""
        return FeaturePredicate("is_null", (self,))

    def __neg__(self) -> Feature:
        return derive("neg", self)

    def __add__(self, other: Feature | Amount) -> Feature:
        return derive("add", self, other)

    def __radd__(self, other: Amount) -> Feature:
        return derive("add", other, self)

    def __sub__(self, other: Feature | Amount) -> Feature:
        return derive("sub", self, other)

    def __rsub__(self, other: Amount) -> Feature:
        return derive("sub", other, self)

    def __mul__(self, other: Feature | Amount) -> Feature:
        return derive("mul", self, other)

    def __rmul__(self, other: Amount) -> Feature:
        return derive("mul", other, self)

    def __truediv__(self, other: Feature | Amount) -> Feature:
        return derive("div", self, other)

    def __rtruediv__(self, other: Amount) -> Feature:
        return derive("div", other, self)

    def __eq__(self, other: Feature | Amount | str) -> FeaturePredicate:  # type: ignore[override]
        return self._equal("eq", other)

    def __ne__(self, other: Feature | Amount | str) -> FeaturePredicate:  # type: ignore[override]
        return self._equal("ne", other)

    def __lt__(self, other: Feature | Amount) -> FeaturePredicate:
        return FeaturePredicate("lt", (self, _operand(other, "lt")))

    def __le__(self, other: Feature | Amount) -> FeaturePredicate:
        return FeaturePredicate("le", (self, _operand(other, "le")))

    def __gt__(self, other: Feature | Amount) -> FeaturePredicate:
        return FeaturePredicate("gt", (self, _operand(other, "gt")))

    def __ge__(self, other: Feature | Amount) -> FeaturePredicate:
        return FeaturePredicate("ge", (self, _operand(other, "ge")))

    def __bool__(self) -> None:  # no bool, so that type checkers refuse `not` and `if`
        raise no_truth(self.text)

    def _equal(self, op: str, other: Feature | Amount | str) -> FeaturePredicate:
        if self.levels is None:
            if isinstance(other, str):
                raise refuse(f"{self.text} is a number and is compared with the text {other!r}.")
            return FeaturePredicate(op, (self, _operand(other, op)))
        if isinstance(other, Feature) and other.levels == self.levels:
            return FeaturePredicate(op, (self, other))
        if not isinstance(other, str):
            raise refuse(f"{self.text} is a category: compare it with the text of a level.")
        if not self.levels:
            from streamgauge.definitions.texts import open_code

            return FeaturePredicate(op, (self, open_code(other)))
        if other not in self.levels:
            raise refuse(f'"{other}" is no level of {self.text}. {close_match(other, self.levels)}')
        return FeaturePredicate(op, (self, float(self.levels.index(other))))


class FeaturePredicate:
    """A three-valued condition over finished features, for rules and for ``active``."""

    __hash__ = object.__hash__

    def __init__(self, op: str, operands: tuple[Feature | FeaturePredicate | float, ...]) -> None:
        """Keep the comparison or junction and its operands."""
        if op in {"lt", "le", "gt", "ge"}:
            _refuse_categories(operands, "put in order")
        self.op = op
        self.operands = operands
        self.place = here()

    def tree(self) -> Tree:
        """Return the predicate's tree over the features' expressions."""
        return (
            self.op,
            *(
                item.tree() if isinstance(item, FeaturePredicate) else operand_tree(item, None)
                for item in self.operands
            ),
        )

    def features(self) -> tuple[FeatureSpec, ...]:
        """Return the named features it reads, in order, each once.

        Raises:
            DefinitionError: It reads an aggregate that no ``Features`` class names.
        """
        found: dict[str, FeatureSpec] = {}
        for item in self.operands:
            if isinstance(item, FeaturePredicate):
                found |= {spec.name: spec for spec in item.features()}
            elif isinstance(item, Feature):
                for root in item.roots():
                    if root.named is None:
                        raise refuse(
                            "A rule or active reads an aggregate that is no feature. Name it in a Features class and "
                            "write CashFlow.name.",
                            self.place,
                        )
                    found[root.named.spec.name] = root.named.spec
        return tuple(found.values())

    def __and__(self, other: FeaturePredicate) -> FeaturePredicate:
        return FeaturePredicate("and", (self, _side(other)))

    def __or__(self, other: FeaturePredicate) -> FeaturePredicate:
        return FeaturePredicate("or", (self, _side(other)))

    def __invert__(self) -> FeaturePredicate:
        return FeaturePredicate("not", (self,))

    def __bool__(self) -> None:  # no bool, so that type checkers refuse `not` and `if`
        raise no_truth("A predicate")


class Windows(Generic[S]):
    """One feature for each window of a list; ``inflow_sum["7d"]`` is one of them."""

    def __init__(self, features: dict[str, tuple[str, Feature]]) -> None:
        """Keep each window's suffix and feature by how the window is written."""
        self.features = features
        self.place = here()

    def __getitem__(self, window: S) -> Feature:
        """Return the feature of one declared window."""
        if window not in self.features:
            raise refuse(f'Window "{window}" is not declared. {close_match(str(window), self.features)}')
        return self.features[window][1]

    if not TYPE_CHECKING:

        def __truediv__(self, _other: object) -> NoReturn:
            first = next(iter(self.features))
            raise refuse(f'A list of windows is no single value. Name the window: …["{first}"].')

        __rtruediv__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __truediv__
        __lt__ = __le__ = __gt__ = __ge__ = __truediv__


def derive(op: str, *operands: Feature | Amount) -> Feature:
    """Return a derived feature.

    Raises:
        DefinitionError: An operand is a category or no finite number.
    """
    lifted = tuple(_operand(operand, op) for operand in operands)
    _refuse_categories(lifted, "calculated with")
    return Feature(op, lifted)


def operand_tree(operand: Feature | float, reach_us: int | None, role: str = "") -> Tree:
    """Return the tree of a feature or of a constant."""
    return operand.tree(reach_us, role) if isinstance(operand, Feature) else ("const", operand)


def _operand(value: object, op: str) -> Feature | float:
    if isinstance(value, Feature):
        return value
    if isinstance(value, Windows):
        first = next(iter(value.features))
        raise refuse(f'A list of windows is no single value. Name the window: …["{first}"].')
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        hint = " Use .is_null()." if value is None else " An event's field must be aggregated first."
        raise refuse(f"A feature takes part in {op!r} with {shown(value)}, which is no feature and no number.{hint}")
    number = float(value)
    if not math.isfinite(number):
        raise refuse(f"A feature takes part in {op!r} with {value}, which is not finite.")
    return number


def _side(value: object) -> FeaturePredicate:
    if not isinstance(value, FeaturePredicate):
        raise refuse(
            f"{shown(value)} is no predicate over features. Put each comparison beside & and | in parentheses."
        )
    return value


def _refuse_categories(operands: tuple[object, ...], what: str) -> None:
    for operand in operands:
        if isinstance(operand, Feature) and operand.levels is not None:
            raise refuse(f"{operand.text} is a category and cannot be {what}. Only == and != with a level apply.")
