"""The acceptance test: from the record alone, never a wall clock, so that every host decides the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.events.arrival import Arrival
from streamgauge.events.render import render
from streamgauge.events.values import format_time
from streamgauge.log.port import Quarantined

if TYPE_CHECKING:
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.events.record import NewRecord

_UNITS: Final = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"))


def refusal(new: NewRecord, spec: StreamSpec, known_at: int, now_us: int) -> Quarantined | None:
    """Return why a record is not accepted, or None where −tolerance ≤ known_at − event_time ≤ lateness.

    Args:
        new: The record.
        spec: Its stream.
        known_at: When it became known, µs.
        now_us: The log's clock, µs: when it is refused.
    """
    lag = known_at - new.event_time
    if -spec.tolerance_us <= lag <= spec.lateness_us:
        return None
    late = lag > 0
    happened = f"The event happened at {format_time(new.event_time)} and became known "
    detail = happened + (
        f"{duration(lag)} later; {new.stream} accepts {duration(spec.lateness_us)}. "
        "Import history with its arrival declared (known_after or known_at), or raise lateness= on the stream."
        if late
        else f"{duration(-lag)} earlier; {new.stream} accepts {duration(spec.tolerance_us)}. "
        "Correct the sender's clock or zone, or raise tolerance= on the stream."
    )
    return Quarantined(
        stream=new.stream,
        entity=new.entity,
        event_id=new.event_id,
        reason="too_late" if late else "too_early",
        detail=detail,
        body=msgspec.json.encode(render(new, spec)).decode(),
        at=now_us,
        arrival=None if new.declared_known_at is None else Arrival(known_at_us=new.declared_known_at),
    )


def duration(span_us: int) -> str:
    """Return a span as a person says it, to two units.

    >>> duration(93_784_000_000)
    '1d 2h'
    """
    parts: list[str] = []
    for unit, name in _UNITS:
        count, span_us = divmod(span_us, unit)
        if count or parts:
            parts.append(f"{count}{name}")
    return " ".join(parts[:2]) if parts else f"{span_us}µs"
