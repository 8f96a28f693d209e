"""Events about several entities: from the primary entity's record to those of its other roles and pairs.

At the door, in the answers and in the quarantine an event is one record: its primary entity's. The log keeps that one
and, right behind it, one for each other role and each pair, alike but for entity and position.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from streamgauge.definitions.roles import keys_of, role_of
from streamgauge.events.content import decode_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import NewRecord, Record


def role_ids(record: NewRecord | Record, spec: StreamSpec) -> dict[str, str]:
    """Return the id of each of an event's entities by role, the primary one first.

    Args:
        record: A record of the event, of any of its roles.
        spec: Its stream, as declared under the record's schema.
    """
    if not spec.other_roles:
        return {spec.entity: record.entity.partition(":")[2]}
    texts = decode_texts(record.texts)
    return {role: str(texts[place]) for role, place in zip(spec.roles, _places(spec), strict=True)}


def entities_of(record: NewRecord | Record, spec: StreamSpec) -> dict[str, str]:
    """Return the keys of an event's entities by role or pair, the primary one first.

    >>> from streamgauge.events.validate import validate_one
    >>> from streamgauge.testing.streams import PAYMENT, ROLE_STREAMS
    >>> event = {"stream": "Payment", "id": "p", "card": "C", "merchant": "M", "at": "2024-05-01T00:00Z", "amount": 1}
    >>> entities_of(validate_one(event, ROLE_STREAMS), PAYMENT)["card|merchant"]
    'card|merchant:C|M'
    """
    if not spec.other_roles:
        return {spec.entity: record.entity}
    return keys_of(role_ids(record, spec))


def is_primary(record: NewRecord | Record, spec: StreamSpec) -> bool:
    """Return whether a record is the one of its event's primary entity."""
    return not spec.other_roles or role_of(record.entity) == spec.entity


def expand(record: Record, spec: StreamSpec) -> list[Record]:
    """Return the records that the log keeps of an event, in order of position, from its primary entity's."""
    if not spec.other_roles:
        return [record]
    return [
        msgspec.structs.replace(record, entity=entity, position=record.position + number)
        for number, entity in enumerate(entities_of(record, spec).values())
    ]


def expand_all(records: Iterable[Record], spec_of: Callable[[int], StreamSpec]) -> Iterator[Record]:
    """Yield what the log keeps of several events, from their primary entities' records.

    Args:
        records: The records.
        spec_of: The stream, as declared under a schema number.
    """
    for record in records:
        yield from expand(record, spec_of(record.schema))


@lru_cache(maxsize=256)
def _places(spec: StreamSpec) -> tuple[int, ...]:
    """Return where each role's id is among the texts of a record."""
    texts = [field.name for field in spec.fields if field.is_text]
    return tuple(texts.index(role) for role in spec.roles)
