"""The door of events about several entities: an event's id stands for the same entities in every revision.

Were it otherwise, a correction would reach some of an event's entities and not others. So a record is looked up under
each of its entities before it is accepted; what contradicts an earlier one is quarantined whole, and every role's
records of an id are the same from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamgauge.definitions.roles import role_of
from streamgauge.events.body import body_of
from streamgauge.events.render import render
from streamgauge.events.roles import entities_of
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import NewRecord, Record


class RoleDoor:
    """Checks the records of one commit, in order.

    Args:
        find: Returns the first record of (stream, entity key, event id) that the log holds, or None.
        schema: Returns the stream as it was declared under a schema number.
    """

    def __init__(self, find: Callable[[str, str, str], Record | None], schema: Callable[[int], StreamSpec]) -> None:
        self._find = find
        self._schema = schema
        self._admitted: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def refusal(self, new: NewRecord, spec: StreamSpec, now_us: int) -> Quarantined | None:
        """Return why a record is not accepted, or None; then the records after it must agree with it.

        Args:
            new: The record.
            spec: Its stream, which has several roles.
            now_us: The log's clock, µs: when it is refused.
        """
        keys = tuple(entities_of(new, spec).values())[: len(spec.roles)]
        for key in keys:
            known = self._known(new, key)
            if known is not None and known != keys:
                return _refused(new, spec, keys, key, known, now_us)
        self._admitted |= {(new.stream, key, new.event_id): keys for key in keys}
        return None

    def _known(self, new: NewRecord, key: str) -> tuple[str, ...] | None:
        """Return the entities for which an id stands already, under one of them."""
        admitted = self._admitted.get((new.stream, key, new.event_id))
        if admitted is not None:
            return admitted
        found = self._find(new.stream, key, new.event_id)
        if found is None:
            return None
        spec = self._schema(found.schema)
        return tuple(entities_of(found, spec).values())[: len(spec.roles)]


def _refused(
    new: NewRecord, spec: StreamSpec, keys: tuple[str, ...], key: str, known: tuple[str, ...], now_us: int
) -> Quarantined:
    others = " and ".join(role_of(one) for one in keys if one not in known)
    return Quarantined(
        stream=new.stream,
        entity=new.entity,
        event_id=new.event_id,
        reason="identity_changed",
        detail=(
            f'The id "{new.event_id}" of {new.stream} stands for another event of this {role_of(key)}, with another '
            f"{others}. An event keeps its entities: delete it and send it under a new id; an id is one event's alone "
            "among all those of each of its entities."
        ),
        body=body_of(render(new, spec)),
        at=now_us,
    )
