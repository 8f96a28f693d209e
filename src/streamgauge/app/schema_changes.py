"""A changed declaration against the forms that the log holds records under: what goes on, and what cannot."""

from __future__ import annotations

import ast
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from streamgauge.app.schema_report import SchemaChange
from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.errors import DefinitionError, close_match

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from streamgauge.log.port import Log

_PAGE: Final = 5_000
_LOOKED_THROUGH: Final = 1_000_000
"""How many records are looked through for one that holds a form back."""

_NAMES: Final = {"entity": "its entity", "event_id": "its event id", "event_time": "its event time"}


class _Found(NamedTuple):
    safe: bool
    field: str
    what: str
    detail: str


def _safe(field: str, what: str, detail: str) -> _Found:
    return _Found(safe=True, field=field, what=what, detail=detail)


def _unsafe(field: str, what: str, detail: str) -> _Found:
    return _Found(safe=False, field=field, what=what, detail=detail)


def changes_between(old: StreamSpec, new: StreamSpec) -> list[SchemaChange]:
    """Return what changed from one form of a stream to another.

    >>> from dataclasses import replace
    >>> paid = StreamSpec("Paid", "id", "client", "at", (FieldSpec("amount", FieldKind.MONEY, 2),), 10**12, 10**9)
    >>> finer = replace(paid, fields=(FieldSpec("amount", FieldKind.MONEY, 4),))
    >>> [(one.what, one.safe) for one in changes_between(paid, finer)]
    [('more decimals', True)]
    >>> [(one.what, one.safe) for one in changes_between(finer, paid)]
    [('fewer decimals', False)]
    """
    return [
        SchemaChange(stream=new.name, field=found.field, what=found.what, safe=found.safe, detail=found.detail)
        for found in _all(old, new)
    ]


def _all(old: StreamSpec, new: StreamSpec) -> Iterator[_Found]:
    for name, what in _NAMES.items():
        was, now = getattr(old, name), getattr(new, name)
        if was != now and name == "entity":
            yield _unsafe(now, "changed entity", f"{what} was {was}: older records are of {was}s. Restore {was}.")
        elif was != now:
            yield _safe(now, f"renamed {name}", f"{what} was called {was}; senders must use the new name.")
    if old.other_roles != new.other_roles:
        yield _unsafe("", "changed roles", "older records are of other entities. Declare a stream of another name.")
    before = {field.name: field for field in old.fields}
    after = {field.name: field for field in new.fields}
    for name in before.keys() - after.keys():
        near = close_match(name, after.keys() - before.keys())
        yield _safe(
            name,
            "dropped field",
            f"older records keep it, new events may not have it (unknown=…). {near}".strip(),
        )
    for name, field in after.items():
        if name in before:
            yield from _of_field(before[name], field)
        else:
            absent = "null" if field.required else "its default"
            yield _safe(name, "added field", f"older records read {absent} there.")


def _of_field(was: FieldSpec, now: FieldSpec) -> Iterator[_Found]:
    name = now.name
    if was.is_text != now.is_text or (was.levels is None) != (now.levels is None):
        detail = (
            f"it was {was.kind.value} and is {now.kind.value}: older records cannot be read so. Restore it, or give "
        )
        yield _unsafe(name, "changed kind", detail + "the new form a new name.")
        return
    if was.kind is not now.kind:
        safe = not (now.kind is FieldKind.FLAG or was.kind is FieldKind.CATEGORY)
        detail = f"it was {was.kind.value} and is {now.kind.value}"
        more = "." if safe else ": older values may not fit. Restore it, or give the new form a new name."
        yield (_safe if safe else _unsafe)(name, "changed kind", detail + more)
    if now.decimals < was.decimals:
        detail = f"{was.decimals} before, {now.decimals} now: older values would lose digits. Restore {was.decimals}."
        yield _unsafe(name, "fewer decimals", detail)
    elif now.decimals > was.decimals:
        yield _safe(name, "more decimals", f"{was.decimals} before, {now.decimals} now; older values are exact.")
    gone = [level for level in was.levels or () if level not in (now.levels or ())]
    if gone:
        near = close_match(gone[0], now.levels or ())
        detail = f'older records may hold "{gone[0]}". {near} Keep it among the levels.'
        yield _unsafe(name, "removed level", detail)
    elif was.levels != now.levels:
        yield _safe(name, "widened levels", "older records keep theirs.")
    if was.required != now.required:
        what = "now required" if now.required else "now optional"
        yield _safe(name, what, "older records stay as they are.")
    if (was.low, was.high) != (now.low, now.high):
        yield _safe(name, "changed range", "older records stay as they are.")


def check_changes(
    declared: Mapping[str, StreamSpec], log: Log, path: Path
) -> tuple[dict[str, StreamSpec], list[str], list[DefinitionError]]:
    """Compare declared streams with the forms that the log knows.

    Args:
        declared: The streams of the project file.
        log: The log.
        path: The project file, for the lines of what is refused.

    Returns:
        The streams that may be served, an unsafe one in its newest registered form; what to tell of safe changes; and
        the refusals.
    """
    streams, told, refused = dict(declared), [], []
    forms: dict[str, list[StreamSpec]] = {}
    for form in log.schemas():
        forms.setdefault(form.name, []).append(form)
    for name, spec in declared.items():
        known = forms.get(name, [])
        bad = next(
            (
                (form, change)
                for form in reversed(known)
                for change in changes_between(form, spec)
                if not change.safe and _holds(log, form)
            ),
            None,
        )
        if bad is not None:
            streams[name] = bad[0]
            refused.append(_refusal(bad[1], path))
        elif known and spec not in known:
            told += [
                f"{name} changed: {change.field} {change.what}: {change.detail}"
                for change in changes_between(known[-1], spec)
            ]
    return streams, told, refused


def _holds(log: Log, form: StreamSpec) -> bool:
    """Return whether the log holds a record under a form; after a million others it is taken to."""
    position, looked = 0, 0
    while looked < _LOOKED_THROUGH and (records := log.read_after(position, _PAGE)):
        if any(record.stream == form.name and log.schema(record.schema) == form for record in records):
            return True
        position, looked = records[-1].position, looked + len(records)
    return looked >= _LOOKED_THROUGH


def _refusal(change: SchemaChange, path: Path) -> DefinitionError:
    where = f"{change.stream}.{change.field}" if change.field else change.stream
    message = f"{where} cannot change like that ({change.what}): {change.detail}"
    return DefinitionError(message, path=str(path), line=line_of(path, change.stream, change.field))


def line_of(path: Path, stream: str, field: str) -> int:
    """Return the line of a field's declaration, else of its stream's, else 0."""
    module = ast.Module(body=[], type_ignores=[])
    with suppress(OSError, SyntaxError, ValueError):
        module = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and node.name == stream:
            lines = [
                item.lineno
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id == field
            ]
            return lines[0] if lines else node.lineno
    return 0


def schema_changes(declared: Mapping[str, StreamSpec], forms: Sequence[StreamSpec]) -> list[SchemaChange]:
    """Return what differs between declared streams and their newest registered forms."""
    newest = {form.name: form for form in forms}
    return [
        change for name, spec in declared.items() if name in newest for change in changes_between(newest[name], spec)
    ]
