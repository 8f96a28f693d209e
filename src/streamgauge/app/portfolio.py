"""The whole portfolio as of one moment: every active entity's score, under one cut."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from streamgauge.app.reading import Question
from streamgauge.app.tables import check_target, write_table
from streamgauge.errors import UnknownName
from streamgauge.features.chunks import in_order
from streamgauge.features.packed_states import PackedStates, StatePage
from streamgauge.features.stored import StoredFeatures
from streamgauge.outcomes.population import holds_many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from streamgauge.app.engine import Engine
    from streamgauge.app.live import LiveModel
    from streamgauge.app.reading import Reader
    from streamgauge.app.service import Progress
    from streamgauge.clock import Clock
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log

_BATCH: Final = 2_000
_WORKERS: Final = 2


@dataclass(frozen=True, slots=True)
class _Scored:
    """One batch: the ids of its active entities and their scores, and how many entities were looked at."""

    entities: pl.Series
    pd: NDArray[np.float64]
    points: NDArray[np.float64]
    margin: NDArray[np.float64]
    seen: int


@dataclass(frozen=True, slots=True)
class _Cut:
    """Knowing all that was applied up to `position`, the last of it learnt at `known_at`, as of `as_of` in µs."""

    as_of: int
    position: int
    known_at: int


def score_portfolio(
    log: Log,
    engine: Engine,
    reader: Reader,
    served: LiveModel,
    clock: Clock,
    out: Path,
    progress: Progress,
) -> int:
    """Write every active entity's score as of one moment, and return how many there are.

    Events go on being applied meanwhile; an entity that is reached by one is read from the log instead, so that all
    scores know the same. The table has the columns ``entity pd points margin as_of position known_at model
    version``, sorted by entity.

    Args:
        log: The log.
        engine: Keeps the states.
        reader: Answers where a state does not.
        served: The model, one that scores entities.
        clock: The moment; an entity's newest event never lies behind it by more than its stream's tolerance.
        out: A file that ends in ``.parquet``, ``.csv``, ``.jsonl`` or ``.ndjson``.
        progress: Told how many entities are scored.

    Raises:
        SettingsError: The file cannot be written.
    """
    check_target(out)
    applied, pending = engine.settle()
    store = engine.applier.store
    newest = log.get(applied)
    known = 0 if newest is None else newest.accepted_at
    cut = _Cut(max(clock.now_us(), known), applied, known)
    stored = StoredFeatures(served.bound)
    of = store.count()

    def work(page: StatePage) -> _Scored:
        return _score(stored, reader, served, cut, page)

    parts: list[_Scored] = []
    done = 0
    for part in in_order(work, _pages(store, f"{served.serving.role}:", pending), _WORKERS):
        parts.append(part)
        done += part.seen
        progress("scoring the portfolio", done, max(done, of))
    progress("scoring the portfolio", done, done)
    _write(parts, served, cut, out)
    return sum(len(part.entities) for part in parts)


def _pages(store: StateStore, prefix: str, pending: frozenset[str]) -> Iterator[StatePage]:
    """Yield the states of a role's entities; of those whose states lack records, an empty one."""
    left = {key for key in pending if key.startswith(prefix)}
    for page in store.states(prefix):
        lacking = [number for number, key in enumerate(page.keys) if key in left] if left else []
        left.difference_update([page.keys[number] for number in lacking])
        yield StatePage(page.keys, page.states.without(lacking))
    keys = sorted(left)
    for start in range(0, len(keys), _BATCH):
        some = keys[start : start + _BATCH]
        yield StatePage(some, PackedStates.of([None] * len(some)))


def _score(stored: StoredFeatures, reader: Reader, served: LiveModel, cut: _Cut, page: StatePage) -> _Scored:
    import polars as pl

    rows, found = stored.compute(page.states, cut.as_of, cut.position)
    for number in np.flatnonzero(~found).tolist():
        with suppress(UnknownName):  # its first event came after the cut
            rows[number] = reader.read(Question(page.keys[number], cut.as_of, cut.position), served.bound).row
            found[number] = True
    predicate = served.serving.active
    if predicate is not None:
        names = served.loaded.program.names
        found &= holds_many(predicate, {name: rows[:, j] for j, name in enumerate(names)}, len(rows))
    chosen = np.flatnonzero(found)
    scores = served.scorer.score_many(served.inputs(rows if len(chosen) == len(rows) else rows[chosen]))
    ids = [page.keys[number].partition(":")[2] for number in chosen.tolist()]
    return _Scored(pl.Series(ids, dtype=pl.String), scores.pd, scores.points, scores.margin, len(page.keys))


def _write(parts: Sequence[_Scored], served: LiveModel, cut: _Cut, out: Path) -> None:
    import polars as pl

    def column(name: str) -> NDArray[np.float64]:
        return np.concatenate([np.empty(0), *(getattr(part, name) for part in parts)])

    frame = pl.DataFrame(
        {
            "entity": pl.concat([pl.Series(dtype=pl.String), *(part.entities for part in parts)]),
            **{name: column(name) for name in ("pd", "points", "margin")},
        }
    ).with_columns(
        pl.lit(cut.as_of).cast(pl.Datetime("us", "UTC")).alias("as_of"),
        pl.lit(cut.position).cast(pl.Int64).alias("position"),
        pl.lit(cut.known_at).cast(pl.Datetime("us", "UTC")).alias("known_at"),
        pl.lit(served.name).alias("model"),
        pl.lit(served.version).cast(pl.Int64).alias("version"),
    )
    # Entities whose states lack records, and those with very long keys, came last.
    write_table(frame if frame["entity"].is_sorted() else frame.sort("entity"), out)
