"""Observations: of whom, as of when, and knowing what."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from streamgauge.definitions.specs import ObserveSpec
    from streamgauge.events.record import Record
    from streamgauge.outcomes.events import Ints, Mask, ToldEvent

EVERYTHING: Final = 2**63 - 1
"""A position that no record has reached: a knowledge cut with it sees all that was known at its moment."""


@dataclass(frozen=True, slots=True)
class Observations:
    """The observations of one entity, in order of time.

    Attributes:
        t: int64[n], as of when, µs.
        known_at: int64[n], the knowledge moment, µs.
        position: int64[n], the observed record's position; ``EVERYTHING`` on a grid.
        imported: bool[n], whether the knowledge moment was declared by an import.
        event_ids: The observed events' ids, or None on a grid.
        others: By further role or pair that was asked for: the key of each observed event's entity, empty where the
            event was logged before its stream had that role.
    """

    t: Ints
    known_at: Ints
    position: Ints
    imported: Mask
    event_ids: tuple[str, ...] | None = None
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.t)

    def chosen(self, keep: Mask) -> Observations:
        """Return the observations where ``keep`` is true."""
        chosen = keep.tolist()
        ids = None if self.event_ids is None else tuple(compress(self.event_ids, chosen))
        others = {role: tuple(compress(keys, chosen)) for role, keys in self.others.items()}
        return Observations(self.t[keep], self.known_at[keep], self.position[keep], self.imported[keep], ids, others)


def observed_events(
    told: Iterable[ToldEvent], others: Iterable[str] = (), keys: Callable[[Record], Mapping[str, str]] | None = None
) -> Observations:
    """Return one observation for each live event of a stream: ``t = max(known_at, event_time)`` of its first record.

    A live record is cut at its own position, an imported one at its knowledge moment. A deleted event gives none.

    Args:
        told: The events.
        others: Further roles and pairs whose entities are asked for.
        keys: Returns the keys of a record's entities by role; needed with ``others``.
    """
    firsts: list[Record] = [event.first for event in told if event.live is not None and event.first is not None]
    firsts.sort(key=lambda record: (max(record.known_at, record.event_time), record.position))
    return Observations(
        np.array([max(record.known_at, record.event_time) for record in firsts], np.int64),
        np.array([record.known_at for record in firsts], np.int64),
        np.array([record.position for record in firsts], np.int64),
        np.array([record.imported for record in firsts], np.bool_),
        tuple(record.event_id for record in firsts),
        _others(firsts, tuple(others), keys),
    )


def _others(
    records: Sequence[Record], roles: tuple[str, ...], keys: Callable[[Record], Mapping[str, str]] | None
) -> dict[str, tuple[str, ...]]:
    if not roles or keys is None:
        return {}
    told = [keys(record) for record in records]
    return {role: tuple(one.get(role, "") for one in told) for role in roles}


def grid_moments(observe: ObserveSpec, first_known: int, moment: int) -> Ints:
    """Return the moments of a grid from an entity's first knowledge to the dataset's moment, int64[n] in µs.

    >>> from streamgauge.definitions.specs import ObserveSpec
    >>> grid_moments(ObserveSpec("every", "account", step_us=7, anchor_us=-3), 5, 30).tolist()
    [11, 18, 25]
    >>> grid_moments(ObserveSpec("at", "account", moments=(5, 10, 40)), 6, 30).tolist()
    [10]
    """
    if observe.kind == "at":
        named = np.array(observe.moments, np.int64)
        return named[(named >= first_known) & (named <= moment)]
    steps = -(-(first_known - observe.anchor_us) // observe.step_us)
    return np.arange(observe.anchor_us + steps * observe.step_us, moment + 1, observe.step_us, dtype=np.int64)


def grid_observations(observe: ObserveSpec, applied: Iterable[Record], moment: int) -> Observations:
    """Return one entity's observations on a grid: each sees what was known by its moment.

    Args:
        observe: The grid.
        applied: The entity's applied records.
        moment: The dataset's moment, µs.
    """
    known = [(record.known_at, record.imported) for record in applied]
    if not known:
        return Observations(_NO_TIMES, _NO_TIMES, _NO_TIMES, _NO_TIMES.astype(np.bool_))
    t = grid_moments(observe, min(known)[0], moment)
    first_import = min((at for at, imported in known if imported), default=EVERYTHING)
    return Observations(t, t, np.full(len(t), EVERYTHING, np.int64), t >= first_import)


def join(parts: Sequence[Observations]) -> Observations:
    """Return the observations of several entities, one after the other."""
    ids = None
    if parts and all(part.event_ids is not None for part in parts):
        ids = tuple(event_id for part in parts for event_id in part.event_ids or ())
    return Observations(
        np.concatenate([_NO_TIMES, *(part.t for part in parts)]),
        np.concatenate([_NO_TIMES, *(part.known_at for part in parts)]),
        np.concatenate([_NO_TIMES, *(part.position for part in parts)]),
        np.concatenate([_NO_TIMES.astype(np.bool_), *(part.imported for part in parts)]),
        ids,
        {
            role: tuple(key for part in parts for key in part.others[role])
            for role in (parts[0].others if parts else ())
        },
    )


_NO_TIMES: Final = np.empty(0, np.int64)
