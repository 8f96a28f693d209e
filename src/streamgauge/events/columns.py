"""Whole columns of values at once: the units of those rows that are plainly right, null for the others.

A null here is no verdict: such a row is looked at again, alone, by `streamgauge.events.validate`, which knows every
accepted form and every reason to refuse. So the two can only differ in speed.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from streamgauge.definitions.schema import UNIT_LIMIT, FieldKind, FieldSpec
from streamgauge.errors import ImportRefused
from streamgauge.events.values import EARLIEST_US, FLAGS, ID_BYTES, LATEST_US, NUMBER_CHARACTERS, TEXT_BYTES

_CONTROL: Final = r"[\x00-\x1f\x7f-\x9f]"
_MOMENT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
_OFFSET: Final = r"(Z|[+-][0-9]{2}:?[0-9]{2})$"
_TIE: Final = 1e-3
_DECIMAL_DIGITS: Final = 38


def is_number(dtype: pl.DataType) -> bool:
    """Return whether a column of that type may hold numbers: integers, floats, decimals and text."""
    return dtype.is_numeric() or dtype == pl.String


def is_text(dtype: pl.DataType) -> bool:
    """Return whether a column of that type may hold texts: text, categories, and integers, read as their digits."""
    return dtype.is_integer() or dtype == pl.String or isinstance(dtype, (pl.Categorical, pl.Enum))


def is_moment(dtype: pl.DataType) -> bool:
    """Return whether a column of that type may hold moments: datetimes, dates and text."""
    return isinstance(dtype, (pl.Datetime, pl.Date)) or dtype == pl.String


def as_text(column: pl.Series) -> pl.Series:
    """Return a column of texts as strings.

    Raises:
        ImportRefused: It can hold none.
    """
    if not is_text(column.dtype):
        raise ImportRefused(f'Column "{column.name}" is {column.dtype}, which holds no texts. Cast it to text.')
    return column.cast(pl.String)


def as_number(column: pl.Series, *, flag: bool = False) -> pl.Series:
    """Return a column of numbers with its nulls as nulls: NaN is one, and a 32-bit float means its shortest form.

    Raises:
        ImportRefused: It can hold none.
    """
    if column.dtype == pl.Boolean and flag:
        return column
    if not is_number(column.dtype):
        raise ImportRefused(
            f'Column "{column.name}" is {column.dtype}, which holds no numbers. Cast it to numbers or text.'
        )
    if column.dtype.is_float():
        column = column.fill_nan(None)
    return column.cast(pl.String) if column.dtype == pl.Float32 else column


def as_moment(column: pl.Series) -> pl.Series:
    """Return a column of moments as text or as datetimes; what lies outside the years 1 to 9999 becomes null.

    Raises:
        ImportRefused: It can hold none.
    """
    if not is_moment(column.dtype):
        raise ImportRefused(
            f'Column "{column.name}" is {column.dtype}, which holds no moments. '
            "Cast it to datetimes with a zone, or to ISO 8601 text."
        )
    if isinstance(column.dtype, pl.Date):
        days = 86_400_000_000
        within = column.to_physical().is_between(EARLIEST_US // days, LATEST_US // days)
        return _null_unless(column, within).cast(pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Datetime):
        return column
    ticks = {"ms": 1_000, "us": 1, "ns": 0}[column.dtype.time_unit]
    if ticks:
        within = column.to_physical().is_between(-(-EARLIEST_US // ticks), LATEST_US // ticks)
        return _null_unless(column, within).dt.cast_time_unit("us")
    return (column.to_physical() // 1_000).cast(pl.Datetime("us", column.dtype.time_zone))


def _null_unless(column: pl.Series, keep: pl.Series) -> pl.Series:
    """Return a column with nulls where `keep` is not true."""
    return pl.select(pl.when(keep).then(column).alias(column.name)).to_series()


def number_units(column: pl.Series, field: FieldSpec) -> pl.Series:
    """Return int64 units of a column of numbers or flags, null where a row needs a closer look."""
    if field.kind is FieldKind.FLAG:
        return _flags(column)
    if column.dtype == pl.String:
        units = _units_of_texts(column, field.decimals)
    elif column.dtype.is_float():
        units = _units_of_floats(column, field)
    elif isinstance(column.dtype, pl.Decimal):
        units = _units_of_decimals(column, field.decimals)
    elif column.dtype.is_integer():
        units = _scaled(column.cast(pl.Int64, strict=False), field.decimals)
    else:
        return pl.repeat(None, len(column), dtype=pl.Int64, eager=True)
    low = -UNIT_LIMIT if field.low is None else max(field.low, -UNIT_LIMIT)
    high = UNIT_LIMIT if field.high is None else min(field.high, UNIT_LIMIT)
    return _null_unless(units, units.is_between(low, high))


def _scaled(whole: pl.Series, decimals: int) -> pl.Series:
    """Return 64- or 128-bit integers times ``10**decimals`` as int64, null where they leave the range."""
    power: int = 10**decimals
    limit = UNIT_LIMIT // power
    return _null_unless(whole, whole.is_between(-limit, limit)).cast(pl.Int64) * power


def _units_of_texts(column: pl.Series, decimals: int) -> pl.Series:
    """Return the units of plain decimal texts; zeros after the last decimal are none."""
    plain = column.str.contains(rf"^[+-]?[0-9]{{1,13}}(\.[0-9]{{0,{decimals}}}0*)?$")
    plain &= column.str.len_bytes() <= NUMBER_CHARACTERS
    scaled = _null_unless(column, plain).cast(pl.Decimal(_DECIMAL_DIGITS, decimals), strict=False).to_physical()
    return _scaled(scaled, 0)


def _units_of_decimals(column: pl.Series, decimals: int) -> pl.Series:
    """Return the units of decimals, null where they have more decimals than the field."""
    scale = column.dtype.scale if isinstance(column.dtype, pl.Decimal) else 0
    raw = column.to_physical()
    if scale <= decimals:
        return _scaled(raw, decimals - scale)
    unit = pl.lit(10 ** (scale - decimals), pl.Int128)
    whole = pl.lit(raw) // unit
    return _scaled(pl.select(pl.when(whole * unit == pl.lit(raw)).then(whole)).to_series(), 0)


def _units_of_floats(column: pl.Series, field: FieldSpec) -> pl.Series:
    """Return the units of floats whose shortest form fits the decimals, or whose rounding is beyond doubt.

    Up to 15 digits a decimal is the shortest form of the float nearest to it, and 2**40 has 13: so the float is that
    decimal if and only if dividing the units by the power of ten gives it back.
    """
    value = column.to_numpy()
    power = float(10**field.decimals)
    with np.errstate(all="ignore"):
        scaled = value * power
        units = np.rint(scaled)
        sure = units / power == value
        if field.rounds:
            sure |= np.abs(scaled - np.floor(scaled) - 0.5) > _TIE
        sure &= np.abs(units) <= UNIT_LIMIT
    return _null_unless(pl.Series(column.name, np.where(sure, units, 0.0).astype(np.int64)), pl.Series(sure))


def _flags(column: pl.Series) -> pl.Series:
    """Return 0 and 1 for what says so."""
    if column.dtype == pl.String:
        known = pl.Series(FLAGS.keys())
        return column.replace_strict(known, pl.Series(FLAGS.values()), default=None, return_dtype=pl.Int64)
    if column.dtype == pl.Boolean:
        return column.cast(pl.Int64)
    if isinstance(column.dtype, pl.Decimal):
        return _null_unless(units := _units_of_decimals(column, 0), units.is_between(0, 1))
    whole = column.cast(pl.Int64, strict=False)
    return _null_unless(whole, (column == 0) | (column == 1))


def level_codes(column: pl.Series, levels: tuple[str, ...]) -> pl.Series:
    """Return the int64 codes of a closed category's texts, null where a text is no level."""
    return column.cast(pl.Enum(levels), strict=False).to_physical().cast(pl.Int64)


def sure_ids(column: pl.Series) -> pl.Series:
    """Return which texts are plainly ids."""
    return (column.str.len_bytes().is_between(1, ID_BYTES) & ~column.str.contains(_CONTROL)).fill_null(value=False)


def sure_texts(column: pl.Series) -> pl.Series:
    """Return which texts are plainly short enough."""
    return (column.str.len_bytes() <= TEXT_BYTES).fill_null(value=False)


def moments(column: pl.Series, zone: str | None) -> pl.Series:
    """Return int64 µs since the epoch, null where a row needs a closer look."""
    if column.dtype == pl.String:
        aware = _null_unless(column, column.str.contains(_MOMENT + _OFFSET)).str.replace(" ", "T", literal=True)
        found = aware.str.strptime(pl.Datetime("us", "UTC"), "%Y-%m-%dT%H:%M:%S%.f%#z", strict=False).to_physical()
        if zone is not None and found.null_count():
            naive = _null_unless(column, column.str.contains(_MOMENT + "$")).str.replace(" ", "T", literal=True)
            found = found.zip_with(
                found.is_not_null(),
                _localised(naive.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False), zone),
            )
    elif isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        found = column.to_physical()
    elif zone is not None:
        found = _localised(column, zone)
    else:
        return pl.repeat(None, len(column), dtype=pl.Int64, eager=True)
    return _null_unless(found, found.is_between(EARLIEST_US, LATEST_US))


def _localised(naive: pl.Series, zone: str) -> pl.Series:
    """Return the µs of local times, null for those that happened twice or never."""
    return naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").to_physical()
