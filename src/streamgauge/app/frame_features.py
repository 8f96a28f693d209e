"""Features of a frame's entities at its moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamgauge.app import wiring
from streamgauge.definitions.roles import keys_of
from streamgauge.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.definitions.specs import FeatureSpec
    from streamgauge.log.port import Log


def with_features(
    table: pl.DataFrame,
    roles: tuple[str, ...],
    specs: list[FeatureSpec],
    streams: Mapping[str, StreamSpec],
    log: Log,
    workers: int,
) -> pl.DataFrame:
    """Return a frame of entities and moments with features, each row knowing what was known by its moment.

    Args:
        table: Columns with ids, one for each role, or ``entity``; moments in ``as_of``, now without it.
        roles: The roles whose features are asked for.
        specs: The features.
        streams: The project's streams.
        log: The log.
        workers: How many threads compute.

    Raises:
        SettingsError: A moment has no time zone.
    """
    import numpy as np
    import polars as pl

    from streamgauge.features.backfill import Requests, backfill
    from streamgauge.features.bind import BoundProgram
    from streamgauge.features.layout import Layouts
    from streamgauge.features.program import FeatureProgram

    program = FeatureProgram.of(specs, streams)
    moments = _moments(table)
    ids = [table[role if role in table.columns else "entity"].cast(pl.String).to_list() for role in roles]
    keys = [keys_of(dict(zip(roles, row, strict=True))) for row in zip(*ids, strict=True)]
    first, *others = program.roles or roles
    last = np.full(len(keys), log.last_position(), np.int64)
    requests = Requests.of(
        [row[first] for row in keys],
        moments,
        last,
        known=moments,
        others={role: [row[role] for row in keys] for role in others},
    )
    values = backfill(log, BoundProgram.of(program, Layouts.of([program])), requests, workers=workers)
    columns = [_column(spec, values[:, j], log) for j, spec in enumerate(specs)]
    return table.with_columns(columns)


def _column(spec: FeatureSpec, values: Any, log: Log) -> pl.Series:  # noqa: ANN401
    import polars as pl

    column = pl.Series(spec.name, values.copy(), nan_to_null=True)
    if spec.levels is None:
        return column
    codes = column.cast(pl.Int64)
    if spec.levels:
        return pl.Series(list(spec.levels)).gather(codes).alias(spec.name)
    texts = {code: log.text_of(code) for code in codes.unique().drop_nulls().to_list()}
    return pl.Series(spec.name, [None if code is None else texts[code] for code in codes.to_list()], dtype=pl.String)


def _moments(table: pl.DataFrame) -> Any:  # noqa: ANN401
    """Return the moments of a frame in µs, int64."""
    import numpy as np
    import polars as pl

    if "as_of" not in table.columns:
        return np.full(len(table), wiring.SystemClock().now_us(), np.int64)
    column = table["as_of"]
    if not isinstance(column.dtype, pl.Datetime) or column.dtype.time_zone is None or column.null_count():
        raise SettingsError(
            f'The column "as_of" holds {column.dtype} with {column.null_count()} nulls. Give moments in a time zone: '
            'pl.Datetime("us", "UTC").'
        )
    return column.dt.convert_time_zone("UTC").dt.cast_time_unit("us").dt.timestamp("us").to_numpy()
