"""Events of several entities: whose records an entity has, and what an observation sees of each of its entities.

Written from the law alone: one event, one acceptance, and a record under every role and every pair of roles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from msgspec import structs

from streamgauge.definitions.schema import StreamSpec
from streamgauge.definitions.specs import FeatureSpec, Tree
from streamgauge.events.record import Record
from tests.oracles.events import Asked, Cut, Schemas, Seen, see
from tests.oracles.plain import aggregate, finite, operate


@dataclass(frozen=True, slots=True)
class Told:
    """An accepted event: the record that the log answered, and its entities' ids by role."""

    record: Record
    ids: Mapping[str, str]

    @property
    def keys(self) -> dict[str, str]:
        """Each role's and each pair's entity: a pair's names in alphabetical order, its ids with % and | escaped."""
        keys = {role: f"{role}:{found}" for role, found in self.ids.items()}
        for pair in combinations(self.ids, 2):
            a, b = sorted(pair)
            ids = [self.ids[role].replace("%", "%25").replace("|", "%7C") for role in (a, b)]
            keys[f"{a}|{b}"] = f"{a}|{b}:{ids[0]}|{ids[1]}"
        return keys


def records_by_entity(log: Sequence[Told]) -> dict[str, list[Record]]:
    """Return each entity's records: an event's follow one another, its primary entity's first."""
    found: dict[str, list[Record]] = {}
    for told in log:
        for number, key in enumerate(told.keys.values()):
            record = structs.replace(told.record, entity=key, position=told.record.position + number)
            found.setdefault(key, []).append(record)
    return found


def observe(
    told: Told,
    log: Sequence[Told],
    features: Sequence[FeatureSpec],
    streams: Mapping[str, StreamSpec],
    schemas: Schemas,
) -> list[float | None]:
    """Return an observation's features.

    A live one sees positions up to its own, an imported one what was known by then; of its other entities what was
    known strictly earlier.
    """
    own, entities = told.record, records_by_entity(log)
    t, event = max(own.known_at, own.event_time), (own.stream, own.event_id)
    seen: dict[str, Seen] = {}
    for role, key in told.keys.items():
        cut = Cut(own.position)
        if own.imported:
            cut = Cut(own.position if role == next(iter(told.ids)) else -1, own.known_at)
        seen[role] = see(entities[key], schemas, streams, t, cut, event)
    return [_evaluate(feature.expression, seen, streams) for feature in features]


def values_of_roles(
    moments: Mapping[str, Asked],
    entities: Mapping[str, Sequence[Record]],
    features: Sequence[FeatureSpec],
    streams: Mapping[str, StreamSpec],
    schemas: Schemas,
) -> list[float | None]:
    """Return features over what is asked for of each role, whose entities' records are given by key."""
    seen = {
        role: see(entities.get(one.entity, []), schemas, streams, one.t, one.cut, one.observed)
        for role, one in moments.items()
    }
    return [_evaluate(feature.expression, seen, streams) for feature in features]


def _evaluate(tree: Tree, seen: Mapping[str, Seen], streams: Mapping[str, StreamSpec]) -> float | None:
    match tree:
        case ("agg", spec):
            return finite(aggregate(spec, seen[spec.role or streams[spec.stream].entity]))
        case ("const", value):
            return finite(value)
        case ("neg", a):
            value = _evaluate(a, seen, streams)
            return None if value is None else finite(-value)
        case (op, a, b):
            return operate(op, _evaluate(a, seen, streams), _evaluate(b, seen, streams))
    raise AssertionError(tree)
