"""Records for tests, with positions and moments said outright."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamgauge.definitions.schema import NULL
from streamgauge.events.content import content_digest
from streamgauge.events.record import DELETE, INSERT, REPLACE, Record

if TYPE_CHECKING:
    from collections.abc import Sequence


def record(  # noqa: PLR0913 - whatever a test's sentence is about
    event_id: str,
    at: int,
    *,
    position: int = 1,
    stream: str = "Movement",
    entity: str = "account:A",
    units: Sequence[int] = (),
    known_at: int | None = None,
    sequence: int = 0,
    revision: int = 0,
    delete: bool = False,
    imported: bool = False,
    schema: int = 1,
) -> Record:
    """Return a record of an event at ``at`` µs, known then too unless said otherwise.

    >>> record("a", at=5).known_at
    5
    """
    op = DELETE if delete else REPLACE if revision else INSERT
    values = [NULL] * len(units) if delete else list(units)
    body = np.array(values, np.int64).tobytes()
    known = at if known_at is None else known_at
    return Record(
        position=position,
        stream=stream,
        entity=entity,
        event_id=event_id,
        event_time=at,
        sequence=sequence,
        revision=revision,
        op=op,
        schema=schema,
        units=body,
        texts=b"",
        digest=content_digest(op, at, sequence, body, b""),
        accepted_at=known,
        known_at=known,
        imported=imported,
    )
