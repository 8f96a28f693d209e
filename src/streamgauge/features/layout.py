"""The layout: which columns, condition bits and accumulators an entity's state keeps for the programs that are live.

A program fits a layout that holds all it needs; `streamgauge.features.bind` then finds everything by number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.roles import role_of
from streamgauge.definitions.schema import FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, Tree
from streamgauge.errors import DefinitionError
from streamgauge.features.conditions import compile_conditions, run_conditions, words_of
from streamgauge.features.kernels.opcodes import FOLD_WIDTH
from streamgauge.features.program import FeatureProgram, needed_of
from streamgauge.features.summary import node_kinds, roll_kinds

LAYOUT_VERSION: Final = 1
"""Raised by any change of what a state keeps under an equal layout."""

IntArray = NDArray[np.int64]
MaskArray = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, order=True)
class FoldSpec:
    """One accumulator over the events that left the longest window.

    Attributes:
        condition: The number of the condition that an event must meet, or -1.
        column: The number of the column added up (rows where it is null drop), or -1.
    """

    condition: int
    column: int


@dataclass(frozen=True, slots=True)
class StreamLayout:
    """What is kept of one stream.

    Attributes:
        stream: The stream with the fields needed: the order of the units that conditions and columns are taken from.
        columns: The fields kept as int64 columns.
        conditions: The conditions kept as bits of the mask, bit ``i`` of word ``i // 64``.
        horizon_us: The longest window: an event older than that (and the lateness) can be folded; at least 1.
        folds: The accumulators.
        column_fields: int64[columns]: each column's number among the stream's fields.
        fold_table: int64[folds, 2]: condition and column of each accumulator.
        code: The conditions' code, and `sets` the value sets it refers to.
        sets: int64[v].
        nodes: the kinds of nodes that summarize a great many events (`streamgauge.features.summary.node_kinds`).
        rolls: The passes that roll along where there are so many (`streamgauge.features.summary.roll_kinds`).
    """

    stream: StreamSpec
    columns: tuple[str, ...]
    conditions: tuple[Tree, ...]
    horizon_us: int
    folds: tuple[FoldSpec, ...]
    column_fields: IntArray = field(compare=False, repr=False)
    fold_table: IntArray = field(compare=False, repr=False)
    code: IntArray = field(compare=False, repr=False)
    sets: IntArray = field(compare=False, repr=False)
    nodes: IntArray = field(compare=False, repr=False)
    rolls: IntArray = field(compare=False, repr=False)

    @classmethod
    def of(cls, stream: StreamSpec, aggregates: Sequence[AggregateSpec]) -> StreamLayout:
        """Return the layout that some aggregates of the stream need."""
        columns = tuple(
            spec.name for spec in stream.fields if any(spec.name in (agg.field, agg.key) for agg in aggregates)
        )
        trees = {tree for agg in aggregates for tree in (agg.where, part_of(agg)) if tree is not None}
        conditions = tuple(sorted(trees, key=_text))
        number = {tree: index for index, tree in enumerate(conditions)}
        place = {name: index for index, name in enumerate(columns)}
        folds = sorted(
            {
                FoldSpec(-1 if tree is None else number[tree], -1 if agg.field is None else place[agg.field])
                for agg in aggregates
                for tree in folded_conditions(agg)
            }
        )
        code, sets = compile_conditions(stream, conditions)

        def condition(tree: Tree | None) -> int:
            return -1 if tree is None else number[tree]

        def column(name: str | None) -> int:
            return -1 if name is None else place[name]

        return cls(
            stream=stream,
            columns=columns,
            conditions=conditions,
            horizon_us=max(1, *(horizon_of(agg) for agg in aggregates)) if aggregates else 1,
            folds=tuple(folds),
            column_fields=np.array([stream.column(name) for name in columns], np.int64),
            fold_table=np.array([(fold.condition, fold.column) for fold in folds], np.int64).reshape(-1, 2),
            code=code,
            sets=sets,
            nodes=node_kinds(
                aggregates,
                lambda agg: (agg.where, part_of(agg)) if agg.kind == "share" else (agg.where,),
                condition,
                column,
            ),
            rolls=roll_kinds(aggregates, condition, column),
        )

    @property
    def words(self) -> int:
        """How many 64-bit words the mask of one event has."""
        return words_of(len(self.conditions))

    def condition(self, tree: Tree | None) -> int:
        """Return the number of a condition; -1 for None.

        Raises:
            ValueError: The layout does not hold it.
        """
        return -1 if tree is None else self.conditions.index(tree)

    def column(self, name: str | None) -> int:
        """Return the number of a column; -1 for None.

        Raises:
            ValueError: The layout does not hold it.
        """
        return -1 if name is None else self.columns.index(name)

    def empty_folds(self) -> IntArray:
        """Return accumulators that have seen nothing: int64[folds, FOLD_WIDTH]."""
        return np.zeros((len(self.folds), FOLD_WIDTH), np.int64)

    def columns_of(self, units: IntArray) -> IntArray:
        """Return the kept columns int64[columns, n] of rows int64[n, fields]."""
        return np.ascontiguousarray(units[:, self.column_fields].T)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the state of an entity of one role keeps, of each stream, in order of the streams' names.

    Attributes:
        streams: The streams' layouts.
        digest: The hex SHA-256 of the canonical form.
    """

    streams: tuple[StreamLayout, ...]
    digest: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Compute the digest once: every state that is written names it."""
        text = _text({"version": LAYOUT_VERSION, "streams": self.canonical()})
        object.__setattr__(self, "digest", hashlib.sha256(text.encode()).hexdigest())

    @classmethod
    def of(cls, programs: Sequence[FeatureProgram], role: str | None = None) -> Layout:
        """Return the layout that some programs need together.

        Args:
            programs: The programs.
            role: The role whose states it is for; it may be left out where the programs read one role only.

        Raises:
            DefinitionError: Two programs declare the same stream or field differently.
            ValueError: No role is named, and the programs read several.
        """
        if role is None:
            roles = sorted({name for program in programs for name in program.roles})
            if len(roles) > 1:
                raise ValueError(f"The programs read {', '.join(roles)}: make `Layouts` of them.")
            role = roles[0] if roles else ""
        specs: dict[str, list[StreamSpec]] = {}
        aggregates: dict[str, set[AggregateSpec]] = {}
        for program in programs:
            for stream in program.streams:
                read = [agg for agg in program.aggregates if (agg.stream, agg.role) == (stream.name, role)]
                if read:
                    specs.setdefault(stream.name, []).append(needed_of(stream, read))
                    aggregates.setdefault(stream.name, set()).update(read)
        return cls(
            tuple(StreamLayout.of(_merged(specs[name]), sorted(aggregates[name], key=repr)) for name in sorted(specs))
        )

    def index(self, stream: str) -> int:
        """Return the number of a stream, or -1 where the layout does not keep it."""
        for index, layout in enumerate(self.streams):
            if layout.stream.name == stream:
                return index
        return -1

    def canonical(self) -> list[dict[str, Any]]:
        """Return all that decides what a state keeps, as JSON-able values."""
        return [
            {
                "stream": layout.stream.name,
                "lateness_us": layout.stream.lateness_us,
                "fields": [[spec.name, spec.kind.value, spec.decimals, spec.default] for spec in layout.stream.fields],
                "levels": [spec.levels for spec in layout.stream.fields],
                "columns": layout.columns,
                "conditions": layout.conditions,
                "horizon_us": layout.horizon_us,
                "folds": [[fold.condition, fold.column] for fold in layout.folds],
            }
            for layout in self.streams
        ]


@dataclass(frozen=True, slots=True)
class Layouts:
    """What the states of every role keep: one layout for each role or pair that a program reads.

    Attributes:
        parts: The layouts with their roles, sorted by role.
        digest: The hex SHA-256 over all of them.
    """

    parts: tuple[tuple[str, Layout], ...]
    digest: str = field(init=False, compare=False)
    _by_role: Mapping[str, Layout] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Compute the digest once."""
        text = _text([(role, layout.digest) for role, layout in self.parts])
        object.__setattr__(self, "digest", hashlib.sha256(text.encode()).hexdigest())
        object.__setattr__(self, "_by_role", dict(self.parts))

    @classmethod
    def of(cls, programs: Sequence[FeatureProgram]) -> Layouts:
        """Return the layouts that some programs need together.

        Raises:
            DefinitionError: Two programs declare the same stream or field differently.
        """
        roles = sorted({role for program in programs for role in program.roles})
        return cls(tuple((role, Layout.of(programs, role)) for role in roles))

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles and pairs that a program reads, sorted."""
        return tuple(self._by_role)

    def role(self, name: str) -> Layout | None:
        """Return the layout of a role, None where no program reads it."""
        return self._by_role.get(name)

    def of_entity(self, key: str) -> Layout:
        """Return the layout of an entity's state by the entity's key; an empty one where no program reads its role."""
        return self._by_role.get(role_of(key), EMPTY)

    def streams(self) -> list[StreamLayout]:
        """Return the layouts of every role's streams."""
        return [stream for _, layout in self.parts for stream in layout.streams]


def evaluate_conditions(layout: StreamLayout, units: IntArray) -> MaskArray:
    """Return which conditions are true on each row.

    Args:
        layout: The stream's layout.
        units: int64[n, fields], C order, in the order of ``layout.stream.fields``.

    Returns:
        uint64[n, words]: bit ``i % 64`` of word ``i // 64`` is condition ``i``.
    """
    mask = np.zeros((units.shape[0], layout.words), np.uint64)
    if layout.conditions:
        run_conditions(layout.code, layout.sets, units, mask)
    return mask


def part_of(spec: AggregateSpec) -> Tree | None:
    """Return the condition of a share's part or a streak's matches (where and subset), None for other aggregates."""
    if spec.subset is None:
        return None
    return spec.subset if spec.where is None else ("and", spec.where, spec.subset)


def folded_conditions(spec: AggregateSpec) -> Iterable[Tree | None]:
    """Return the conditions of the accumulators an aggregate reads: none but for `life` and for levels."""
    if spec.kind == "observed":
        return ()
    if spec.kind == "share" and spec.window.kind == "life":
        return (spec.where, part_of(spec))
    return (spec.where,) if spec.window.kind == "life" or spec.kind.startswith("level_") else ()


def horizon_of(spec: AggregateSpec) -> int:
    """Return how far back in µs an aggregate reads single events; a `life` and a level's present value need none."""
    if spec.window.kind == "life" or spec.kind in {"observed", "level_now"}:
        return 0
    return spec.window.width_us * max(1, spec.times)


def _merged(specs: Sequence[StreamSpec]) -> StreamSpec:
    """Return one spec with the fields of all."""
    first = specs[0]
    fields: dict[str, FieldSpec] = {}
    for spec in specs:
        if replace(spec, fields=()) != replace(first, fields=()):
            raise DefinitionError(
                f"Stream {spec.name} is declared in two ways by the programs that are to run side by side "
                f"(its lateness, feed or names differ). Run them on separate states, or retrain the older model."
            )
        for one in spec.fields:
            if fields.setdefault(one.name, one) != one:
                raise DefinitionError(
                    f"Field {spec.name}.{one.name} is declared in two ways by the programs that are to run side by "
                    f"side. Run them on separate states, or retrain the older model."
                )
    return replace(first, fields=tuple(fields[name] for name in sorted(fields)))


def _text(value: Any) -> str:  # noqa: ANN401 - anything JSON can hold
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


EMPTY: Final = Layout(())
"""The layout of a state that keeps nothing but who was seen."""
