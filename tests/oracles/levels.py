"""A level: a value holds from its event until the next one's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamgauge.definitions.specs import AggregateSpec
from tests.oracles.aggregates import DAY_SECONDS, SECOND, deviation, over, rn
from tests.oracles.conditions import keeps
from tests.oracles.events import Seen


class Held(NamedTuple):
    """A value and the time it held: from `start` until just before `end`, or until now where that is None."""

    value: int
    start: int
    end: int | None


class Piece(NamedTuple):
    """The part of a held value that lies in the window: whole seconds of age, ``a`` at its start, ``b`` at its end."""

    value: int
    a: int
    b: int


def level(spec: AggregateSpec, seen: Seen) -> float | None:
    """Return an aggregate of a level."""
    held = _held(spec, seen)
    if not held:
        return None
    now, scale = held[-1].value, 10**spec.decimals
    if spec.kind == "level_now":
        return over(now, scale)
    if spec.kind == "level_since_below":
        return _since_below(spec, held, seen.t)
    pieces = _pieces(held, seen.t, spec.window.width_us)
    match spec.kind:
        case "level_min":
            return over(min(piece.value for piece in pieces), scale)
        case "level_max":
            return over(max(piece.value for piece in pieces), scale)
        case "level_time_below":
            return rn(sum(piece.a - piece.b for piece in pieces if piece.value < spec.threshold))
    return _weighed(spec, pieces)


def _held(spec: AggregateSpec, seen: Seen) -> list[Held]:
    assert spec.field is not None
    at: dict[int, int] = {}
    for event in seen.up_to_now(spec.stream, prior=spec.prior):
        value = event.values[spec.field]
        if value is not None and keeps(spec.where, event.values):
            at[event.time] = value
    starts = sorted(at)
    ends = [*starts[1:], None] if starts else []
    return [Held(at[start], start, end) for start, end in zip(starts, ends, strict=True)]


def _pieces(held: Sequence[Held], t: int, width: int) -> list[Piece]:
    pieces: list[Piece] = []
    for value in held:
        if value.end is not None and value.end <= t - width:
            continue
        a = width // SECOND if value.start <= t - width else (t - value.start) // SECOND
        pieces.append(Piece(value.value, a, 0 if value.end is None else (t - value.end) // SECOND))
    return pieces


def _weighed(spec: AggregateSpec, pieces: Sequence[Piece]) -> float | None:
    scale = 10**spec.decimals
    seconds = sum(piece.a - piece.b for piece in pieces)
    if seconds == 0:
        return None
    s1 = sum(piece.value * (piece.a - piece.b) for piece in pieces)
    s2 = sum(piece.value**2 * (piece.a - piece.b) for piece in pieces)
    moment = sum(piece.value * (piece.a**2 - piece.b**2) for piece in pieces)
    match spec.kind:
        case "level_mean":
            return over(s1, seconds * scale)
        case "level_std":
            return deviation(seconds, s1, s2, scale)
        case "level_slope":
            return rn(6 * (seconds * s1 - moment)) * DAY_SECONDS / rn(seconds**3 * scale)
    raise AssertionError(spec.kind)


def _since_below(spec: AggregateSpec, held: Sequence[Held], t: int) -> float | None:
    if held[-1].value < spec.threshold:
        return 0.0
    ends = [value.end for value in held if value.value < spec.threshold and value.end is not None]
    if not ends or ends[-1] <= t - spec.window.width_us:
        return None
    return over(t - ends[-1], SECOND)
