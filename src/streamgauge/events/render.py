"""Rendering: a record becomes the flat event again that it was validated from, in its canonical form."""

from __future__ import annotations

from struct import unpack
from typing import TYPE_CHECKING, Final

from streamgauge.events.content import decode_texts
from streamgauge.events.record import DELETE, INSERT, REPLACE
from streamgauge.events.roles import role_ids
from streamgauge.events.values import format_time, format_units

if TYPE_CHECKING:
    from decimal import Decimal

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import NewRecord, Record

OP_NAMES: Final = {INSERT: "insert", REPLACE: "replace", DELETE: "delete"}

Rendered = dict[str, "Decimal | int | bool | str | None"]


def render(record: NewRecord | Record, spec: StreamSpec) -> Rendered:
    """Return the flat event of a record, ready for JSON once decimals are written as text.

    Args:
        record: The record.
        spec: Its stream, as declared under the record's schema.

    Returns:
        ``stream``, id, entities (without their roles), event time in UTC, the payload (none for a delete), and
        ``sequence``, ``revision`` and ``op`` where they are not 0, 0 and insert.

    >>> from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
    >>> from streamgauge.events.validate import validate_one
    >>> paid = StreamSpec("Paid", "id", "client", "at", (FieldSpec("amount", FieldKind.MONEY, 2),), 10**12, 10**9)
    >>> event = {"stream": "Paid", "id": "1", "client": "C-7", "at": "2024-05-01T02:00+02:00", "amount": 9.9}
    >>> render(validate_one(event, {"Paid": paid}), paid)
    {'stream': 'Paid', 'id': '1', 'client': 'C-7', 'at': '2024-05-01T00:00:00Z', 'amount': Decimal('9.90')}
    """
    event: Rendered = {
        "stream": record.stream,
        spec.event_id: record.event_id,
        **role_ids(record, spec),
        spec.event_time: format_time(record.event_time),
    }
    if record.op != DELETE:
        texts = iter(decode_texts(record.texts))
        for field, units in zip(spec.fields, unpack(f"<{len(spec.fields)}q", record.units), strict=True):
            event[field.name] = format_units(units, field, next(texts) if field.is_text else None)
    if record.sequence:
        event["sequence"] = record.sequence
    if record.revision or record.op != INSERT:
        event["revision"] = record.revision
        event["op"] = OP_NAMES[record.op]
    return event
