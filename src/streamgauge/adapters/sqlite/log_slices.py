"""The index of the log, which finds an entity's records in one slice of positions after the other.

An index by entity alone has its entries in the order of keys: each record that is appended, and again each that is
dropped, touches a page of its own, which is written every time. One that begins with the slice of the position grows at
one end and shrinks at the other, within pages that are in memory. Reading an entity looks once into each slice, and a
reader that knows up to where it has everything looks into the last few.
"""

from __future__ import annotations

from typing import Final

_BITS: Final = 13
_INDEX_PAGES: Final = 80
"""A slice has 8,192 positions, and its part of the index so many pages."""

_ROWS_OF_A_PAGE: Final = 16

INDEX: Final = f"CREATE INDEX records_by_slice ON records (position >> {_BITS}, entity, id_hash)"
NAME: Final = "records_by_slice"

FORMER: Final = "records_of_entity"
"""The index by entity alone, which files of older formats have."""

_FOUND: Final = f"""
WITH RECURSIVE slices (slice) AS (
    SELECT max(?1 + 1, (SELECT min(position) FROM records)) >> {_BITS}
    UNION ALL SELECT slice + 1 FROM slices WHERE slice < min(?2, (SELECT max(position) FROM records)) >> {_BITS}
)
SELECT records.position FROM slices CROSS JOIN records INDEXED BY {NAME}
WHERE records.position >> {_BITS} = slice AND records.position > ?1 AND records.position <= ?2 AND entity
"""  # noqa: S608 - numbers and names of this module

POSITIONS: Final = f"{_FOUND} = ?3"
"""Finds the positions behind one (1), up to another (2), of an entity (3); in no order."""

OF_EVENT: Final = f"{POSITIONS} AND id_hash = ?4"
"""Finds those among them whose id has a hash (4)."""

KEYS: Final = f"SELECT DISTINCT entity FROM records INDEXED BY {NAME} WHERE entity >= ? AND entity < ? ORDER BY entity"  # noqa: S608 - a name of this module
"""Finds the entities from one key on, before another."""

COUNTED: Final = f"SELECT count(*) FROM (SELECT DISTINCT entity FROM records INDEXED BY {NAME} LIMIT ?)"  # noqa: S608 - a name of this module
"""Counts entities, up to a number."""


def pages_of(rows: int) -> int:
    """Return about how many pages of the file a commit of so many rows writes, of records and of the index.

    >>> pages_of(1), pages_of(2_000)
    (1, 205)
    """
    return rows // _ROWS_OF_A_PAGE + min(rows, _INDEX_PAGES)


def positions_of(entities: int) -> str:
    """Return `POSITIONS` of so many entities.

    >>> positions_of(2).split()[-3:]
    ['IN', '(?,', '?)']
    """
    marks = ", ".join("?" * entities)
    return f"{_FOUND} IN ({marks})"
