"""Conditions: which rows of a stream are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from streamgauge.definitions.place import refuse, shown
from streamgauge.definitions.terms import Amount, Term, combine, compare, factor, literal, same_stream

if TYPE_CHECKING:
    from streamgauge.definitions.specs import Tree


class Condition:
    """What `where` takes: a comparison of fields, a flag, or several under ``&``, ``|`` and ``~``."""

    __hash__ = object.__hash__

    def predicate(self) -> Predicate:
        """Return the condition as a predicate."""
        raise NotImplementedError

    def __and__(self, other: Condition) -> Predicate:
        return _join("and", self, other)

    def __or__(self, other: Condition) -> Predicate:
        return _join("or", self, other)

    def __invert__(self) -> Predicate:
        own = self.predicate()
        return Predicate(own.stream, ("not", own.tree))

    def __bool__(self) -> None:  # no bool, so that type checkers refuse `not` and `if`
        raise no_truth("A condition")


class Predicate(Condition):
    """A condition over one stream's fields, three-valued as in SQL: a row is kept only where it is true."""

    def __init__(self, stream: str, tree: Tree) -> None:
        """Keep the stream's name and the condition's tree (`streamgauge.definitions.specs`)."""
        self.stream = stream
        self.tree = tree

    def predicate(self) -> Predicate:
        """Return the condition itself."""
        return self


class Quantity:
    """What adds up and compares in conditions: numeric fields and their sums, differences and products, exact."""

    __hash__ = object.__hash__

    def term(self) -> Term:
        """Return the integer expression."""
        raise NotImplementedError

    def __add__(self, other: Quantity | Amount) -> Arithmetic:
        return Arithmetic(combine("add", self.term(), _beside(other, self.term())))

    def __radd__(self, other: Amount) -> Arithmetic:
        return Arithmetic(combine("add", _beside(other, self.term()), self.term()))

    def __sub__(self, other: Quantity | Amount) -> Arithmetic:
        return Arithmetic(combine("sub", self.term(), _beside(other, self.term())))

    def __rsub__(self, other: Amount) -> Arithmetic:
        return Arithmetic(combine("sub", _beside(other, self.term()), self.term()))

    def __mul__(self, other: Quantity | Amount) -> Arithmetic:
        right = other.term() if isinstance(other, Quantity) else factor(other, self.term().text)
        return Arithmetic(combine("mul", self.term(), right))

    def __rmul__(self, other: Amount) -> Arithmetic:
        return Arithmetic(combine("mul", factor(other, self.term().text), self.term()))

    def __neg__(self) -> Arithmetic:
        return Arithmetic(combine("sub", literal(0, self.term().decimals, self.term().text), self.term()))

    def __eq__(self, other: Quantity | Amount) -> Predicate:  # type: ignore[override]
        return self._compare("eq", other)

    def __ne__(self, other: Quantity | Amount) -> Predicate:  # type: ignore[override]
        return self._compare("ne", other)

    def __lt__(self, other: Quantity | Amount) -> Predicate:
        return self._compare("lt", other)

    def __le__(self, other: Quantity | Amount) -> Predicate:
        return self._compare("le", other)

    def __gt__(self, other: Quantity | Amount) -> Predicate:
        return self._compare("gt", other)

    def __ge__(self, other: Quantity | Amount) -> Predicate:
        return self._compare("ge", other)

    def __bool__(self) -> None:  # no bool, so that type checkers refuse `not` and `if`
        raise no_truth(self.term().text)

    if not TYPE_CHECKING:

        def __truediv__(self, _other: object) -> NoReturn:
            raise refuse(
                f"{self.term().text} is divided in a condition. Conditions are exact: they add, subtract and multiply; "
                "multiply the other side instead. Features divide."
            )

        __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __truediv__

    def _compare(self, op: str, other: Quantity | Amount) -> Predicate:
        return Predicate(*compare(op, self.term(), _beside(other, self.term())))


class Arithmetic(Quantity):
    """A sum, difference or product of fields and literals, of use in conditions only."""

    def __init__(self, term: Term) -> None:
        """Keep the integer expression."""
        self._term = term

    def term(self) -> Term:
        """Return the integer expression."""
        return self._term


def condition_on(value: object, stream: str, what: str) -> Tree:
    """Return the tree of a condition on one stream.

    Raises:
        DefinitionError: It is no condition, or of another stream.
    """
    if not isinstance(value, Condition):
        raise refuse(
            f"{what} takes a condition on the fields of {stream} such as {stream}.amount > 0, not {shown(value)}. "
            "Only payload fields compare: not the EventId, Entity or EventTime."
        )
    predicate = value.predicate()
    if predicate.stream != stream:
        raise refuse(f"{what} has a condition on {predicate.stream}. It reads {stream}: use the fields of {stream}.")
    return predicate.tree


def no_truth(what: str) -> Exception:
    """Return the error for the use of a definition as true or false."""
    return refuse(
        f"{what} has no truth value while the file is loaded. Write & | ~ instead of and, or, not, put each comparison "
        "in parentheses, and split 0 < x < 5 into (x > 0) & (x < 5)."
    )


def _join(op: str, left: Condition, right: object) -> Predicate:
    if not isinstance(right, Condition):
        raise refuse(f"{shown(right)} is no condition. Put each comparison beside & and | in parentheses.")
    a, b = left.predicate(), right.predicate()
    return Predicate(same_stream(a.stream, b.stream, "The two conditions"), (op, a.tree, b.tree))


def _beside(other: object, term: Term) -> Term:
    if isinstance(other, Quantity):
        return other.term()
    return literal(other, term.decimals, term.text)
