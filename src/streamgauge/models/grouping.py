"""Groups of people by a protected attribute: levels, or ranges of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from streamgauge.definitions.schema import FieldKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamgauge.definitions.schema import FieldSpec

MOST_VALUES: Final = 5
"""Numbers with more distinct values than this are grouped by quarters of the entities."""

_QUARTERS: Final = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Grouping:
    """Who is in which group.

    Attributes:
        names: The groups' names in order.
        code: int64[n], each entity's group, -1 where the attribute is not known.
    """

    names: tuple[str, ...]
    code: NDArray[np.int64]


def group_people(field: FieldSpec, values: Sequence[int | str | None]) -> Grouping:
    """Return the groups of an attribute's values, one value an entity.

    >>> from streamgauge.definitions.schema import FieldSpec
    >>> group_people(FieldSpec("sex", FieldKind.CATEGORY), ["m", None, "f"])
    Grouping(names=('f', 'm'), code=array([ 1, -1,  0]))
    """
    known = [value for value in values if value is not None]
    if field.kind is FieldKind.CATEGORY:
        present = set(known)
        levels = sorted(present) if field.levels is None else [one for one in field.levels if one in present]
        return _by_value(levels, [str(one) for one in levels], values)
    distinct = sorted(set(known))
    if field.kind is FieldKind.FLAG:
        return _by_value(distinct, ["yes" if one else "no" for one in distinct], values)
    if len(distinct) <= MOST_VALUES:
        return _by_value(distinct, [_number(int(one), field) for one in distinct], values)
    return _by_quarter(field, values)


def _by_value(levels: Sequence[int | str], names: list[str], values: Sequence[int | str | None]) -> Grouping:
    codes = {level: code for code, level in enumerate(levels)}
    return Grouping(tuple(names), np.array([-1 if value is None else codes[value] for value in values], np.int64))


def _by_quarter(field: FieldSpec, values: Sequence[int | str | None]) -> Grouping:
    known = np.array([value is not None for value in values], np.bool_)
    numbers = np.array([value if isinstance(value, int) else 0 for value in values], np.int64)
    edges = np.unique(np.quantile(numbers[known], _QUARTERS, method="inverted_cdf"))
    places = np.searchsorted(edges, numbers, side="left")
    used, codes = np.unique(places[known], return_inverse=True)
    code = np.full(len(numbers), -1, np.int64)
    code[known] = codes
    names = []
    for number in range(len(used)):
        inside = numbers[code == number]
        names.append(f"{_number(int(inside.min()), field)} to {_number(int(inside.max()), field)}")
    return Grouping(tuple(names), code)


def _number(units: int, field: FieldSpec) -> str:
    if not field.decimals:
        return str(units)
    sign, digits = "-" if units < 0 else "", f"{abs(units):0{field.decimals + 1}d}"
    return f"{sign}{digits[: -field.decimals]}.{digits[-field.decimals :]}"
