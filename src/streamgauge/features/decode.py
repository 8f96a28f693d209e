"""From records to int64 columns, whatever form of the stream they were written under."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL, UNIT_LIMIT, FieldSpec, StreamSpec
from streamgauge.errors import DefinitionError, close_match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.events.cells import Cells
    from streamgauge.events.record import Record

Ints: TypeAlias = NDArray[np.int64]


class SchemaBook:
    """The forms under which a log's records were written, by number.

    A record's fields are found by name: one that its form lacks takes the present form's default, more decimals than
    then are exact, and a closed category's index follows its level's text.
    """

    def __init__(self, lookup: Callable[[int], StreamSpec]) -> None:
        """Read forms with ``lookup``, once each (`streamgauge.log.port.Log.schema`)."""
        self._lookup = lookup
        self._specs: dict[int, StreamSpec] = {}
        self._translations: dict[tuple[int, str], tuple[StreamSpec, _Translation | None]] = {}

    def spec(self, number: int) -> StreamSpec:
        """Return the stream as it was declared under a schema number."""
        found = self._specs.get(number)
        if found is None:
            found = self._specs[number] = self._lookup(number)
        return found

    def lateness_us(self, record: Record) -> int:
        """Return the lateness that the record was accepted under."""
        return self.spec(record.schema).lateness_us

    def greatest_lateness_us(self, stream: str) -> int:
        """Return the greatest lateness of the stream's forms that were met so far, 0 before one was."""
        return max((spec.lateness_us for spec in list(self._specs.values()) if spec.name == stream), default=0)

    def units(self, record: Record, stream: StreamSpec) -> Ints:
        """Return one record's units, int64[fields], in the order of ``stream``'s fields."""
        row = np.frombuffer(record.units, np.int64)
        translation = self._translation(record.schema, stream)
        return row if translation is None else translation.apply(row.reshape(1, -1))[0]

    def matrix(self, units: Sequence[bytes], numbers: Sequence[int], stream: StreamSpec) -> Ints:
        """Return many records' units, int64[n, fields], in the order of ``stream``'s fields.

        Args:
            units: The bytes of `Record.units`.
            numbers: Their schema numbers.
            stream: The form to bring them to.
        """
        forms = set(numbers)
        if len(forms) == 1:
            return self._one_form(units, forms.pop(), stream)
        out = np.empty((len(units), len(stream.fields)), np.int64)
        written = np.asarray(numbers, np.int64)
        for number in forms:
            rows = np.flatnonzero(written == number)
            out[rows] = self._one_form([units[i] for i in rows.tolist()], number, stream)
        return out

    def matrix_of(self, cells: Cells, numbers: Ints, stream: StreamSpec) -> Ints:
        """Return many records' units, int64[n, fields], as `matrix` does.

        Args:
            cells: The columns of `Record.units`.
            numbers: int64[n], their schema numbers.
            stream: The form to bring them to.
        """
        out = np.empty((len(cells), len(stream.fields)), np.int64)
        for number in np.unique(numbers).tolist():
            rows = np.flatnonzero(numbers == number)
            packed = cells.take(rows).packed().data.view(np.int64).reshape(len(rows), len(self.spec(number).fields))
            translation = self._translation(number, stream)
            found = packed if translation is None else translation.apply(packed)
            if len(rows) == len(out):
                return np.ascontiguousarray(found)
            out[rows] = found
        return out

    def _one_form(self, units: Sequence[bytes], number: int, stream: StreamSpec) -> Ints:
        rows = np.frombuffer(b"".join(units), np.int64).reshape(len(units), len(self.spec(number).fields))
        translation = self._translation(number, stream)
        return rows if translation is None else translation.apply(rows)

    def _translation(self, number: int, stream: StreamSpec) -> _Translation | None:
        known = self._translations.get((number, stream.name))
        if known is None or known[0] is not stream:
            known = (stream, _Translation.between(self.spec(number), stream))
            self._translations[number, stream.name] = known
        return known[1]


@dataclass(frozen=True, slots=True)
class _Translation:
    """How rows of a form become rows of another.

    Attributes:
        sources: int64[new fields]: each field's column in the old form, -1 where it lacks it.
        changes: What becomes of single columns after that: (column, function of its values).
    """

    sources: Ints
    changes: tuple[tuple[int, Callable[[Ints], Ints]], ...]

    @classmethod
    def between(cls, old: StreamSpec, new: StreamSpec) -> _Translation | None:
        """Return the translation, None where the forms hold the same columns."""
        if old.fields == new.fields:
            return None
        place = {spec.name: index for index, spec in enumerate(old.fields)}
        changes = [
            (column, change)
            for column, spec in enumerate(new.fields)
            if (change := _change(old.fields[place[spec.name]] if spec.name in place else None, spec, new.name))
        ]
        return cls(np.array([place.get(spec.name, -1) for spec in new.fields], np.int64), tuple(changes))

    def apply(self, rows: Ints) -> Ints:
        """Return int64[n, new fields] for int64[n, old fields]."""
        kept = rows if rows.shape[1] else np.full((len(rows), 1), NULL, np.int64)
        out = kept.take(self.sources, axis=1)
        for column, change in self.changes:
            out[:, column] = change(out[:, column])
        return out


def _change(was: FieldSpec | None, now: FieldSpec, stream: str) -> Callable[[Ints], Ints] | None:
    """Return what brings an old column to the new form, None where its units stay as they are."""
    if was is None:
        return lambda values: np.full(len(values), now.default, np.int64)
    if was.is_text != now.is_text or (was.levels is None) != (now.levels is None) or now.decimals < was.decimals:
        raise DefinitionError(
            f'Field "{now.name}" of {stream} was declared as {was.kind.value} with {was.decimals} decimals and is now '
            f"{now.kind.value} with {now.decimals}: older records cannot be read so. Give the new form a new name."
        )
    if was.levels != now.levels and was.levels is not None and now.levels is not None:
        codes = _codes(was.levels, now, stream)
        return lambda values: np.where(values == NULL, NULL, codes[np.maximum(values, 0)])
    factor = int(10 ** (now.decimals - was.decimals))
    return None if factor == 1 else lambda values: np.where(values == NULL, NULL, _scaled(values, factor))


def _scaled(values: Ints, factor: int) -> Ints:
    known = np.where(values == NULL, 0, values)
    if known.size and int(np.abs(known).max()) * factor > UNIT_LIMIT:
        raise DefinitionError(
            f"An older record's value times {factor} is beyond 2^40 units: it cannot be read with more decimals. "
            "Give the new form a new name."
        )
    return known * factor


def _codes(levels: tuple[str, ...], now: FieldSpec, stream: str) -> Ints:
    present = now.levels or ()
    for level in levels:
        if level not in present:
            raise DefinitionError(
                f'Level "{level}" of {stream}.{now.name} is gone, but older records hold it. '
                f"{close_match(level, present)} Keep it among the levels."
            )
    return np.array([present.index(level) for level in levels], np.int64)
