"""What a query is made of: names, durations, conditions, and the two macros that turn exact integers into doubles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from streamgauge.definitions.specs import QUANTILE_SCALE
from streamgauge.definitions.windows import DAY, SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamgauge.definitions.schema import FieldSpec, StreamSpec
    from streamgauge.definitions.specs import AggregateSpec, Tree

RECORD_COLUMNS: Final = (
    "position",
    "stream",
    "entity",
    "event_id",
    "event_time",
    "sequence",
    "revision",
    "op",
    "schema",
    "lateness",
    "accepted_at",
    "known_at",
    "imported",
    "digest",
)
"""The columns of an exported record, before those of its payload."""

_TAKEN: Final = frozenset(
    (*RECORD_COLUMNS, "moment", "t", "known", "nth", "begun", "happened", "another", "observed", "newest", "part")
)
"""Names that no payload column has: those of the record, and those that queries give."""

MACROS: Final = """\
-- The double nearest to a 128-bit integer, ties to even. (A plain cast of HUGEINT is off by a unit for a few percent of
-- large numbers.) The machine rounds a BIGINT right. So of a larger number all but the upper 60 bits or so are cut, and
-- one bit says whether any of those was set: it decides ties. Scaling back by a power of two is exact.
CREATE OR REPLACE TEMP MACRO rn_excess(x) AS greatest(floor(log2(greatest(x, 1)::DOUBLE))::HUGEINT - 60, 0);
CREATE OR REPLACE TEMP MACRO rn_cut(x, bits) AS
    ((x >> bits)::BIGINT | (x & ((1::HUGEINT << bits) - 1) <> 0)::BIGINT)::DOUBLE * (1::HUGEINT << bits)::DOUBLE;
CREATE OR REPLACE TEMP MACRO rn(x) AS sign(x) * rn_cut(abs(x), rn_excess(abs(x)));
-- What is not finite is null, and -0 is +0: after every single operation.
CREATE OR REPLACE TEMP MACRO finite(x) AS CASE WHEN isfinite(x) THEN x + 0::DOUBLE END;
CREATE OR REPLACE TEMP MACRO lesser(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN least(a, b) END;
CREATE OR REPLACE TEMP MACRO larger(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN greatest(a, b) END;
"""

_SYMBOLS: Final = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "add": "+", "sub": "-"}
_LOGIC: Final = {"and": "AND", "or": "OR"}
_COMMENT_END: Final = re.compile(r"[*/\s]+")


def quoted(name: str) -> str:
    """Return a name as SQL writes it, whatever it is.

    >>> quoted("order")
    '"order"'
    """
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a text as SQL writes it.

    >>> text("card's")
    "'card''s'"
    """
    return "'" + value.replace("'", "''") + "'"


def columns_of(stream: StreamSpec) -> dict[str, str]:
    """Return the column of each payload field in an exported table.

    A field has its own name, unless a column before it does (SQL does not tell capitals apart): then ``name_2``, ….
    """
    taken = set(_TAKEN)
    found: dict[str, str] = {}
    for field in stream.fields:
        name, number = field.name, 1
        while name.lower() in taken:
            number += 1
            name = f"{field.name}_{number}"
        taken.add(name.lower())
        found[field.name] = name
    return found


def duration(width_us: int) -> str:
    """Return a duration in µs, with its meaning beside it.

    >>> duration(30 * 86_400_000_000), duration(1_500_000)
    ('2592000000000 /* 30d */', '1500000 /* 1.5s */')
    """
    for unit, letter in ((DAY, "d"), (3600 * SECOND, "h"), (60 * SECOND, "m"), (SECOND, "s")):
        if width_us % unit == 0:
            return f"{width_us} /* {width_us // unit}{letter} */"
    return f"{width_us} /* {width_us / SECOND}s */"


def meaning(spec: AggregateSpec) -> str:
    """Return what an aggregate is, in words.

    >>> from streamgauge.definitions.specs import AggregateSpec, WindowSpec
    >>> meaning(AggregateSpec("mean", "Movement", WindowSpec("duration", 86_400_000_000), field="amount"))
    'mean of Movement.amount over (t - 1d, t]'
    """
    what = spec.stream if spec.field is None else f"{spec.stream}.{spec.field}"
    width = "" if not spec.window.width_us else duration(spec.window.width_us).split("/* ")[1].removesuffix(" */")
    if spec.kind == "observed":
        return f"{what} of the observed event"
    if spec.kind == "each":
        return f"{spec.summary} of the newest {spec.times} steps of {width}, each the {spec.step} of {what}"
    over = {"duration": f"(t - {width}, t]", "last": f"the newest {spec.window.n} of (t - {width}, t]", "life": "life"}
    kind = spec.kind.replace("_", " ") + (f" {spec.quantile / QUANTILE_SCALE:g}" if spec.kind == "quantile" else "")
    return f"{kind} of {what} over {over[spec.window.kind]}" + (", without the observed event" if spec.prior else "")


def condition(tree: Tree, stream: StreamSpec) -> str:
    """Return a condition on a stream's rows; SQL's three values are the law's."""
    return _Condition(stream, columns_of(stream)).write(tree)


class _Condition:
    """Writes one stream's conditions."""

    def __init__(self, stream: StreamSpec, columns: Mapping[str, str]) -> None:
        self.stream = stream
        self.columns = columns

    def write(self, tree: Tree) -> str:
        """Return a tree in SQL."""
        match tree:
            case ("field", name):
                return quoted(self.columns[name])
            case ("int", units):
                return str(units)
            case ("and" | "or" as op, a, b):
                return f"({self.write(a)} {_LOGIC[op]} {self.write(b)})"
            case ("not", a):
                return f"(NOT {self.write(a)})"
            case ("is_null", a):
                return f"({self.write(a)} IS NULL)"
            case ("in", ("field", name) as leaf, members):
                listed = ", ".join(self._literal(unit, self.stream.field(name)) for unit in members)
                return f"({self.write(leaf)} IN ({listed}))"
            case ("mul", a, b):
                return f"({self.write(a)} * {self.write(b)})"
            case (op, ("field", name) as leaf, ("int", units)) if op not in {"add", "sub"}:
                return f"({self.write(leaf)} {_SYMBOLS[op]} {self._literal(units, self.stream.field(name))})"
            case (op, a, b):
                return f"({self.write(a)} {_SYMBOLS[op]} {self.write(b)})"
        raise AssertionError(tree)

    @staticmethod
    def _literal(units: int, field: FieldSpec) -> str:
        if field.levels is not None and 0 <= units < len(field.levels):
            return f"{units} /* {_COMMENT_END.sub(' ', field.levels[units])} */"
        if field.decimals and units:
            return f"{units} /* {units / 10**field.decimals:.{field.decimals}f} */"
        return str(units)


def indented(lines: str, by: int = 4) -> str:
    """Return lines moved to the right."""
    return "\n".join(" " * by + line if line else line for line in lines.splitlines())
