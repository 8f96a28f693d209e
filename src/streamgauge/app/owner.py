"""The owner of a data directory: one process holds log, engine, state, ledger and registry, and answers for them."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import ExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

from streamgauge.app import wiring
from streamgauge.app.answers import DecisionAnswer, FeaturesAnswer, ImportAnswer, IngestAnswer, ScoreAnswer
from streamgauge.app.applying import Applier
from streamgauge.app.deciding import Asked, Decider, answer_of, ask, default_id
from streamgauge.app.declared import project_to_serve, safe_streams, streams_to_serve
from streamgauge.app.desk import Desk
from streamgauge.app.drift import DriftBook
from streamgauge.app.engine import Engine
from streamgauge.app.importing import Importer, ImportMarker, frame_batches, unfinished_entities
from streamgauge.app.intake import Intake
from streamgauge.app.live import LiveSet
from streamgauge.app.lock import OwnerLock
from streamgauge.app.metrics import Metrics
from streamgauge.app.publishing import Publisher
from streamgauge.app.reading import Question, Reader
from streamgauge.app.replies import record_answer
from streamgauge.app.scores import ScoreFeed
from streamgauge.app.sealing import Sealer
from streamgauge.app.served import ServedFile
from streamgauge.app.service import quiet
from streamgauge.app.states import Limits
from streamgauge.app.steward import Steward
from streamgauge.app.stores import carry_scores, fitting_store, prepare_store, retire, sweep
from streamgauge.app.submitting import Pending, submit_events
from streamgauge.definitions.roles import every_role, named_key
from streamgauge.errors import EventRejected, StateDamaged, UnknownName, close_match
from streamgauge.features.decode import SchemaBook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import polars as pl

    from streamgauge.app.service import Progress
    from streamgauge.app.settings import Place
    from streamgauge.app.wiring import Checks
    from streamgauge.clock import Clock
    from streamgauge.decisions.ledger import Entry, Ledger
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log
    from streamgauge.models.registry import Registry

logger = logging.getLogger(__name__)

_SPARE_OUTBOX = 5_000


class Owner(Steward):
    """A `streamgauge.app.service.Service` in this process.

    Attributes:
        place: The project directory.
        clock: Where moments come from.
        desk: Where decisions wait for their group.
        publisher: The newest applied position and freshness.
        metrics: Counts what is accepted, applied, scored and decided.
        project: The project file as it was when the owner started; see `streamgauge.app.declared`.
        warnings: What the operator should know about it.
    """

    def __init__(self, place: Place, clock: Clock, progress: Progress, *, early: bool, checks: Checks | None) -> None:
        """Take the lock, open everything, rebuild what does not fit, and apply what is not applied yet.

        Args:
            place: The project directory.
            clock: Where moments come from.
            progress: Told what takes long.
            early: Whether to answer before all is applied: reads are exact as of what is.
            checks: Those of log and ledger, where they were begun before.

        Raises:
            OwnerBusy: Another process owns the directory.
            DefinitionError: The project file is wrong, and no model is registered that is served without it.
        """
        self.place = place
        self.clock = clock
        self.warnings: list[str] = []
        self.project, warnings = project_to_serve(place)
        self._warn(warnings)
        place.data.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:  # where opening fails, the directory is free again
            self._lock = OwnerLock(place.lock)
            undo.callback(self._lock.release)
            self._log: Log = wiring.open_own_log(place, checks)
            undo.callback(self._log.close)
            self._ledger: Ledger = wiring.open_own_ledger(place, checks)
            undo.callback(self._ledger.close)
            self._open(undo, progress, early=early)
            undo.pop_all()

    def _open(self, undo: ExitStack, progress: Progress, *, early: bool) -> None:
        place, clock = self.place, self.clock
        self._served = ServedFile(place.served)
        self._served.withdraw()
        self._book = SchemaBook(self._log.schema)
        self._registry: Registry = wiring.open_registry(place)
        live = LiveSet.champions(self._registry)
        self.project, warnings = safe_streams(place, self.project, self._log, serves=bool(live.models))
        self._warn(warnings)
        self.project, warnings = streams_to_serve(self.project, live.layouts, self._log.schemas())
        self._warn(warnings)
        streams = self.project.streams
        for spec in streams.values():
            self._log.register_schema(spec)
        self.metrics = Metrics(streams)
        drift = DriftBook(place.data / "drift.json", clock, self.metrics)
        undo.callback(drift.flush)
        self.intake = Intake(streams, self._log, clock, self.metrics, drift)
        self._marker = ImportMarker(place.import_mark)
        self.publisher = Publisher(clock.now_us, self.metrics)
        self._reloading = threading.Lock()
        store = fitting_store(place, self._log, live.layouts, progress)
        undo.callback(store.close)
        applier = self._applier(store, live)
        applier.pending |= unfinished_entities(self._log, self._marker)
        self.engine = Engine(self._log, applier, self.publisher, clock, self.metrics, batch=place.settings.engine.batch)
        undo.callback(self.engine.close)
        if not early:
            self.engine.caught_up()
        self.metrics.watch(self._log, self.engine, self.publisher, clock)
        self._importer = Importer(self._log, self.engine, self.intake, self._marker, place.settings.engine.workers)
        self._serve(live, store)
        self.desk: Desk[Asked, DecisionAnswer] = Desk(self._decide_many, self._ledger.settle)
        undo.callback(self.desk.close)
        sweep(place, live.layouts)
        self._eraser.resume(lambda what: progress(f"erasing {what}", 0, 0))
        self._importer.settle(progress)
        self._sealer = Sealer(self._log, place.settings.log)

    @classmethod
    def open(
        cls,
        place: Place,
        *,
        clock: Clock | None = None,
        progress: Progress | None = None,
        early: bool = False,
        checks: Checks | None = None,
    ) -> Self:
        """Own a project directory.

        Raises:
            OwnerBusy: Another process owns it.
            DefinitionError: The project file is wrong, and no model is registered that is served without it.
        """
        return cls(place, clock or wiring.SystemClock(), progress or quiet, early=early, checks=checks)

    @property
    def log(self) -> Log:
        """The event log."""
        return self._log

    @property
    def registry(self) -> Registry:
        """The model registry."""
        return self._registry

    @property
    def ledger(self) -> Ledger:
        """The decision ledger."""
        return self._ledger

    @property
    def live(self) -> LiveSet:
        """What is served now."""
        return self.engine.applier.live

    def submit(self, events: Sequence[Mapping[str, Any]]) -> Pending:
        """Accept events without waiting: the bad ones are quarantined now, the good ones are on their way."""
        return submit_events(self.intake, self.engine, events)

    def ingest(self, events: Sequence[Mapping[str, Any]], *, applied: bool = False) -> IngestAnswer:
        """See `Service.ingest`."""
        pending = self.submit(events)
        return (pending.applied if applied else pending.appended).result()

    def ingest_frame(self, frame: pl.DataFrame, stream: str, progress: Progress = quiet) -> IngestAnswer:
        """Accept a frame's rows as events known now; answer after applying."""
        from streamgauge.events.frames import validate_frame

        batches = frame_batches(frame, validate_frame(frame, self._stream(stream)))
        return self._importer.live(batches, stream, progress, len(frame))

    def import_frame(
        self,
        frame: pl.DataFrame,
        stream: str,
        progress: Progress = quiet,
        *,
        known_after_us: int | None = None,
        known_at: str | None = None,
    ) -> ImportAnswer:
        """Accept a frame's rows as history; see `Service.import_file`."""
        from streamgauge.events.frames import validate_import

        spec = self._stream(stream)
        result = validate_import(frame, spec, known_after_us=known_after_us, known_at=known_at)
        batches = frame_batches(frame, result, known_after_us, known_at)
        return self._importer.history(batches, stream, progress, len(frame))

    def ingest_file(self, path: Path, stream: str, progress: Progress) -> IngestAnswer:
        """See `Service.ingest_file`."""
        from streamgauge.events.files import read_file

        return self._importer.live(read_file(path, self._stream(stream)), stream, progress)

    def import_file(
        self,
        path: Path,
        stream: str,
        progress: Progress,
        *,
        known_after_us: int | None = None,
        known_at: str | None = None,
    ) -> ImportAnswer:
        """See `Service.import_file`."""
        from streamgauge.events.files import read_file
        from streamgauge.events.frames import refuse_undeclared

        refuse_undeclared(known_after_us, known_at)
        batches = read_file(path, self._stream(stream), known_after_us=known_after_us, known_at=known_at)
        return self._importer.history(batches, stream, progress)

    def features(
        self,
        entity: str,
        *,
        model: str | None = None,
        as_of: int | None = None,
        position: int | None = None,
        min_position: int | None = None,
    ) -> FeaturesAnswer:
        """See `Service.features`; without a model, all features of the project file."""
        self._await(min_position)
        if model is None:
            return self.reader.project_features(Question(self._key(entity), as_of, position), self.project)
        served = self.reader.model(model, entities=False)
        key = named_key(entity, served.roles()) or f"{served.serving.role}:{entity}"
        return self.reader.features(Question(key, as_of, position), served)

    def score(
        self,
        entity: str,
        *,
        model: str | None = None,
        as_of: int | None = None,
        position: int | None = None,
        min_position: int | None = None,
    ) -> ScoreAnswer:
        """See `Service.score`."""
        served = self.reader.model(model, entities=True)
        self._await(min_position)
        return self.reader.score(Question(f"{served.serving.role}:{entity}", as_of, position), served)

    async def adecide(self, decision_id: str, event: Mapping[str, Any]) -> DecisionAnswer:
        """Decide on an event loop; see `Service.decide`."""
        try:
            asked = ask(self.intake, decision_id, event)
        except EventRejected as error:
            # The quarantine is a durable commit: other callers must not wait for it.
            await asyncio.to_thread(self.intake.refuse, [(event, error)])
            raise
        return await self.desk.ask(asked)

    def decide(self, decision_id: str | None, event: Mapping[str, Any]) -> DecisionAnswer:
        """See `Service.decide`."""
        return asyncio.run(self.adecide(decision_id or default_id(event, self.intake.streams), event))

    def decision(self, decision_id: str) -> DecisionAnswer:
        """See `Service.decision`."""
        entry = self._entry(decision_id)
        return answer_of(entry.require(), entry.digest, entry.seq, repeated=False)

    def decision_record(self, decision_id: str) -> dict[str, Any]:
        """See `Service.decision_record`."""
        return record_answer(self._entry(decision_id))

    def portfolio(self, out: Path, progress: Progress, *, model: str | None = None) -> int:
        """See `Service.portfolio`."""
        from streamgauge.app.portfolio import score_portfolio

        served = self.reader.model(model, entities=True)
        return score_portfolio(self._log, self.engine, self.reader, served, self.clock, out, progress)

    def prepare(self, models: Sequence[str], progress: Progress) -> None:
        """See `Service.prepare`."""
        with self._reloading:
            prepare_store(self.place, self._log, self.live, models, progress)

    def reload(self, progress: Progress) -> None:
        """See `Service.reload`: reads go on from the old states until the new ones have caught up."""
        with self._reloading:
            live = LiveSet.champions(self._registry)
            live.warm()
            old = self.engine.applier
            if live.layouts.digest == old.store.layout_digest:
                self.engine.on_engine(lambda: self._switch(live, old.store)).result()
                return
            store = fitting_store(self.place, self._log, live.layouts, progress, old.applied)
            try:
                carried = carry_scores(old.store, store)
                self.engine.on_engine(lambda: self._switch(live, store, carried)).result()
            except BaseException:
                retire(self.place, store)
                raise
            self._importer.settle(progress)
            # A read that began on the old states may still be under way; the files go when it has let go of them.
            retire(self.place, old.store)

    def scores_after(self, number: int, limit: int) -> list[tuple[int, bytes]]:
        """Return published scores after a number of the feed, oldest first; see `ScoreFeed`."""
        try:
            return self._feed.after(number, limit)
        except StateDamaged:  # a reload has put another feed in its place
            return self._feed.after(number, limit)

    def last_score(self) -> int:
        """Return the number after which nothing is published yet."""
        return self._feed.newest()

    def health(self) -> dict[str, Any]:
        """Return whether the owner is ready to serve, and the facts behind it."""
        failure = self.engine.failure
        return {
            "ready": failure is None,
            "failure": None if failure is None else str(failure),
            "position": self.publisher.position,
            "log_position": self._log.last_position(),
            "waiting": self.engine.waiting,
            "pending_entities": len(self.engine.applier.pending),
            "models": {model.name: model.version for model in self.live.models.values()},
            "verification": self.verification(),
        }

    def close(self) -> None:
        """Apply and record everything that waits, and release the directory."""
        if self.verifier is not None:
            self.verifier.close()
        self._served.withdraw()
        self.desk.close()
        self.engine.close()
        self.intake.drift.flush()
        self.engine.applier.store.close()
        self._ledger.close()
        self._sealer.close()
        self._log.close()
        self._lock.release()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _warn(self, warnings: Sequence[str]) -> None:
        self.warnings += warnings
        for warning in warnings:
            logger.warning(warning)

    def _serve(self, live: LiveSet, store: StateStore) -> None:
        self.reader = Reader(
            self._log, store, live, self._book, self.publisher, self.clock, self.engine.applier.pending
        )
        self._feed = ScoreFeed(store)
        self._served.write(live)
        self._decider = Decider(
            self._log,
            self._ledger,
            self.engine,
            live,
            self._book,
            self.clock,
            self.metrics,
            version("streamgauge"),
        )

    def _applier(self, store: StateStore, live: LiveSet, old: Applier | None = None) -> Applier:
        engine = self.place.settings.engine
        limits = Limits.of(engine)
        return Applier(self._log, store, live, self._book, limits=limits, workers=engine.workers, old=old)

    def _switch(self, live: LiveSet, store: StateStore, carried: int = 0) -> None:
        """Serve other models from now on; only on the applying thread, between two batches.

        Args:
            live: The models.
            store: The states that fit them.
            carried: The number of the last score that another store has taken over.
        """
        old = self.engine.applier
        applier = self._applier(store, live, old if store is old.store else None)
        applier.pending = old.pending
        if store is not old.store:
            carry_scores(old.store, store, carried)
        while applier.applied < old.applied:
            records = self._log.read_after(applier.applied, _SPARE_OUTBOX)
            applier.prepare([record for record in records if record.position <= old.applied], publish=False)
            applier.write()
        self._served.withdraw()
        self.engine.applier = applier
        old.end()
        self._serve(live, store)

    def _decide_many(self, asked: Sequence[Asked]) -> list[DecisionAnswer | Exception]:
        return self._decider.decide_many(asked)  # a reload puts another in its place

    def _await(self, position: int | None) -> None:
        if position is not None:
            self.engine.wait_for(position, self.place.settings.api.wait)

    def _key(self, entity: str) -> str:
        """Return the key of an entity: as it names its role, or under the first role by which the log knows its id."""
        specs = self.project.streams.values()
        every = [role for spec in specs for role in every_role(spec.roles)]
        roles = list(dict.fromkeys([*(spec.entity for spec in specs), *every]))
        named = named_key(entity, roles)
        for key in ([] if named is None else [named]) + [f"{role}:{entity}" for role in roles]:
            if len(roles) == 1 or self._log.read_entity(key):
                return key
        raise UnknownName(f'The log holds no event of "{entity}". Check the id, or ingest its events.')

    def _entry(self, decision_id: str) -> Entry:
        entry = self._ledger.get(decision_id)
        if entry is None:
            raise UnknownName(f'There is no decision "{decision_id}". Check its id.')
        return entry

    def _stream(self, name: str) -> StreamSpec:
        if name not in self.project.streams:
            raise UnknownName(f'Unknown stream "{name}". {close_match(name, self.project.streams)}')
        return self.project.streams[name]
