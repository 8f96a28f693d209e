"""A program bound to a layout: the int64 tables that the kernel runs over.

Aggregates over the same rows are bound to one group, so they share one pass; equal windows are bound to one span, so
they share their binary searches.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import FieldKind
from streamgauge.definitions.specs import AggregateSpec, WindowSpec
from streamgauge.errors import DefinitionError
from streamgauge.features.evaluating import packed_tables
from streamgauge.features.expressions import ExpressionCode, compile_expressions
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.layout import EMPTY, Layout, Layouts, StreamLayout, part_of
from streamgauge.features.program import FeatureProgram
from streamgauge.features.rolling_plan import RollingPlan

IntArray = NDArray[np.int64]

_MOMENT_OPS: Final = {
    "count": oc.OP_COUNT,
    "sum": oc.OP_SUM,
    "mean": oc.OP_MEAN,
    "std": oc.OP_STD,
    "min": oc.OP_MIN,
    "max": oc.OP_MAX,
    "first": oc.OP_FIRST,
    "last": oc.OP_LAST,
    "time_since_first": oc.OP_SINCE_FIRST,
    "time_since_last": oc.OP_SINCE_LAST,
}
_GAP_OPS: Final = {
    "gap_mean": oc.OP_MEAN,
    "gap_max": oc.OP_MAX,
    "gap_std": oc.OP_STD,
}
_LEVEL_OPS: Final = {
    "level_mean": oc.OP_LEVEL_MEAN,
    "level_std": oc.OP_LEVEL_STD,
    "level_slope": oc.OP_LEVEL_SLOPE,
    "level_min": oc.OP_MIN,
    "level_max": oc.OP_MAX,
}
_BELOW_OPS: Final = {
    "level_time_below": oc.OP_TIME_BELOW,
    "level_since_below": oc.OP_SINCE_BELOW,
}
_EACH_OPS: Final = {
    "sum": oc.OP_EACH_SUM,
    "mean": oc.OP_EACH_MEAN,
    "std": oc.OP_EACH_STD,
    "min": oc.OP_EACH_MIN,
    "max": oc.OP_EACH_MAX,
    "slope": oc.OP_EACH_SLOPE,
    "below": oc.OP_EACH_BELOW,
}
_STEPS: Final = {
    "count": oc.STEP_SUM,
    "sum": oc.STEP_SUM,
    "distinct": oc.STEP_DISTINCT,
    "min": oc.STEP_MIN,
    "max": oc.STEP_MAX,
    "first": oc.STEP_FIRST,
    "last": oc.STEP_LAST,
}
_SPAN_KINDS: Final = {"duration": oc.SPAN_DURATION, "last": oc.SPAN_LAST, "life": oc.SPAN_LIFE}
_SECONDS: Final = 10**6
_NEEDS_ROWS: Final = {oc.GAP_MEDIAN, oc.DISTINCT, oc.TOP_SHARE, oc.QUANTILE}
_LIFE: Final = WindowSpec("life")


@dataclass(frozen=True, slots=True)
class BoundStream:
    """The tables of one stream.

    Attributes:
        name: The stream's name.
        index: Its number in the layout.
        spans: int64[s, SPAN_WIDTH], the distinct windows.
        groups: int64[g, GROUP_WIDTH], the distinct passes.
        table: int64[a, TABLE_WIDTH], the aggregates.
        copies: Whether a group copies rows to the scratch buffer, so that its size depends on the events.
        rolling: How a backfill divides them.
    """

    name: str
    index: int
    spans: IntArray
    groups: IntArray
    table: IntArray
    copies: bool
    rolling: RollingPlan = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Divide the tables once."""
        object.__setattr__(self, "rolling", RollingPlan.of(self.spans, self.groups, self.table))

    def writing_to(self, columns: IntArray) -> BoundStream:
        """Return the tables with other columns of the result: ``columns`` has one for each."""
        table = self.table.copy()
        table[:, oc.T_OUT] = columns[table[:, oc.T_OUT]]
        return replace(self, table=table)

    def scratch_size(self, events: int) -> int:
        """Return the length of the int64 scratch buffer that `evaluate_stream` needs for so many live events."""
        fixed = len(self.spans) * oc.SPAN_WIDTH + len(self.groups) * oc.ROW_WIDTH + 2 * oc.MAX_STEPS
        return fixed + (2 << max(1, (2 * events).bit_length()) if self.copies else 0)


@dataclass(frozen=True, slots=True)
class BoundPart:
    """What a program reads of one role or pair: evaluated over the state of that role's entity.

    Attributes:
        role: The role or pair.
        layout: The layout of its states.
        streams: The tables of the streams it reads, in the layout's order.
        outs: int64[a], the columns of the program's row of aggregates that it writes.
        packed: All its tables as one array (`streamgauge.features.evaluating.packed_tables`).
    """

    role: str
    layout: Layout
    streams: tuple[BoundStream, ...]
    outs: IntArray = field(repr=False)
    packed: IntArray = field(repr=False)

    @classmethod
    def of(cls, program: FeatureProgram, role: str, layout: Layout) -> BoundPart:
        """Bind what a program reads of a role.

        Raises:
            ValueError: The layout does not hold a stream, column, condition or accumulator of the program.
            DefinitionError: An aggregate that the kernel does not have.
        """
        own = [(out, agg) for out, agg in enumerate(program.aggregates) if agg.role == role]
        streams = []
        for index, stream in enumerate(layout.streams):
            numbered = [(out, agg) for out, agg in own if agg.stream == stream.stream.name]
            if numbered:
                streams.append(_Binder(stream, index).bind(numbered))
        if missing := {agg.stream for _, agg in own} - {stream.name for stream in streams}:
            raise ValueError(f"The layout does not keep {', '.join(sorted(missing))}, which the program reads.")
        outs = np.array([out for out, _ in own], np.int64)
        return cls(role, layout, tuple(streams), outs, packed_tables(layout, streams))

    def scratch_size(self, events: int) -> int:
        """Return the scratch length that serves every stream, where none has more live events than that."""
        return max((stream.scratch_size(events) for stream in self.streams), default=1)


@dataclass(frozen=True, slots=True)
class BoundProgram:
    """A program bound to layouts: a part for each role it reads, then the expressions, once, over all parts' row.

    Attributes:
        program: The program.
        parts: What it reads of each role, sorted by role.
        expressions: The code that makes features of aggregates.
        direct: The part that writes features at once, where there is one part and each aggregate is one feature.
    """

    program: FeatureProgram
    parts: tuple[BoundPart, ...]
    expressions: ExpressionCode = field(repr=False)
    direct: BoundPart | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Find out whether aggregates need no finish."""
        object.__setattr__(self, "direct", self._direct())

    @classmethod
    def of(cls, program: FeatureProgram, layouts: Layouts | Layout) -> BoundProgram:
        """Bind a program.

        Args:
            program: The program.
            layouts: The layouts of every role it reads; or just the layout, where it reads one role.

        Raises:
            ValueError: A layout does not hold a role, stream, column, condition or accumulator of the program.
            DefinitionError: An aggregate that the kernel does not have.
        """
        roles = program.roles
        if isinstance(layouts, Layout):
            if len(roles) > 1:
                raise ValueError(f"The program reads {', '.join(roles)}: bind it to `Layouts`.")
            layouts = Layouts(tuple((role, layouts) for role in roles))
        parts = []
        for role in roles:
            layout = layouts.role(role)
            if layout is None:
                raise ValueError(f"The layouts do not keep {role}, which the program reads.")
            parts.append(BoundPart.of(program, role, layout))
        return cls(program, tuple(parts), compile_expressions(program.expressions))

    def _direct(self) -> BoundPart | None:
        trees = self.program.expressions
        used = sorted(tree[1] for tree in trees if tree[0] == "agg")
        if len(self.parts) != 1 or used != list(range(self.aggregates)) or len(used) != len(trees):
            return None
        feature = np.argsort([tree[1] for tree in trees])
        return replace(
            self.parts[0],
            streams=tuple(stream.writing_to(feature) for stream in self.parts[0].streams),
            outs=np.sort(feature[self.parts[0].outs]),
        )

    @property
    def only(self) -> BoundPart:
        """The part of a program that reads one role.

        Raises:
            ValueError: It reads several.
        """
        if len(self.parts) > 1:
            raise ValueError(f"The program reads {', '.join(part.role for part in self.parts)}: evaluate its parts.")
        return self.parts[0] if self.parts else _NOTHING

    @property
    def layout(self) -> Layout:
        """The layout of a program that reads one role."""
        return self.only.layout

    @property
    def streams(self) -> tuple[BoundStream, ...]:
        """The tables of a program that reads one role."""
        return self.only.streams

    @property
    def aggregates(self) -> int:
        """How many aggregates the program has: the columns of the kernel's result."""
        return len(self.program.aggregates)

    @property
    def features(self) -> int:
        """How many features the program has."""
        return len(self.program.names)

    def scratch_size(self, events: int) -> int:
        """Return the scratch length that serves every part, where no stream has more live events than that."""
        return max((part.scratch_size(events) for part in self.parts), default=1)


_NOTHING: Final = BoundPart("", EMPTY, (), np.empty(0, np.int64), packed_tables(EMPTY, ()))


class _Binder:
    """Numbers the distinct spans and groups of one stream while its aggregates are bound."""

    def __init__(self, layout: StreamLayout, index: int) -> None:
        self._layout = layout
        self._index = index
        self._spans: dict[tuple[int, ...], int] = {}
        self._groups: dict[tuple[int, ...], int] = {}

    def bind(self, aggregates: list[tuple[int, AggregateSpec]]) -> BoundStream:
        table = [self._row(spec, out) for out, spec in aggregates]
        return BoundStream(
            name=self._layout.stream.name,
            index=self._index,
            spans=np.array(list(self._spans), np.int64).reshape(-1, oc.SPAN_WIDTH),
            groups=np.array(list(self._groups), np.int64).reshape(-1, oc.GROUP_WIDTH),
            table=np.array(table, np.int64).reshape(-1, oc.TABLE_WIDTH),
            copies=any(
                group[oc.G_KIND] in _NEEDS_ROWS or group[oc.G_REDUCE] == oc.STEP_DISTINCT for group in self._groups
            ),
        )

    def _row(self, spec: AggregateSpec, out: int) -> tuple[int, ...]:
        try:
            op, group, second, scale = self._operation(spec)
        except (KeyError, ValueError) as missing:
            raise ValueError(
                f"The layout of {spec.stream} does not hold what {spec.kind} of {spec.field or 'its rows'} reads: "
                f"make a layout of all programs that are to run, and rebuild the states for it."
            ) from missing
        return op, group, second, scale, out, int(self._layout.stream.feed)

    def _operation(self, spec: AggregateSpec) -> tuple[int, int, int, int]:
        """Return operation, group, second group and scale."""
        kind, scale = spec.kind, self._scale(spec)
        if kind in _MOMENT_OPS:
            return _MOMENT_OPS[kind], self._moments(spec, self._condition(spec)), -1, scale
        if kind == "share":
            whole = self._moments(spec, self._condition(spec))
            part = self._moments(spec, self._layout.condition(part_of(spec)))
            return oc.OP_SHARE_COUNT if spec.field is None else oc.OP_SHARE_SUM, whole, part, 1
        if kind == "observed":
            return oc.OP_OBSERVED, self._group(oc.OBSERVED, spec), -1, scale
        if kind == "level_now":
            return oc.OP_LEVEL_NOW, self._group(oc.LEVEL_NOW, spec, window=_LIFE), -1, scale
        if spec.window.kind == "life":
            raise DefinitionError(f'{kind} cannot be taken over "life": it needs single events. Give it a duration.')
        if kind == "each":
            return self._each(spec, scale)
        if kind.startswith("level_"):
            return self._level(spec, scale)
        return self._rows(spec, scale)

    def _rows(self, spec: AggregateSpec, scale: int) -> tuple[int, int, int, int]:
        kind = spec.kind
        if kind in _GAP_OPS:
            return _GAP_OPS[kind], self._group(oc.GAPS, spec), -1, _SECONDS
        if kind == "gap_median":
            return oc.OP_MIN, self._group(oc.GAP_MEDIAN, spec), -1, _SECONDS
        if kind == "slope":
            return oc.OP_SLOPE, self._group(oc.SLOPE, spec), -1, scale
        if kind == "distinct":
            return oc.OP_COUNT, self._group(oc.DISTINCT, spec), -1, 1
        if kind == "top_share":
            key = self._layout.column(spec.key)
            return oc.OP_TOP_SHARE, self._group(oc.TOP_SHARE, spec, extra=key), -1, 1
        if kind == "quantile":
            return oc.OP_MIN, self._group(oc.QUANTILE, spec, extra=spec.quantile), -1, scale
        if kind == "streak":
            matched = self._layout.condition(part_of(spec))
            return oc.OP_COUNT, self._group(oc.STREAK, spec, extra=matched), -1, 1
        if kind == "decayed_sum":
            return oc.OP_DECAY, self._group(oc.DECAY, spec, extra=spec.half_life_us // _SECONDS), -1, scale
        raise DefinitionError(f"The kernel has no aggregate {kind!r} (stream {spec.stream}).")

    def _each(self, spec: AggregateSpec, scale: int) -> tuple[int, int, int, int]:
        if not 1 <= spec.times <= oc.MAX_STEPS or spec.window.kind != "duration":
            raise DefinitionError(
                f"each(times={spec.times}) on {spec.stream}: give a duration and 1 to {oc.MAX_STEPS} times."
            )
        width = spec.window.width_us
        group = self._group(
            oc.EACH,
            spec,
            window=WindowSpec("duration", width * spec.times),
            extra=spec.times,
            step=width,
            threshold=spec.threshold if spec.summary == "below" else 0,
            reduce=_STEPS[spec.step],
        )
        return _EACH_OPS[spec.summary], group, -1, 1 if spec.step in {"count", "distinct"} else scale

    def _level(self, spec: AggregateSpec, scale: int) -> tuple[int, int, int, int]:
        if spec.window.kind != "duration":
            raise DefinitionError(f"{spec.kind} on {spec.stream} weighs time: give it a duration.")
        if spec.kind in _BELOW_OPS:
            return _BELOW_OPS[spec.kind], self._group(oc.LEVEL_BELOW, spec, threshold=spec.threshold), -1, 1
        if spec.kind in _LEVEL_OPS:
            return _LEVEL_OPS[spec.kind], self._group(oc.LEVEL, spec), -1, scale
        raise DefinitionError(f"The kernel has no aggregate {spec.kind!r} (stream {spec.stream}).")

    def _condition(self, spec: AggregateSpec) -> int:
        return self._layout.condition(spec.where)

    def _span(self, window: WindowSpec, *, prior: bool) -> int:
        key = (_SPAN_KINDS[window.kind], window.width_us, window.n, int(prior))
        return self._spans.setdefault(key, len(self._spans))

    def _moments(self, spec: AggregateSpec, condition: int) -> int:
        fold = self._fold(condition, self._layout.column(spec.field)) if spec.window.kind == "life" else -1
        return self._keyed(oc.MOMENTS, spec, condition, fold, spec.window, 0, 0, 0, 0)

    def _group(
        self,
        kind: int,
        spec: AggregateSpec,
        *,
        window: WindowSpec | None = None,
        extra: int = 0,
        step: int = 0,
        threshold: int = 0,
        reduce: int = 0,
    ) -> int:
        condition = self._condition(spec)
        folded = kind in {oc.LEVEL, oc.LEVEL_BELOW, oc.LEVEL_NOW}
        fold = self._fold(condition, self._layout.column(spec.field)) if folded else -1
        return self._keyed(kind, spec, condition, fold, window or spec.window, extra, step, threshold, reduce)

    def _keyed(
        self, kind: int, spec: AggregateSpec, condition: int, fold: int, window: WindowSpec, *details: int
    ) -> int:
        """Return the number of a group; the details are extra, step, threshold and reduce."""
        span = self._span(window, prior=spec.prior)
        column = self._layout.column(spec.field)
        extra, step, threshold, reduce = details
        key = (kind, span, condition, column, fold, extra, step, threshold, int(self._layout.stream.feed), reduce)
        return self._groups.setdefault(key, len(self._groups))

    def _fold(self, condition: int, column: int) -> int:
        for number, fold in enumerate(self._layout.folds):
            if (fold.condition, fold.column) == (condition, column):
                return number
        raise ValueError(f"The layout of {self._layout.stream.name} lacks the accumulator ({condition}, {column}).")

    def _scale(self, spec: AggregateSpec) -> int:
        """Return 10**decimals of the value field, or HASHED for the hash of an open category."""
        if spec.field is not None:
            kind = self._layout.stream.field(spec.field).kind
            if kind is FieldKind.CATEGORY:
                return oc.HASHED if self._layout.stream.field(spec.field).is_text else 1
        return 10**spec.decimals  # type: ignore[no-any-return] # decimals are never negative
