"""Scenarios: two streams, the records of a few entities as a troubled log holds them, features, and moments to ask for.

Time runs on a coarse grid with odd microseconds, so that window edges, ties and records of the same time are common::

    unit  ├───┼───┼───┼───┼───┼───┼───┼───┼───┼───┼───┼───┼─ … ─┤   over 3 × (12 + 8) units
    event     a   b b'    c                       a late d          ties: b and b' share their time
    known     a     b   b'c                 ... d └──arrives 8 units late at most
                          └ c again (duplicate), c with other content (conflict), c moved, corrected, deleted
    import  ──────────────── events as old as 40 units, declared known then, appended now

A unit is a second, or ten days, so that 12 units are the longest window of a level's deviation: there, values near
±2**40 need the whole of 128 bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from hypothesis import strategies as st
from msgspec import structs

from streamgauge.definitions.schema import NULL, FieldKind, FieldSpec, StreamSpec
from streamgauge.definitions.specs import FeatureSpec, ProjectSpec
from streamgauge.definitions.texts import hash_text
from streamgauge.events.record import DELETE, Record
from streamgauge.testing.records import record
from tests.oracles.events import Cut
from tests.properties.features import among, catalogue, features_over

SECOND = 1_000_000
UNITS = (SECOND, 864_000 * SECOND)
PROJECT_UNIT = 1_296_000 * SECOND
WINDOW_UNITS, LATENESS_UNITS = 12, 8
OFFSETS = (0, 0, 0, 0, 1, 1, 2, 3, 5, 8, 8, -1)
ODDITIES = (0, 0, 0, 1, -1, 499_999, 500_000, 999_999)
PAUSES = (0, 0, 0, 0, 0, 1, 1, 1, 2, 9, 24)
AMOUNTS = (0, 0, 1, -1, 5, 100, -250, 12_345, 2**40, -(2**40), 2**40 - 1, 3 - 2**40, NULL, NULL)
SHARE = 7
"""Of the catalogue, every seventh feature is computed at a time."""
TEXTS = (*(hash_text(text) for text in ("", "acme", "Ω", "x" * 40)), NULL)
IDS = ("b", "a", "B", "é", "10", "9", "𝄞", "￿", "ab")

MOVE_FIELDS = (
    FieldSpec("amount", FieldKind.MONEY, decimals=2, required=False),
    FieldSpec("balance", FieldKind.MONEY, decimals=2, required=False),
    FieldSpec("days", FieldKind.INTEGER, required=False, default=4, low=-2, high=9),
    FieldSpec("paid", FieldKind.FLAG, required=False),
    FieldSpec("kind", FieldKind.CATEGORY, required=False, levels=("own", "card", "loan")),
    FieldSpec("place", FieldKind.CATEGORY, required=False),
    FieldSpec("who", FieldKind.KEY, required=False),
)
OLD_FIELDS = (
    FieldSpec("who", FieldKind.KEY, required=False),
    FieldSpec("kind", FieldKind.CATEGORY, required=False, levels=("loan", "own")),
    FieldSpec("gone", FieldKind.INTEGER, required=False),
    FieldSpec("amount", FieldKind.MONEY, decimals=0, required=False),
)
ASK_FIELDS = (
    FieldSpec("asked", FieldKind.NUMBER, decimals=4, required=False),
    FieldSpec("term", FieldKind.INTEGER, required=False),
    FieldSpec("purpose", FieldKind.CATEGORY, required=False),
)
OLD, MOVE, ASK = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Moment:
    """A row that is asked for."""

    entity: str
    t: int
    cut: Cut
    observed: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A log, features over it, and how the hosts are to be run.

    Attributes:
        streams: The streams' present forms.
        schemas: The forms that records were written under.
        records: The log in order of position.
        features: The features.
        moments: Rows to ask of the archive.
        waits: How long after the newest record a read happens, µs, in turn.
        fold_after: How many events beyond reach a state keeps before it folds them.
        restart_every: After how many records a state is written and read again.
        split: Where the features are divided into two programs that share a layout.
    """

    streams: dict[str, StreamSpec]
    schemas: dict[int, StreamSpec]
    records: list[Record]
    features: list[FeatureSpec]
    moments: list[Moment]
    waits: list[int]
    fold_after: int
    restart_every: int
    split: int

    @property
    def by_entity(self) -> dict[str, list[Record]]:
        """The records of each entity in order of position."""
        found: dict[str, list[Record]] = {}
        for item in self.records:
            found.setdefault(item.entity, []).append(item)
        return found


@st.composite
def scenarios(draw: st.DrawFn, *, from_catalogue: bool) -> Scenario:
    """Draw a scenario, its features at random or every so-many-th of the catalogue."""
    unit = draw(st.sampled_from(UNITS))
    schemas = _schemas(draw, unit)
    streams = {"Move": schemas[MOVE], "Ask": schemas[ASK]}
    if from_catalogue:
        features = catalogue(tuple(streams.values()), unit)[draw(st.integers(0, SHARE - 1)) :: SHARE]
    else:
        features = [draw(features_over(tuple(streams.values()), unit)) for _ in range(draw(among(1, 8, 16, 24)))]
    named = [replace(feature, name=f"F.f{number}") for number, feature in enumerate(features)]
    return _scenario(draw, unit, streams, schemas, (MOVE, MOVE, MOVE, ASK, OLD), named)


@st.composite
def project_scenarios(draw: st.DrawFn, project: ProjectSpec) -> Scenario:
    """Draw a scenario of a project's own streams and features, its models' observed fields among them."""
    schemas = dict(enumerate(project.streams.values(), start=11))
    often = [number for number, spec in schemas.items() for _ in range(4 if spec.feed else 1)]
    features = dict(project.features)
    for model in project.models.values():
        features |= {feature.name: feature for feature in model.features}
    return _scenario(draw, PROJECT_UNIT, project.streams, schemas, tuple(often), list(features.values()))


def _scenario(
    draw: st.DrawFn,
    unit: int,
    streams: dict[str, StreamSpec],
    schemas: dict[int, StreamSpec],
    often: tuple[int, ...],
    features: list[FeatureSpec],
) -> Scenario:
    records = draw(logs(unit, schemas, often))
    return Scenario(
        streams,
        schemas,
        records,
        features,
        draw(_moments(unit, records)) if records else [],
        draw(st.lists(_durations(unit, (0, 0, 1, 3, 12, 30)), min_size=1, max_size=4)),
        draw(among(0, 1, 3, 32)),
        draw(st.integers(1, 4)),
        draw(st.integers(0, len(features))),
    )


@st.composite
def logs(draw: st.DrawFn, unit: int, schemas: dict[int, StreamSpec], often: tuple[int, ...]) -> list[Record]:
    """Draw the records that a log accepted."""
    role = schemas[often[0]].entity
    entities = [f"{role}:{name}" for name in draw(among("A", "A", "AB", "ABC"))]
    clock = draw(among(0, 1_700_000_000 * SECOND, -5 * unit))
    records: list[Record] = []
    for number in range(draw(among(4, 20, 30, 45))):
        clock += draw(among(*PAUSES)) * unit + draw(among(0, 0, 1, 500_000))
        entity, schema = draw(among(*entities)), draw(among(*often))
        told = [item for item in records if item.entity == entity]
        new = _arrival(draw, unit, schemas, told, Place(entity, schema, clock, number))
        spec = schemas[new.schema]
        if -spec.tolerance_us <= new.known_at - new.event_time <= spec.lateness_us:
            records.append(structs.replace(new, position=3 * number + 1, accepted_at=clock))
    return records


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record arrives: of which entity, under which form if it is new, when, and as the how-manieth."""

    entity: str
    schema: int
    clock: int
    number: int


ACTIONS = (
    *(["new"] * 9 + ["tie"] * 3),
    *("early", "again", "again", "correct", "correct", "delete", "delete", "conflict", "moved", "insert"),
)
"""What may come next: a new event, one at the time of the last, a correction or delete that is early, …"""


def _arrival(draw: st.DrawFn, unit: int, schemas: dict[int, StreamSpec], told: list[Record], place: Place) -> Record:
    clock, number, schema = place.clock, place.number, place.schema
    imported = draw(among(*"lllllli")) == "i"
    offset = draw(among(*OFFSETS, 20, 40) if imported else among(*OFFSETS)) * unit
    event_time = clock - offset - draw(among(*ODDITIES))
    action = draw(among(*ACTIONS))
    if action in {"new", "early", "tie"} or not told:
        event_time = told[-1].event_time if told and action == "tie" else event_time
        event_id = IDS[4 * number % len(IDS)] + str(number // len(IDS) or "")
        revision = draw(among(1, 2)) if action == "early" else 0
        delete = revision > 0 and draw(st.booleans())
        known = _known(draw, unit, event_time, clock, imported=imported)
    else:
        first = told[-1 - draw(st.integers(0, min(len(told), 12) - 1))]
        event_id, schema, delete = first.event_id, first.schema, action == "delete"
        event_time = event_time if action == "moved" else first.event_time
        revision = draw(st.integers(1, 3)) if action in {"correct", "delete"} else first.revision
        revision = 0 if action == "insert" else revision
        known = _known(draw, unit, event_time, clock, imported=imported)
        if action == "again":
            return structs.replace(first, known_at=known, imported=imported)
    return record(
        event_id,
        event_time,
        stream=schemas[schema].name,
        entity=place.entity,
        units=[draw(_values(field, old=schema == OLD)) for field in schemas[schema].fields],
        known_at=known,
        sequence=draw(among(0, 0, 0, 1, -1)),
        revision=revision,
        delete=delete,
        imported=imported,
        schema=schema,
    )


def _known(draw: st.DrawFn, unit: int, event_time: int, clock: int, *, imported: bool) -> int:
    return min(clock, event_time + draw(among(0, 1, 8)) * unit) if imported else clock


@cache
def _values(field: FieldSpec, *, old: bool) -> st.SearchStrategy[int]:
    if field.is_text:
        return st.sampled_from(TEXTS)
    if field.levels is not None:
        return st.sampled_from((*range(len(field.levels)), NULL))
    if field.kind is FieldKind.FLAG:
        return st.sampled_from((0, 1, NULL))
    if field.low is not None and field.high is not None:
        return st.sampled_from((*range(field.low, field.high + 1), NULL))
    if old:
        return st.integers(-300, 300)
    return st.sampled_from(AMOUNTS) | st.integers(-(2**40), 2**40)


def _schemas(draw: st.DrawFn, unit: int) -> dict[int, StreamSpec]:
    lateness = draw(among(LATENESS_UNITS, LATENESS_UNITS, 2)) * unit
    tolerance = draw(among(0, 2)) * unit
    move = StreamSpec("Move", "id", "account", "at", MOVE_FIELDS, lateness, tolerance, feed=draw(st.booleans()))
    ask = StreamSpec("Ask", "id", "account", "at", ASK_FIELDS, unit * LATENESS_UNITS, unit, feed=draw(st.booleans()))
    return {OLD: replace(move, fields=OLD_FIELDS), MOVE: move, ASK: ask}


@cache
def _durations(unit: int, numbers: tuple[int, ...]) -> st.SearchStrategy[int]:
    return st.builds(lambda n, odd: max(n * unit + odd, 0), st.sampled_from(numbers), st.sampled_from(ODDITIES))


@st.composite
def _moments(draw: st.DrawFn, unit: int, records: list[Record]) -> list[Moment]:
    """Draw moments at, before and after edges of windows, under cuts of both kinds.

    ::

        event      e
        t          e − 1 µs, e, e + 1 µs, e + w − 1 µs, e + w, e + w + 1 µs
        cut        position ≤ k   or   (known at, position) ≤ (K, p)
    """
    moments: list[Moment] = []
    for _ in range(draw(among(0, 4, 12))):
        near, cut = draw(st.sampled_from(records)), draw(st.sampled_from(records))
        t = near.event_time + draw(_durations(unit, (0, 0, 1, 2, 3, 5, 12)))
        known = draw(among(None, cut.known_at, cut.known_at - 1, t))
        position = draw(among(cut.position, cut.position - 1, records[-1].position))
        observed = draw(among(None, None, near))
        moments.append(
            Moment(
                near.entity,
                t if observed is None else max(t, observed.event_time),
                Cut(position, known),
                None if observed is None else (observed.stream, observed.event_id),
            )
        )
    return moments


def observation(item: Record) -> Moment | None:
    """Return the moment of a record that is scored as it arrives, None where it is a delete or an import."""
    if item.op == DELETE or item.imported:
        return None
    return Moment(item.entity, max(item.known_at, item.event_time), Cut(item.position), (item.stream, item.event_id))
