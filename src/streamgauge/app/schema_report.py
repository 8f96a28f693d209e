"""What is said of the streams' schemas: declarations, their changes, and drift."""

from __future__ import annotations

import msgspec


class SchemaChange(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between a stream's declaration and the newest form that the log knows.

    Attributes:
        stream: The stream.
        field: The field, empty where it is about the stream.
        what: Such as ``added field`` or ``more decimals``.
        safe: Whether older records can be read so; an unsafe change is refused at the next start.
        detail: What becomes of older records; where it is unsafe, with the next step.
    """

    stream: str
    field: str
    what: str
    safe: bool
    detail: str


class DriftAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What events showed that their stream does not declare. Names and types are kept, never values.

    Attributes:
        stream: The stream.
        field: The field; ``…`` for those beyond the first 200 of a stream.
        kind: ``new_field``, ``missing_field``, ``changed_type``, ``more_decimals`` or ``new_level``.
        outcome: ``quarantined``, ``ignored`` or ``kept``.
        events: In how many events.
        first_seen: When first.
        last_seen: When last.
        example: The JSON type of one value, or ``absent``.
    """

    stream: str
    field: str
    kind: str
    outcome: str
    events: int
    first_seen: str
    last_seen: str
    example: str


class StreamAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One declared stream.

    Attributes:
        stream: Its name.
        unknown: What becomes of fields that it does not declare: ``refuse``, ``ignore`` or ``keep``.
        fields: Its payload fields by name, with their kinds.
        forms: How many forms of it the log knows.
    """

    stream: str
    unknown: str
    fields: dict[str, str]
    forms: int


class SchemaAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The streams as they are declared, against the log and against what comes in.

    Attributes:
        streams: The streams of the project file as it is now.
        changes: Where it differs from the newest forms that the log knows.
        drift: What came in that is not declared.
        error: Why the project file cannot be loaded, or None.
    """

    streams: list[StreamAnswer]
    changes: list[SchemaChange]
    drift: list[DriftAnswer]
    error: str | None
