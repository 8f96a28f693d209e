"""The feature program: just the aggregates and expressions that some features need, in a canonical and hashed form.

A model artefact carries its program, so a server computes a model's features without the project file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import AggregateSpec, FeatureSpec, Tree, WindowSpec

_KEEPS_CATEGORY: Final = frozenset({"first", "last", "min", "max", "observed"})

KERNEL_VERSION: Final = 1
"""Raised by any change of the kernel that may change a value in any bit."""


@dataclass(frozen=True, slots=True)
class FeatureProgram:
    """What to compute, and over which streams.

    Attributes:
        names: The features' names, in order.
        expressions: One tree a feature, where ``("agg", i)`` stands for the aggregate ``i``.
        aggregates: Each distinct aggregate once, in canonical order.
        streams: The streams needed, by name, with the fields needed only.
    """

    names: tuple[str, ...]
    expressions: tuple[Tree, ...]
    aggregates: tuple[AggregateSpec, ...]
    streams: tuple[StreamSpec, ...]

    @classmethod
    def of(cls, features: Sequence[FeatureSpec], streams: Mapping[str, StreamSpec]) -> FeatureProgram:
        """Return the program of some features.

        Args:
            features: The features, in the order of the matrix's columns.
            streams: The project's streams by name.
        """
        found: set[AggregateSpec] = set()
        for feature in features:
            _collect(feature.expression, found)
        primary = {name: stream.entity for name, stream in streams.items()}
        read = {spec: replace(spec, role=spec.role or primary[spec.stream]) for spec in found}
        aggregates = tuple(sorted(set(read.values()), key=lambda spec: _text(_aggregate_form(spec, primary))))
        place = {spec: index for index, spec in enumerate(aggregates)}
        number = {spec: place[named] for spec, named in read.items()}
        return cls(
            names=tuple(feature.name for feature in features),
            expressions=tuple(_numbered(feature.expression, number) for feature in features),
            aggregates=aggregates,
            streams=tuple(
                needed_of(streams[name], [spec for spec in aggregates if spec.stream == name])
                for name in sorted({spec.stream for spec in aggregates})
            ),
        )

    def canonical(self) -> dict[str, Any]:
        """Return the program as JSON-able values; `from_canonical` makes it a program again."""
        primary = {stream.name: stream.entity for stream in self.streams}
        return {
            "names": list(self.names),
            "expressions": json.loads(_text(self.expressions)),
            "aggregates": [_aggregate_form(spec, primary) for spec in self.aggregates],
            "streams": [_stream_form(stream) for stream in self.streams],
        }

    @classmethod
    def from_canonical(cls, form: Mapping[str, Any]) -> FeatureProgram:
        """Return the program that `canonical` described."""
        streams = tuple(_stream_of(stream) for stream in form["streams"])
        primary = {stream.name: stream.entity for stream in streams}
        return cls(
            names=tuple(form["names"]),
            expressions=tuple(_tree(expression) for expression in form["expressions"]),
            aggregates=tuple(_aggregate_of(spec, primary) for spec in form["aggregates"]),
            streams=streams,
        )

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles and pairs whose rows are read, sorted."""
        return tuple(sorted({spec.role for spec in self.aggregates}))

    def categories(self) -> dict[str, tuple[str, ...]]:
        """Return the features that are categories: their levels in order of their codes, none for an open category."""
        fields = {(stream.name, field.name): field for stream in self.streams for field in stream.fields}
        found = {}
        for name, tree in zip(self.names, self.expressions, strict=True):
            if tree[0] != "agg":
                continue
            spec = self.aggregates[tree[1]]
            field = fields.get((spec.stream, spec.field or ""))
            if spec.kind in _KEEPS_CATEGORY and field is not None and field.kind is FieldKind.CATEGORY:
                found[name] = field.levels or ()
        return found

    @property
    def digest(self) -> str:
        """The hex SHA-256 of the canonical form and the kernel's version."""
        return hashlib.sha256(_text({"kernel": KERNEL_VERSION, "program": self.canonical()}).encode()).hexdigest()


def fields_of(tree: Tree | None) -> set[str]:
    """Return the names of the fields a condition reads.

    >>> sorted(fields_of(("and", ("gt", ("field", "amount"), ("int", 0)), ("is_null", ("field", "kind")))))
    ['amount', 'kind']
    """
    if tree is None:
        return set()
    if tree[0] == "field":
        return {tree[1]}
    parts = (part for part in tree[1:] if isinstance(part, tuple) and part and isinstance(part[0], str))
    return {name for part in parts for name in fields_of(part)}


def _collect(tree: Tree, found: set[AggregateSpec]) -> None:
    if tree[0] == "agg":
        found.add(tree[1])
        return
    for part in tree[1:]:
        if isinstance(part, tuple):
            _collect(part, found)


def _numbered(tree: Tree, number: Mapping[AggregateSpec, int]) -> Tree:
    if tree[0] == "agg":
        return ("agg", number[tree[1]])
    return (tree[0], *(_numbered(part, number) if isinstance(part, tuple) else part for part in tree[1:]))


def needed_of(stream: StreamSpec, aggregates: Sequence[AggregateSpec]) -> StreamSpec:
    """Return the stream with the fields those aggregates read, without what cannot change a value."""
    names: set[str] = set()
    for spec in aggregates:
        names |= {name for name in (spec.field, spec.key) if name} | fields_of(spec.where) | fields_of(spec.subset)
    fields = tuple(
        replace(field, low=None, high=None, rounds=False, to=None) for field in stream.fields if field.name in names
    )
    return replace(stream, fields=fields, tolerance_us=0, zone=None, doc="")


def _text(value: Any) -> str:  # noqa: ANN401 - anything JSON can hold
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _aggregate_form(spec: AggregateSpec, primary: Mapping[str, str]) -> dict[str, Any]:
    form: dict[str, Any] = json.loads(_text(asdict(spec)))
    if spec.role == primary[spec.stream]:
        del form["role"]
    return {name: value for name, value in form.items() if value not in (None, "", False, 0)}


def _aggregate_of(form: Mapping[str, Any], primary: Mapping[str, str]) -> AggregateSpec:
    values = {"role": primary[form["stream"]], **form}
    values["window"] = WindowSpec(**values["window"])
    for name in ("where", "subset"):
        if name in values:
            values[name] = _tree(values[name])
    return AggregateSpec(**values)


def _stream_form(stream: StreamSpec) -> dict[str, Any]:
    form: dict[str, Any] = json.loads(_text(asdict(stream)))
    if not stream.other_roles:
        del form["other_roles"]
    return form


def _stream_of(form: Mapping[str, Any]) -> StreamSpec:
    fields = tuple(
        FieldSpec(
            **{
                **field,
                "kind": FieldKind(field["kind"]),
                "levels": None if field["levels"] is None else tuple(field["levels"]),
            }
        )
        for field in form["fields"]
    )
    return StreamSpec(**{**form, "fields": fields, "other_roles": tuple(form.get("other_roles", ()))})


def _tree(form: Any) -> Any:  # noqa: ANN401 - a nested list becomes a nested tuple
    return tuple(_tree(part) for part in form) if isinstance(form, list) else form
