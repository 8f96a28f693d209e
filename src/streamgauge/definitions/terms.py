"""Exact integer terms of conditions: fields, literals, and their sums, differences and products with known bounds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from streamgauge.definitions.place import refuse, shown
from streamgauge.definitions.schema import UNIT_LIMIT
from streamgauge.definitions.specs import Tree

Amount: TypeAlias = int | float | Decimal
"""A literal number; a float counts as its shortest decimal form."""

_INT64_MAX: Final = 2**63 - 1
_LARGEST_EXPONENT: Final = 40


@dataclass(frozen=True, slots=True)
class Term:
    """An int64 expression over one stream's fields.

    Attributes:
        stream: The stream's name, empty for a literal.
        tree: The expression.
        decimals: Its units per major unit are ``10**decimals``.
        low: No value is smaller.
        high: No value is larger.
        text: How a message shows it.
    """

    stream: str
    tree: Tree
    decimals: int
    low: int
    high: int
    text: str


def exact(value: object, what: str) -> Decimal:
    """Return a literal number as a decimal.

    Raises:
        DefinitionError: It is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        hint = " Use .is_null()." if value is None else ""
        raise refuse(f"{what} cannot go with {shown(value)}, which is no number.{hint}")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or number.adjusted() > _LARGEST_EXPONENT:
        raise refuse(f"{what} cannot go with {value!r}, which no value can be.")
    return number


def places(number: Decimal) -> int:
    """Return how many decimals a number needs.

    >>> places(Decimal("1.50")), places(Decimal("1e3"))
    (1, 0)
    """
    digits, exponent = number.as_tuple().digits, number.as_tuple().exponent
    if not any(digits) or not isinstance(exponent, int):
        return 0
    trailing = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return max(0, -(exponent + trailing))


def to_units(value: object, decimals: int, what: str, limit: int = UNIT_LIMIT) -> int:
    """Return a literal in units of ``10**-decimals``.

    Raises:
        DefinitionError: It has more decimals, or is larger than any value can be.

    >>> to_units(Decimal("12.5"), 2, "Movement.amount")
    1250
    """
    number = exact(value, what)
    if places(number) > decimals:
        raise refuse(f"{value} has more decimals than {what}, which has {decimals}. Round it to {decimals} decimals.")
    sign, digits, exponent = number.as_tuple()
    shift = int(exponent) + decimals
    whole = int("".join(map(str, digits)))
    units: int = whole * 10**shift if shift >= 0 else whole // 10**-shift
    if units > limit:
        raise refuse(f"{value} is larger than any value of {what} can be: the limit is {limit} units.")
    return -units if sign else units


def literal(value: object, decimals: int, what: str) -> Term:
    """Return a literal as a term with these decimals."""
    units = to_units(value, decimals, what, _INT64_MAX)
    return Term("", ("int", units), decimals, units, units, str(value))


def factor(value: object, what: str) -> Term:
    """Return a literal as a term with the decimals it needs."""
    return literal(value, places(exact(value, what)), what)


def combine(op: str, a: Term, b: Term) -> Term:
    """Return the sum, difference or product of two terms of one stream.

    Raises:
        DefinitionError: The terms are of two streams, or the result may not fit 64 bits.
    """
    stream = same_stream(a.stream, b.stream, f"{a.text} and {b.text}")
    if op == "mul":
        corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        result = Term(
            stream, ("mul", a.tree, b.tree), a.decimals + b.decimals, min(corners), max(corners), f"{a.text} * {b.text}"
        )
        return _fitting(result)
    a, b = _aligned(a, b)
    low, high = (a.low + b.low, a.high + b.high) if op == "add" else (a.low - b.high, a.high - b.low)
    sign = "+" if op == "add" else "-"
    return _fitting(Term(stream, (op, a.tree, b.tree), a.decimals, low, high, f"({a.text} {sign} {b.text})"))


def compare(op: str, a: Term, b: Term) -> tuple[str, Tree]:
    """Return the stream and the tree of a comparison of two terms."""
    stream = same_stream(a.stream, b.stream, f"{a.text} and {b.text}")
    a, b = _aligned(a, b)
    return stream, (op, a.tree, b.tree)


def same_stream(a: str, b: str, what: str) -> str:
    """Return the stream that two sides share.

    Raises:
        DefinitionError: They are of two streams.
    """
    if a and b and a != b:
        raise refuse(f"{what} are of different streams ({a}, {b}). A condition reads one stream.")
    return a or b


def _aligned(a: Term, b: Term) -> tuple[Term, Term]:
    decimals = max(a.decimals, b.decimals)
    return _scaled(a, decimals), _scaled(b, decimals)


def _scaled(term: Term, decimals: int) -> Term:
    if term.decimals == decimals:
        return term
    by = 10 ** (decimals - term.decimals)
    tree = ("int", term.low * by) if term.tree[0] == "int" else ("mul", term.tree, ("int", by))
    return _fitting(Term(term.stream, tree, decimals, term.low * by, term.high * by, term.text))


def _fitting(term: Term) -> Term:
    if max(-term.low, term.high) > _INT64_MAX:
        raise refuse(
            f"{term.text} may reach {max(-term.low, term.high)} units, more than 64 bits hold. "
            "Declare low and high on its fields: sg.field(low=…, high=…)."
        )
    return term
