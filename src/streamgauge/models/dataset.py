"""The dataset of a model: its observations, their features under their own cuts, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import polars as pl

from streamgauge.definitions.schema import NULL
from streamgauge.definitions.texts import hash_text
from streamgauge.errors import TrainingRefused, UnknownName
from streamgauge.features.chunks import in_chunks, in_order
from streamgauge.features.decode import SchemaBook
from streamgauge.features.layout import Layouts
from streamgauge.models.gathering import Gatherer, Gathering
from streamgauge.outcomes.labels import LABELS, Labels, judge_labels
from streamgauge.outcomes.observations import join

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from streamgauge.definitions.specs import FeatureSpec, ModelSpec, ProjectSpec
    from streamgauge.events.record import Record
    from streamgauge.features.program import FeatureProgram
    from streamgauge.log.port import Log
    from streamgauge.outcomes.events import Ints, Mask
    from streamgauge.outcomes.observations import Observations

Progress: TypeAlias = "Callable[[str, int, int], None]"
"""Told of (what is being done, how much is done, of how much)."""

WORKERS: Final = 2


def silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Dataset:
    """Rows of a model, ordered by entity, then time.

    Attributes:
        model: The model's spec.
        program: The program that a server needs: the model's features, then the columns that ``active`` reads.
        active: The population's predicate over the program's columns, or None.
        entities: The keys of the entities, sorted.
        entity: int64[n], each row's entity by its number.
        t: int64[n], as of when, µs.
        known_at: int64[n], the knowledge moment, µs.
        position: int64[n], the observed record's position, ``EVERYTHING`` on a grid.
        imported: bool[n], whether the knowledge moment was declared by an import.
        event_id: The observed events' ids, or None on a grid.
        labels: What became of the rows.
        X: float64[n, features], NaN for null, C order.
        extra_names: The names of further features that were asked for beside the model's.
        extra: float64[n, extra features], their values.
        known: ``recorded``, ``declared`` where a row was imported, ``final`` with hindsight.
        last_position: The position up to which the log was read.
        moment: ``accepted_at`` of that position, µs.
        others: By further role or pair that is read: the key of each row's entity, see `Observations.others`.
    """

    model: ModelSpec
    program: FeatureProgram
    active: list[Any] | None
    entities: list[str]
    entity: Ints
    t: Ints
    known_at: Ints
    position: Ints
    imported: Mask
    event_id: tuple[str, ...] | None
    labels: Labels
    X: NDArray[np.float64]
    extra_names: tuple[str, ...]
    extra: NDArray[np.float64]
    known: Literal["recorded", "declared", "final"]
    last_position: int
    moment: int
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.t)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order of the columns."""
        return tuple(feature.name for feature in self.model.features)

    @property
    def usable(self) -> Mask:
        """Which rows are closed and good or bad, bool[n]."""
        return self.labels.usable

    @property
    def bad(self) -> NDArray[np.float64]:
        """1 bad, 0 good, NaN neither, float64[n]."""
        return self.labels.bad

    def counts(self) -> dict[str, int]:
        """Return how many rows have each label."""
        found = np.bincount(self.labels.code, minlength=len(LABELS))
        return {name: int(count) for name, count in zip(LABELS, found, strict=True)}

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The rows as a table: whom, when, the label, and a column for each feature."""
        stamp = pl.Datetime("us", "UTC")
        closes = pl.Series(self.labels.closes_at)
        bad = pl.Series(self.bad, nan_to_null=True).cast(pl.Int8)
        keys = pl.Series(self.entities, dtype=pl.String)
        head = {
            "entity": keys.gather(self.entity).str.split_exact(":", 1).struct.field("field_1"),
            "as_of": pl.Series(self.t).cast(stamp),
            "known_at": pl.Series(self.known_at).cast(stamp),
            "position": pl.Series(self.position),
            "event_id": pl.Series(self.event_id or [None] * len(self), dtype=pl.String),
            "label": pl.Series(list(LABELS)).gather(self.labels.code.astype(np.int64)),
            "bad": bad,
            "closes_at": closes.set(closes == NULL, None).cast(stamp),
            "imported": pl.Series(self.imported),
        }
        if self.event_id is None:
            head["position"] = pl.Series([None] * len(self), dtype=pl.Int64)
        return pl.DataFrame({**head, **self._feature_columns()})

    def _feature_columns(self) -> dict[str, pl.Series]:
        columns = {}
        for j, feature in enumerate(self.model.features):
            column = pl.Series(np.ascontiguousarray(self.X[:, j]), nan_to_null=True)
            if feature.levels:
                column = pl.Series(list(feature.levels)).gather(column.cast(pl.Int64))
            columns[feature.name] = column
        return columns


def build_dataset(
    project: ProjectSpec,
    model: ModelSpec,
    log: Log,
    *,
    workers: int = WORKERS,
    progress: Progress = silent,
    extra: Sequence[FeatureSpec] = (),
    position: int | None = None,
) -> Dataset:
    """Build the rows of a model from the log, as it stands at one position.

    Args:
        project: The project, for its streams.
        model: The model.
        log: The log.
        workers: How many threads compute features.
        progress: Told of the entities done.
        extra: Further features to compute for every row.
        position: Build the rows as they were built when this was the log's last position; None for its last of now.

    Raises:
        UnknownName: The log holds no record at that position.
        TrainingRefused: The log holds no entity to observe.
    """
    further = {model.name: extra}
    return build_datasets(project, [model], log, workers=workers, progress=progress, extra=further, position=position)[
        0
    ]


def build_datasets(
    project: ProjectSpec,
    models: Sequence[ModelSpec],
    log: Log,
    *,
    workers: int = WORKERS,
    progress: Progress = silent,
    extra: Mapping[str, Sequence[FeatureSpec]] | None = None,
    position: int | None = None,
) -> list[Dataset]:
    """Build the rows of several models from one reading of the log; all see it up to the same position.

    Args:
        project: The project, for its streams.
        models: The models; of one role where they are to share a reading.
        log: The log.
        workers: How many threads compute features.
        progress: Told of the entities done.
        extra: Further features to compute for every row of a model, by its name.
        position: Build the rows as they were built when this was the log's last position; None for its last of now.

    Raises:
        UnknownName: The log holds no record at that position.
        TrainingRefused: The log holds no entity to observe.
    """
    last = log.last_position() if position is None else position
    newest = log.get(last)
    if newest is None and position is not None:
        raise UnknownName(
            f"The log holds no record at position {position}. Its last position is {log.last_position()}."
        )
    moment = log.last_accepted_at() if newest is None else newest.accepted_at
    built: dict[str, Dataset] = {}
    for role in dict.fromkeys(model.observe.role for model in models):
        own = [model for model in models if model.observe.role == role]
        entities = log.entities(role)
        if not entities:
            raise TrainingRefused(
                f'Model "{own[0].name}" observes {role}, and the log holds none. Import or ingest events first.'
            )
        programs = [Gatherer.program_of(project, model, (extra or {}).get(model.name, ())) for model in own]
        layouts = Layouts.of([part for program in programs for part in program.parts()])
        book = SchemaBook(log.schema)
        gatherers = [
            Gatherer(project, model, program, layouts, book, last, moment)
            for model, program in zip(own, programs, strict=True)
        ]
        _read(log, entities, gatherers, last, workers, progress)
        built |= {one.model.name: _dataset(one, entities, log, last, moment, workers) for one in gatherers}
    return [built[model.name] for model in models]


def _read(
    log: Log, entities: list[str], gatherers: Sequence[Gatherer], last: int, workers: int, progress: Progress
) -> None:
    numbers = {entity: number for number, entity in enumerate(entities)}
    done = 0

    def gather(groups: list[tuple[str, list[Record]]]) -> tuple[list[str], list[Gathering]]:
        timeline = gatherers[0].timeline(groups)
        return timeline.entities, [one.gather(timeline) for one in gatherers]

    groups = log.read_by_entity(entities, last)
    for names, parts in in_order(gather, in_chunks(groups), workers):
        owners = np.array([numbers[name] for name in names], np.int64)
        for one, part in zip(gatherers, parts, strict=True):
            one.take(owners, part)
        done += len(names)
        progress("dataset", done, len(entities))


def _dataset(gathered: Gatherer, entities: list[str], log: Log, last: int, moment: int, workers: int) -> Dataset:
    model, rows = gathered.model, join(gathered.observations)
    owner, X, width = np.concatenate(gathered.owners), gathered.features(rows, log, workers), len(model.features)
    labels = judge_labels(model.label, gathered.outcomes(), owner, rows.t, _references(rows), moment)
    known: Literal["recorded", "declared"] = "declared" if rows.imported.any() else "recorded"
    return Dataset(
        model=model,
        program=gathered.program.serving,
        active=gathered.program.active,
        entities=entities,
        entity=owner,
        t=rows.t,
        known_at=rows.known_at,
        position=rows.position,
        imported=rows.imported,
        event_id=rows.event_ids,
        others=rows.others,
        labels=labels,
        X=np.ascontiguousarray(X[:, :width]),
        extra_names=gathered.program.computed.names[width:],
        extra=X[:, width:].copy(),
        known="final" if model.known == "final" else known,
        last_position=last,
        moment=moment,
    )


def _references(rows: Observations) -> Ints:
    """Return the hash of each observed event's id, as references hold it."""
    if rows.event_ids is None:
        return np.zeros(len(rows), np.int64)
    return np.array([hash_text(event_id) for event_id in rows.event_ids], np.int64)
