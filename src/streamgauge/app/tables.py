"""Tables that a command writes: Parquet, CSV or JSON Lines, by the ending of the file's name, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamgauge.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

ENDINGS: Final = (".parquet", ".csv", ".jsonl", ".ndjson")
_MOMENT: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"


def check_target(path: Path) -> None:
    """Check that a table can be written to a path, before the work that makes it.

    Raises:
        SettingsError: Its ending names no format, or its folder does not exist.
    """
    if path.suffix not in ENDINGS:
        raise SettingsError(f'"{path.name}" names no known format. End it in one of: {", ".join(ENDINGS)}.')
    if not path.parent.is_dir():
        raise SettingsError(f"{path} cannot be written: the folder {path.parent} does not exist. Create it first.")


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame; a file of that name is replaced once the new one is complete.

    Raises:
        SettingsError: As `check_target`.
        OSError: The disk refused.
    """
    import polars as pl

    check_target(path)
    fresh = path.with_name(f".{path.name}.new")
    try:
        if path.suffix == ".parquet":
            frame.write_parquet(fresh)
        else:
            moments = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime)]
            plain = frame.with_columns(pl.col(moments).dt.strftime(_MOMENT)) if moments else frame
            if path.suffix == ".csv":
                plain.write_csv(fresh)
            else:
                plain.write_ndjson(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
