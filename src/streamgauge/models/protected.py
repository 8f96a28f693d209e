"""Protected attributes as data: read from a table, kept apart, taken out for fairness reports alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from streamgauge.definitions.schema import FieldKind, FieldSpec
from streamgauge.errors import EventRejected, ImportRefused, close_match
from streamgauge.events.values import parse_decimal, parse_flag, parse_id, parse_level, parse_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from streamgauge.definitions.specs import ProtectedSpec

Attributes: TypeAlias = "dict[str, int | str]"
"""The attributes that are known of one entity, by name: units of numbers and flags, texts of categories."""

_SHOWN: Final = 5


class ProtectedStore(Protocol):
    """Where protected attributes are kept: a file of their own, which only its owner may read.

    Nothing that trains, scores or decides is given one.
    """

    def put(self, name: str, people: Mapping[str, Attributes]) -> None:
        """Keep the attributes of some entities durably, all of them or none; an entity's earlier ones are replaced.

        Args:
            name: The class that declares them.
            people: The attributes by entity key, such as ``customer:C1``.

        Raises:
            OSError: The disk refused; nothing was kept.
        """

    def people(self, name: str) -> dict[str, Attributes]:
        """Return the attributes of every entity of a class."""

    def counts(self) -> dict[str, int]:
        """Return how many entities each class has."""

    def erase(self, entity: str) -> int:
        """Delete everything kept of an entity, in every class, so that the file does not hold it; return how much.

        Args:
            entity: The entity key, such as ``customer:C1``.
        """

    def close(self) -> None:
        """Release the file."""


def read_people(frames: Iterable[pl.DataFrame], spec: ProtectedSpec) -> dict[str, Attributes]:
    """Return the attributes that a table holds, by entity key; where an entity is told twice, the later row stands.

    Args:
        frames: Rows with a column of ids, named by the role or ``entity``, and a column for each attribute; a null or
            an empty text is what is not known.
        spec: The attributes.

    Raises:
        ImportRefused: A column is missing or unknown, or a value does not fit; all rows are refused then.
    """
    people: dict[str, Attributes] = {}
    wrong: list[str] = []
    done = mistakes = 0
    codes = [{level: code for code, level in enumerate(field.levels or ())} for field in spec.fields]
    for frame in frames:
        column = _columns(frame, spec)
        values = [frame[name].to_list() for name in spec.names]
        for row, entity in enumerate(frame[column].to_list()):
            try:
                key = f"{spec.entity}:{parse_id(str(entity) if type(entity) is int else entity, column)}"
                read = {
                    field.name: _value(held[row], field, known)
                    for field, held, known in zip(spec.fields, values, codes, strict=True)
                }
            except EventRejected as error:
                mistakes += 1
                if len(wrong) < _SHOWN:
                    wrong.append(f"  row {done + row + 1}: {error}")
                continue
            people[key] = {name: value for name, value in read.items() if value is not None}
        done += len(frame)
    if mistakes:
        shown = "\n".join(wrong)
        raise ImportRefused(
            f"{mistakes:,} of {done:,} rows cannot be read as {spec.name}, so none was imported. The first:\n{shown}\n"
            "Mend them and import again."
        )
    return people


def _columns(frame: pl.DataFrame, spec: ProtectedSpec) -> str:
    """Return the column of ids, once all columns are known to be right."""
    column = spec.entity if spec.entity in frame.columns else "entity"
    if column not in frame.columns:
        raise ImportRefused(
            f'The table has no column "{spec.entity}" with the ids of {spec.name}; it has {frame.columns}. Rename one.'
        )
    for name in spec.names:
        if name not in frame.columns:
            raise ImportRefused(
                f'The table has no column "{name}" of {spec.name}. {close_match(name, frame.columns)} A column may be '
                "empty where nothing is known."
            )
    for name in frame.columns:
        if name not in (column, *spec.names):
            raise ImportRefused(
                f'The column "{name}" is no attribute of {spec.name}. {close_match(name, spec.names)} Leave it out: '
                "nothing is kept of people that is not declared."
            )
    return column


def _value(value: Any, field: FieldSpec, codes: dict[str, int]) -> int | str | None:  # noqa: ANN401 - a cell of any type
    if value is None or value == "" or value != value:  # noqa: PLR0124 - NaN
        return None
    if field.kind is FieldKind.CATEGORY:
        text = str(value) if type(value) is int else value
        if field.levels is not None:
            parse_level(text, field, codes)
        return parse_text(text, field)
    return parse_flag(value, field) if field.kind is FieldKind.FLAG else parse_decimal(value, field)
