"""Features drawn at random: every aggregate, window, condition and operation that a project file can write."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import strategies as st

from streamgauge.definitions.schema import NUMERIC, FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, Step, Summary, Tree, WindowSpec
from streamgauge.definitions.texts import hash_text

COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
LITERALS = (0, 0, 1, -1, 5, 100, -250, 12_345, 2**40)
SECOND = 1_000_000
WIDTHS = (1, 2, 3, 5, 12, 12)
OF_NUMBERS = ("sum", "mean", "std", "min", "max", "first", "last", "slope", "share", "quantile", "decayed_sum")
OF_ROWS = (
    "streak",
    "count",
    "time_since_last",
    "time_since_first",
    "share",
    "gap_mean",
    "gap_median",
    "gap_max",
    "gap_std",
)
OF_LEVELS = ("mean", "min", "max", "std", "slope", "time_below", "since_below", "now")
FOR_LIFE = frozenset(
    ("count", "sum", "mean", "std", "min", "max", "first", "last", "time_since_last", "time_since_first", "share")
)
QUANTILES = (1, 10**11, 333_333_333_333, 5 * 10**11, 5 * 10**11, 950 * 10**9, 10**12)
STEPS: tuple[Step, ...] = ("count", "sum", "min", "max", "distinct", "first", "last")
SUMMARIES: tuple[Summary, ...] = ("sum", "mean", "std", "min", "max", "slope", "below")
CONSTANTS = (0.0, 1.0, -1.0, 7 / 90, 1e308, 5e-324, 3.0)


@cache
def among(*items: Any) -> st.SearchStrategy[Any]:
    """Return the strategy that draws one of some items, made once: making one takes longer than drawing from it."""
    return st.sampled_from(items)


@cache
def features_over(streams: tuple[StreamSpec, ...], unit: int) -> st.SearchStrategy[FeatureSpec]:
    """Return features over aggregates of one of the streams each."""
    leaves = st.one_of([st.builds(lambda spec: ("agg", spec), aggregates(stream, unit)) for stream in streams])
    derived = st.one_of(
        st.tuples(st.just("neg"), leaves),
        st.tuples(_OPERATIONS, leaves, leaves | _CONSTANTS),
        st.tuples(_OPERATIONS, _CONSTANTS, leaves),
        st.tuples(_OPERATIONS, st.tuples(_OPERATIONS, leaves, _CONSTANTS), st.tuples(st.just("neg"), leaves)),
    )
    trees = st.sampled_from((0, 0, 0, 1)).flatmap(lambda kind: derived if kind else leaves)
    return st.builds(lambda tree: FeatureSpec("F.f", tree, "account"), trees)


_OPERATIONS = st.sampled_from(("add", "sub", "mul", "div", "min", "max", "coalesce"))
_CONSTANTS = st.tuples(st.just("const"), st.sampled_from(CONSTANTS))


@st.composite
def aggregates(draw: st.DrawFn, stream: StreamSpec, unit: int) -> AggregateSpec:
    """Draw an aggregate of a stream's rows."""
    family = draw(among("numbers", "numbers", "rows", "keys", "picks", "level", "level", "each", "observed"))
    numbers = [field for field in stream.fields if field.kind in NUMERIC]
    texts = [field for field in stream.fields if field.kind not in NUMERIC]
    categories = [field for field in texts if field.kind is FieldKind.CATEGORY]
    where, prior = draw(_maybe(stream)), draw(st.booleans())
    number = draw(among(*numbers))
    if family == "observed":
        field = draw(among(*numbers, *categories))
        return AggregateSpec("observed", stream.name, WindowSpec("life"), field=field.name, decimals=field.decimals)
    if family == "each":
        return _each(draw, stream, unit, where, (number, draw(among(*texts, number))), prior=prior)
    if family == "level":
        return _level(draw, stream, unit, where, number, prior=prior)
    if family == "keys":
        kind = draw(among("distinct", "top_share"))
        window = draw(windows(unit, life=False))
        key = draw(among(*texts) if kind == "top_share" else among(*texts, number))
        if kind == "distinct":
            return AggregateSpec(kind, stream.name, window, where, prior, key.name)
        weight = draw(among(None, number))
        return AggregateSpec(kind, stream.name, window, where, prior, *_value(weight), key=key.name)
    if family == "picks":
        category = draw(among(*categories))
        kind = draw(among("first", "last") if category.levels is None else among("first", "last", "min", "max"))
        return AggregateSpec(kind, stream.name, draw(windows(unit, life=True)), where, prior, category.name)
    kind = draw(among(*OF_ROWS) if family == "rows" else among(*OF_NUMBERS))
    window = draw(windows(unit, life=kind in FOR_LIFE))
    value = _value(None if family == "rows" else number)
    return AggregateSpec(
        kind,
        stream.name,
        window,
        where,
        prior,
        *value,
        subset=draw(conditions(stream)) if kind in {"share", "streak"} else None,
        quantile=draw(among(*QUANTILES)) if kind == "quantile" else 0,
        half_life_us=max(SECOND, draw(among(*WIDTHS)) * unit // 8 // SECOND * SECOND) if kind == "decayed_sum" else 0,
    )


@cache
def catalogue(streams: tuple[StreamSpec, ...], unit: int) -> list[FeatureSpec]:
    """Return every aggregate over rows with and without a condition, with and without the observed event."""
    found: list[AggregateSpec] = []
    for stream, prior in itertools.product(streams, (False, True)):
        number, *_, text = stream.fields
        for where in (None, ("gt", ("field", number.name), ("int", 0))):
            found += _catalogue_of(stream, unit, number, text, where, prior=prior)
    return [FeatureSpec("F.f", ("agg", spec), "account") for spec in found]


def _catalogue_of(
    stream: StreamSpec, unit: int, number: FieldSpec, text: FieldSpec, where: Tree | None, *, prior: bool
) -> Iterator[AggregateSpec]:
    part = ("le", ("field", number.name), ("int", 100))
    rows = (stream.name, where, prior)
    durations = [WindowSpec("duration", width * unit) for width in (3, 12)]
    for window in (*durations, WindowSpec("last", 12 * unit, 3), WindowSpec("life")):
        spec = AggregateSpec("count", rows[0], window, *rows[1:])
        for kind in OF_NUMBERS + OF_ROWS:
            if window.kind == "life" and kind not in FOR_LIFE:
                continue
            value = _value(number if kind in OF_NUMBERS else None)
            yield replace(
                spec,
                kind=kind,
                field=value[0],
                decimals=value[1],
                subset=part if kind in {"share", "streak"} else None,
                quantile=QUANTILES[-2] if kind == "quantile" else 0,
                half_life_us=SECOND if kind == "decayed_sum" else 0,
            )
        if window.kind != "life":
            yield replace(spec, kind="distinct", field=text.name)
            yield replace(spec, kind="top_share", key=text.name)
            yield replace(spec, kind="top_share", key=text.name, field=number.name, decimals=number.decimals)
    for window in durations:
        spec = AggregateSpec("level_now", rows[0], window, *rows[1:], number.name, number.decimals)
        for kind in OF_LEVELS:
            yield replace(spec, kind=f"level_{kind}", window=WindowSpec("life") if kind == "now" else window)
        for summary, step in itertools.product(SUMMARIES, STEPS):
            value = _stepped(step, number, text)
            yield replace(spec, kind="each", step=step, summary=summary, times=4, field=value[0], decimals=value[1])
    yield AggregateSpec("observed", stream.name, WindowSpec("life"), field=number.name, decimals=number.decimals)


@cache
def windows(unit: int, *, life: bool) -> st.SearchStrategy[WindowSpec]:
    """Return windows of rows."""
    widths = st.sampled_from(WIDTHS).map(lambda n: n * unit)
    durations = st.builds(WindowSpec, st.just("duration"), widths)
    lasts = st.builds(WindowSpec, st.just("last"), widths, st.sampled_from((1, 2, 3, 10)))
    return durations | lasts | st.just(WindowSpec("life")) if life else durations | lasts


@cache
def conditions(stream: StreamSpec) -> st.SearchStrategy[Tree]:
    """Return conditions on a stream's rows."""
    leaves = st.one_of([*(_about(field) for field in stream.fields), _between(stream)])
    return st.recursive(
        leaves,
        lambda inner: st.tuples(st.sampled_from(("and", "or")), inner, inner) | st.tuples(st.just("not"), inner),
        max_leaves=4,
    )


@cache
def _maybe(stream: StreamSpec) -> st.SearchStrategy[Tree | None]:
    return st.sampled_from((0, 0, 1)).flatmap(lambda kept: conditions(stream) if kept else st.none())


def _about(field: FieldSpec) -> st.SearchStrategy[Tree]:
    leaf = ("field", field.name)
    literals: st.SearchStrategy[int] = among(*(hash_text(text) for text in ("acme", "", "Ω", "never")))
    if field.kind in NUMERIC:
        literals = among(*LITERALS)
    elif field.levels is not None:
        literals = among(*range(len(field.levels)))
    ops = COMPARISONS if field.kind in NUMERIC else COMPARISONS[:2]
    members = st.sets(literals, min_size=1, max_size=3).map(lambda found: tuple(sorted(found)))
    return st.one_of(
        st.tuples(st.sampled_from(ops), st.just(leaf), literals.map(lambda units: ("int", units))),
        st.tuples(st.just("in"), st.just(leaf), members),
        st.just(("is_null", leaf)),
    )


def _between(stream: StreamSpec) -> st.SearchStrategy[Tree]:
    fields = st.sampled_from([("field", field.name) for field in stream.fields if field.kind in NUMERIC])
    literals = st.sampled_from(LITERALS).map(lambda units: ("int", units))
    terms = st.one_of(
        st.tuples(st.sampled_from(("add", "sub")), fields, fields | literals),
        st.tuples(st.just("mul"), fields, st.sampled_from((-3, 0, 2, 100)).map(lambda units: ("int", units))),
    )
    return st.tuples(st.sampled_from(COMPARISONS), terms, fields | literals)


def _value(field: FieldSpec | None) -> tuple[str | None, int]:
    return (None, 0) if field is None else (field.name, field.decimals)


def _stepped(step: Step, number: FieldSpec, any_field: FieldSpec) -> tuple[str | None, int]:
    if step == "distinct":
        return any_field.name, 0
    return _value(None if step == "count" else number)


def _each(
    draw: st.DrawFn,
    stream: StreamSpec,
    unit: int,
    where: Tree | None,
    fields: tuple[FieldSpec, FieldSpec],
    *,
    prior: bool,
) -> AggregateSpec:
    times = draw(among(1, 2, 3, 6))
    step = draw(among(*STEPS))
    return AggregateSpec(
        "each",
        stream.name,
        WindowSpec("duration", draw(among(1, 2, 3)) * unit),
        where,
        prior,
        *_stepped(step, *fields),
        times=times,
        step=step,
        summary=draw(among(*(name for name in SUMMARIES if name != "slope" or times > 1))),
        threshold=draw(among(*LITERALS)),
    )


def _level(
    draw: st.DrawFn, stream: StreamSpec, unit: int, where: Tree | None, number: FieldSpec, *, prior: bool
) -> AggregateSpec:
    kind = draw(among(*OF_LEVELS))
    window = WindowSpec("life") if kind == "now" else WindowSpec("duration", draw(among(*WIDTHS)) * unit)
    threshold = draw(among(*LITERALS)) if kind.endswith("below") else 0
    return AggregateSpec(f"level_{kind}", stream.name, window, where, prior, *_value(number), threshold=threshold)
