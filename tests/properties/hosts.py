"""Everything that gives a value, run on one troubled stream, and compared with everything else that gives it.

::

    engine     scores published as each event was applied         ┐
    api        features read over HTTP, now and then              │
    replay     the same reads again, of the past, at the end      ├  one backfill of all of them: the same bits
    verify     decisions, recomputed from record and log          │
    oracles    plain Python and SQL, of a sample                  ┘

The owner is closed and opened, imports reach back, and batches and caches are of any size meanwhile.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from streamgauge.app.answers import PublishedScore
from streamgauge.app.api.application import create_app
from streamgauge.app.live import LiveModel
from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place, find_place
from streamgauge.clock import FixedClock
from streamgauge.definitions.texts import open_code
from streamgauge.features.backfill import Requests, backfill
from streamgauge.models.train import train_models
from tests.oracles.events import Cut
from tests.oracles.plain import values as plain_values
from tests.oracles.sql import SqlOracle
from tests.properties.gate import bits
from tests.properties.streams import Moment
from tests.properties.troubled import DAY, HOUR, START, Troubled, sent

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OF_ONE_ENTITY = 4
Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]


def quiet(_what: str, _done: int, _total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class Law:
    """A project whose hosts are compared.

    Attributes:
        files: Its project file and settings.
        models: Its models.
        past: What they are trained on: streams, and how many events of each.
        source: Where its events come from.
    """

    files: Path
    models: tuple[str, ...]
    past: tuple[tuple[str, int], ...]
    source: Callable[[int, int], Troubled]


ACCOUNTS = Law(
    Path(__file__).parent / "law", ("watch", "answer"), (("Move", 2_000), ("Ask", 1_500), ("Bad", 250)), Troubled
)


def train(root: Path, law: Law = ACCOUNTS) -> None:
    """Make a project directory at `root` with the models of a law's project trained."""
    shutil.copytree(law.files, root, ignore=shutil.ignore_patterns("__pycache__"))
    past = law.source(0, 60)
    with Owner.open(find_place(root), clock=FixedClock(START)) as owner:
        for stream, events in law.past:
            owner.import_frame(past.history(stream, events, 400 * DAY), stream, known_at="known_at")
        train_models(owner.project, law.models, owner.log, owner.registry, workers=1, progress=quiet)


def train_once(base: Path, worker: str, law: Law = ACCOUNTS) -> Path:
    """Return a project directory with the models of a law's project, trained once however many processes test.

    Args:
        base: This process's folder of temporary files.
        worker: The name of the process, "master" if there is but one.
        law: The law.
    """
    shared = base if worker == "master" else base.parent
    root = shared / law.files.name
    with (shared / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            train(shared / f"{root.name}.new", law)
            (shared / f"{root.name}.new").rename(root)
    return root


def untouched(trained: Path, root: Path, settings: str = "", law: Law = ACCOUNTS) -> Place:
    """Return a project directory at `root` with the trained models, and no event."""
    shutil.copytree(law.files, root, ignore=shutil.ignore_patterns("__pycache__"))
    kept = find_place(trained)
    place = find_place(root)
    place.data.mkdir(parents=True)
    for name in ("models", "registry"):
        if (kept.data / name).exists():
            shutil.copytree(kept.data / name, place.data / name)
    (root / "streamgauge.toml").write_text((law.files / "streamgauge.toml").read_text() + settings)
    return find_place(root)


@dataclass(frozen=True, slots=True)
class Read:
    """One answer of the API: an entity's features as of a moment, knowing the log up to a position."""

    entity: str
    t: int
    position: int
    values: dict[str, float | str | None]


@dataclass
class Run:
    """What the hosts answered while a stream ran.

    Attributes:
        place: The project directory.
        source: Where events come from.
        seed: The seed of what happens beside them.
        sent: How many events were sent.
        refused: How many of them were refused.
        restarts: How often the owner was closed and opened.
        imports: How many times history was imported.
        scores: What was published, by id.
        reads: What was read over HTTP.
        decided: How many decisions were made.
        restart_share: The share of troubles that are restarts.
        decided_share: The share of batches of which one event is decided.
    """

    place: Place
    source: Troubled
    seed: int
    sent: int = 0
    refused: int = 0
    restarts: int = 0
    imports: int = 0
    scores: dict[str, PublishedScore] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    decided: int = 0
    restart_share: float = 0.15
    decided_share: float = 0.3
    _owner: Owner | None = None
    _seen: int = 0

    def __post_init__(self) -> None:
        """Start the generator of what happens beside the stream."""
        self._draw = np.random.default_rng([self.seed, 1])
        self.clock = FixedClock(self.source.now)

    @property
    def owner(self) -> Owner:
        """The owner that is open."""
        assert self._owner is not None
        return self._owner

    @contextmanager
    def opened(self) -> Iterator[Run]:
        """Own the directory."""
        self._open()
        try:
            yield self
        finally:
            self.owner.close()
            self._owner = None

    def _open(self) -> None:
        self._owner = Owner.open(self.place, clock=self.clock)
        self._app = create_app(self._owner, None)

    def stream(
        self, events: int, size: int, *, troubles: float, pace_us: int = HOUR, progress: Progress = quiet
    ) -> None:
        """Send events, and let other things happen with a chance of `troubles` after each batch."""
        for batch in self.source.batches(events, size, pace_us=pace_us):
            self.clock.set(self.source.now)
            self._take(batch)
            if self._draw.random() < troubles:
                self._trouble()
            progress("events", self.sent, events)
        self._collect()

    def _take(self, batch: list[dict[str, Any]]) -> None:
        flat = sent(batch)
        decided = [event for event in flat if event["stream"] == self.source.DECIDED and "op" not in event][:1]
        if decided and self._draw.random() < self.decided_share:
            flat.remove(decided[0])
            number = len(self.scores) + self.decided
            answer = self.ask("POST", "/v1/decisions", {"decision_id": f"d{number}", "event": decided[0]})
            assert answer.status_code in {200, 201, 409, 422}, answer.text
            self.decided += answer.status_code < 400
        answered = self.owner.ingest(flat, applied=True)
        self.sent += len(batch)
        self.refused += answered.quarantined
        self._collect()

    def _trouble(self) -> None:
        chance = self._draw.random()
        if chance < self.restart_share:
            self.owner.close()
            self._open()
            self.restarts += 1
        elif chance < self.restart_share + 0.1:
            stream = str(self._draw.choice(self.source.REACHING))
            frame = self.source.history(stream, int(self._draw.integers(1, 40)), 60 * DAY)
            self.owner.import_frame(frame, stream, known_at="known_at")
            self.imports += 1
        else:
            if chance < 0.5:
                self.clock.advance(int(self._draw.integers(0, 40)) * DAY // 4 + int(self._draw.choice((0, 1, HOUR))))
            self.read(self.source.entity())
            self.clock.set(self.source.now)

    def read(self, entity: str) -> None:
        """Read an entity's features over HTTP."""
        answer = self.ask("GET", self.features_of(entity))
        if answer.status_code == 404:
            return
        assert answer.status_code == 200, answer.text
        found = answer.json()
        self.reads.append(Read(entity, micros(found["as_of"]), found["position"], found["features"]))

    def features_of(self, entity: str) -> str:
        """Return where an entity's features are read."""
        return f"/v1/entities/{quote(entity, safe='')}/features?model={self.source.READ}"

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask the application, in this process, as a client does."""

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, json=body)

        return asyncio.run(asked())

    def _collect(self) -> None:
        while scores := self.owner.scores_after(self._seen, 10_000):
            for _, body in scores:
                score = msgspec.json.decode(body, type=PublishedScore)
                before = self.scores.setdefault(score.id, score)
                assert before == score, f"Published twice, differently: {before} and {score}"
            if scores[-1][0] == self._seen:
                return
            self._seen = scores[-1][0]


def compare(run: Run, *, sample: int, progress: Progress = quiet) -> Counter[str]:
    """Compare all that a run's hosts answered; return how many values each comparison was of.

    Raises:
        AssertionError: A value differs.
    """
    counts: Counter[str] = Counter()
    live = run.owner.live.models
    rows: dict[str, Floats] = {}
    moments: dict[str, list[Moment]] = {}
    for name, model in live.items():
        scores = [score for score in run.scores.values() if score.model == name]
        moments[name] = [_moment(score, model) for score in scores]
        rows[name] = _backfilled(run, model, moments[name], progress)
        compare_scores(scores, model, rows[name])
        counts[f"engine: scores of {name}"] = len(scores)
    watch = live["watch"]
    read = [Moment(f"account:{one.entity}", one.t, Cut(one.position)) for one in run.reads]
    counts["api: features"] = _compare_reads(run.reads, watch, _backfilled(run, watch, read, progress))
    counts["replay: features"] = compare_replay(run, sample)
    verified = run.owner.verify(progress)
    assert (verified.mismatch, verified.chain, verified.match) == (0, "intact", verified.checked), verified
    counts["verify: decisions"] = verified.checked
    for name, model in live.items():
        entities = [(moment.entity,) for moment in moments[name]]
        chosen = few_of_each(np.random.default_rng([run.seed, 2]), entities, sample)
        picked = [moments[name][place] for place in chosen]
        counts["oracles: features"] += _compare_oracles(run, model, picked, rows[name][chosen], progress)
    return counts


def micros(text: str) -> int:
    """Return a moment of an answer in µs."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def _moment(score: PublishedScore, model: LiveModel) -> Moment:
    observed = (score.stream, score.event_id) if model.observes_events else None
    return Moment(f"account:{score.entity}", micros(score.as_of), Cut(score.position), observed)


def _backfilled(run: Run, model: LiveModel, moments: Sequence[Moment], progress: Progress) -> Floats:
    requests = Requests.of(
        [moment.entity for moment in moments],
        np.array([moment.t for moment in moments], np.int64),
        np.array([moment.cut.position for moment in moments], np.int64),
        None,
        [moment.observed for moment in moments],
    )
    told = lambda done, total: progress("backfill", done, total)  # noqa: E731
    return backfill(run.owner.log, model.bound, requests, workers=2, progress=told)


def compare_scores(scores: Sequence[PublishedScore], model: LiveModel, rows: Floats) -> None:
    if not scores:
        return
    again = model.scorer.score_many(model.inputs(rows))
    for place, score in enumerate(scores):
        found = (float(again.pd[place]), float(again.points[place]))
        assert found == (score.pd, score.points), f"published {score}, backfilled {found}"


def _compare_reads(reads: Sequence[Read], model: LiveModel, rows: Floats) -> int:
    program = model.loaded.program
    levels = program.categories()
    compared = 0
    for one, row in zip(reads, rows, strict=True):
        for name, value in zip(program.names, row.tolist(), strict=True):
            if name in one.values:
                told = code(one.values[name], levels.get(name))
                assert bits(told) == bits(value), f"{name} of {one}: backfilled {value!r}"
                compared += 1
    return compared


def code(value: float | str | None, levels: tuple[str, ...] | None) -> float | None:
    if not isinstance(value, str):
        return value
    return float(levels.index(value)) if levels else open_code(value)


def compare_replay(run: Run, sample: int) -> int:
    compared = 0
    for one in run.reads[:: max(len(run.reads) // sample, 1)]:
        again = run.ask("GET", f"{run.features_of(one.entity)}&as_of={one.t}&position={one.position}").json()[
            "features"
        ]
        assert again == one.values, f"replayed {again}, answered {one}"
        compared += len(again)
    return compared


def few_of_each(draw: np.random.Generator, entities: Sequence[Collection[str]], sample: int) -> list[int]:
    """Choose rows at random, few of one entity: of the hot one the oracles read every event again for each.

    Args:
        draw: What chooses.
        entities: Of each row, its entities.
        sample: How many rows at most.
    """
    seen: Counter[str] = Counter()
    chosen: list[int] = []
    for place in draw.permutation(len(entities)).tolist():
        if len(chosen) < sample and all(seen[entity] < OF_ONE_ENTITY for entity in entities[place]):
            seen.update(entities[place])
            chosen.append(place)
    return sorted(chosen)


def _compare_oracles(run: Run, model: LiveModel, moments: list[Moment], rows: Floats, progress: Progress) -> int:
    program = model.loaded.program
    streams = {stream.name: stream for stream in program.streams}
    schemas = {number: spec for number, spec in enumerate([None, *run.owner.log.schemas()]) if spec is not None}
    by_entity = {moment.entity: run.owner.log.read_entity(moment.entity) for moment in moments}
    records = [record for found in by_entity.values() for record in found]
    columns = {name: place for place, name in enumerate(program.names)}
    features = [one for one in _features(run, model) if one.name in columns]
    compared = 0
    for done, (moment, row) in enumerate(zip(moments, rows, strict=True)):
        told = plain_values(by_entity[moment.entity], features, streams, schemas, moment.t, moment.cut, moment.observed)
        for feature, value in zip(features, told, strict=True):
            assert bits(value) == bits(row[columns[feature.name]]), f"plain {value!r}: {feature.name} at {moment}"
        compared += len(features)
        progress("plain oracle", done + 1, len(moments))
    with SqlOracle(records, schemas, streams) as oracle:
        oracle.ask(moments)
        for done, feature in enumerate(features):
            for moment, row, value in zip(moments, rows, oracle.values(feature), strict=True):
                assert bits(value) == bits(row[columns[feature.name]]), f"SQL {value!r}: {feature.name} at {moment}"
            progress("SQL oracle", done + 1, len(features))
    return 2 * compared


def _features(run: Run, model: LiveModel) -> list[Any]:
    return list(run.owner.project.models[model.name].features)


def bare(run: Run) -> str:
    """Return what a run was, in a line."""
    return (
        f"seed {run.seed}: {run.sent:,} events sent, {run.refused:,} refused, {run.imports:,} imports, "
        f"{run.restarts:,} restarts, {run.decided:,} decisions"
    )
