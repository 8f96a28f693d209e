"""The owner of a data directory: one process holds log, engine, state, ledger and registry, and answers for them."""

from __future__ import annotations

import asyncio
import shutil
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

import msgspec

from streamgauge.app import wiring
from streamgauge.app.answers import (
    DecisionAnswer,
    FeaturesAnswer,
    ImportAnswer,
    IngestAnswer,
    ModelAnswer,
    QuarantineAnswer,
    Refused,
    ScoreAnswer,
    VerifyAnswer,
    VerifyDifference,
    iso,
)
from streamgauge.app.applying import Applier
from streamgauge.app.deciding import Decider, answer_of
from streamgauge.app.engine import Engine, Submission
from streamgauge.app.importing import Importer, ImportMarker
from streamgauge.app.intake import Intake
from streamgauge.app.live import LiveSet
from streamgauge.app.lock import OwnerLock
from streamgauge.app.publishing import Publisher
from streamgauge.app.reading import Question, Reader
from streamgauge.app.scores import ScoreFeed
from streamgauge.decisions.replay import Replay
from streamgauge.definitions.loader import load_project
from streamgauge.errors import EventRejected, UnknownName, close_match
from streamgauge.events.record import Record
from streamgauge.features.decode import SchemaBook
from streamgauge.features.rebuild import damaged_entities, rebuild_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import polars as pl

    from streamgauge.app.applying import Applied
    from streamgauge.app.settings import Place
    from streamgauge.clock import Clock
    from streamgauge.decisions.ledger import Ledger
    from streamgauge.definitions.specs import ProjectSpec
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log, Quarantined
    from streamgauge.models.registry import RegisteredModel, Registry

_SHOWN = 100
_WAIT_S = 5.0
_SPARE_OUTBOX = 5_000


def quiet(_what: str, _done: int, _total: int) -> None:
    """Show no progress."""


@dataclass(slots=True)
class Pending:
    """Events on their way.

    Attributes:
        appended: Completes when they are durable.
        applied: Completes when they are applied, with duplicates and conflicts counted.
    """

    appended: Future[IngestAnswer]
    applied: Future[IngestAnswer]


class Owner:
    """A `streamgauge.app.service.Service` in this process.

    Attributes:
        place: The project directory.
        clock: Where moments come from.
        publisher: The newest applied position and freshness.
        project: The project file as it was when the owner started.
    """

    def __init__(
        self, place: Place, project: ProjectSpec, clock: Clock, progress: Callable[[str, int, int], None]
    ) -> None:
        """Take the lock, open everything, rebuild what does not fit, and apply what is not applied yet.

        Args:
            place: The project directory.
            project: The checked project file.
            clock: Where moments come from.
            progress: Told what takes long.

        Raises:
            OwnerBusy: Another process owns the directory.
        """
        self.place = place
        self.project = project
        self.clock = clock
        place.data.mkdir(parents=True, exist_ok=True)
        self._lock = OwnerLock(place.lock)
        self._log: Log = wiring.open_log(place)
        self._book = SchemaBook(self._log.schema)
        self._ledger: Ledger = wiring.open_ledger(place)
        self._registry: Registry = wiring.open_registry(place)
        for spec in project.streams.values():
            self._log.register_schema(spec)
        self.intake = Intake(project.streams, self._log, clock)
        self._marker = ImportMarker(place.data / "import.pending")
        self.publisher = Publisher(clock.now_us)
        self._reloading = threading.Lock()
        live = LiveSet.champions(self._registry)
        store = self._fitting_store(live, progress)
        applier = Applier(
            self._log,
            store,
            live,
            self._book,
            cached=place.settings.engine.cached_entities,
            now_us=clock.now_us,
        )
        self._resume_import(applier)
        self.engine = Engine(self._log, applier, self.publisher, clock, batch=place.settings.engine.batch)
        self._importer = Importer(self._log, self.engine, self.intake, self._marker, place.settings.engine.workers)
        self._serve(live, store)
        if applier.pending:
            self._importer.settle(progress)

    @classmethod
    def open(
        cls, place: Place, *, clock: Clock | None = None, progress: Callable[[str, int, int], None] | None = None
    ) -> Self:
        """Own a project directory.

        Raises:
            OwnerBusy: Another process owns it.
            DefinitionError: The project file is wrong.
        """
        return cls(place, load_project(place.project_file), clock or wiring.SystemClock(), progress or quiet)

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

    # Events

    def submit(self, events: Sequence[Mapping[str, Any]]) -> Pending:
        """Accept events without waiting: the bad ones are quarantined now, the good ones are on their way."""
        checked = self.intake.many(events)
        bad = [(index, one) for index, one in enumerate(checked) if isinstance(one, EventRejected)]
        numbers = self.intake.refuse([(events[index], error) for index, error in bad]) if bad else []
        refused = [
            Refused(index=index, reason=error.reason, detail=str(error), quarantine=number)
            for (index, error), number in zip(bad, numbers, strict=True)
        ]
        good = [index for index, one in enumerate(checked) if not isinstance(one, EventRejected)]
        submission = Submission([one for one in checked if not isinstance(one, EventRejected)])
        pending = Pending(Future(), Future())
        _follow(
            self.engine.submit(submission),
            pending.appended,
            lambda results: _ingested(results, good, refused),
        )
        _follow(
            submission.applied,
            pending.applied,
            lambda applied: _counted(pending.appended.result(), applied),
        )
        return pending

    def ingest(self, events: Sequence[Mapping[str, Any]], *, applied: bool = False) -> IngestAnswer:
        """See `Service.ingest`."""
        pending = self.submit(events)
        return (pending.applied if applied else pending.appended).result()

    def ingest_frame(
        self, frame: pl.DataFrame, stream: str, progress: Callable[[str, int, int], None] = quiet
    ) -> IngestAnswer:
        """Accept a frame's rows as events known now; answer after applying."""
        return self._importer.live([frame], self._stream(stream), progress)

    def import_frame(
        self,
        frame: pl.DataFrame,
        stream: str,
        progress: Callable[[str, int, int], None] = quiet,
        *,
        known_after_us: int | None = None,
        known_at: str | None = None,
    ) -> ImportAnswer:
        """Accept a frame's rows as history; see `Service.import_file`."""
        return self._importer.history(
            [frame], self._stream(stream), progress, known_after_us=known_after_us, known_at=known_at
        )

    def ingest_file(self, path: Path, stream: str, progress: Callable[[str, int, int], None]) -> IngestAnswer:
        """See `Service.ingest_file`."""
        from streamgauge.events.files import read_file

        return self._importer.live(list(read_file(path)), self._stream(stream), progress)

    def import_file(
        self,
        path: Path,
        stream: str,
        progress: Callable[[str, int, int], None],
        *,
        known_after_us: int | None = None,
        known_at: str | None = None,
    ) -> ImportAnswer:
        """See `Service.import_file`."""
        from streamgauge.events.files import read_file
        from streamgauge.events.frames import refuse_undeclared

        refuse_undeclared(known_after_us, known_at)
        frames = list(read_file(path))
        return self._importer.history(
            frames, self._stream(stream), progress, known_after_us=known_after_us, known_at=known_at
        )

    def quarantined(self, *, number: int | None = None, last: int = 100) -> list[QuarantineAnswer]:
        """See `Service.quarantined`."""
        return [_quarantine_answer(one) for one in self._log.quarantined(number=number, last=last)]

    # Reads

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
        return self.reader.features(Question(f"{served.serving.role}:{entity}", as_of, position), served)

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

    # Decisions

    async def adecide(self, decision_id: str, event: Mapping[str, Any]) -> DecisionAnswer:
        """Decide on an event loop; see `Service.decide`."""
        return await self._decider.adecide(decision_id, event)

    def decide(self, decision_id: str, event: Mapping[str, Any]) -> DecisionAnswer:
        """See `Service.decide`."""
        return asyncio.run(self.adecide(decision_id, event))

    def decision(self, decision_id: str) -> DecisionAnswer:
        """See `Service.decision`."""
        entry = self._ledger.get(decision_id)
        if entry is None:
            raise UnknownName(f'There is no decision "{decision_id}". Check its id.')
        return answer_of(entry.require(), entry.digest, entry.seq, repeated=False)

    def decision_record(self, decision_id: str) -> dict[str, Any]:
        """See `Service.decision_record`."""
        answer: dict[str, Any] = msgspec.to_builtins(self.decision(decision_id))
        entry = self._ledger.get(decision_id)
        if entry is not None:
            record = entry.require()
            answer["request"] = record.request
            answer["features"] = record.feature_values()
            answer["margin"] = record.margin
            answer["program_sha256"] = record.program_sha256
            answer["calibrator_sha256"] = record.calibrator_sha256
            answer["code_version"] = record.code_version
            answer["lag"] = record.lag_us / 1_000_000
            answer["chain_hash"] = entry.chain_hash
        return answer

    def verify(self, progress: Callable[[str, int, int], None], *, last: int | None = None) -> VerifyAnswer:
        """See `Service.verify`."""
        replay = Replay(self._log, self._ledger, self._registry, self._book)
        report = replay.run(last, lambda done, total: progress("replaying decisions", done, total))
        return VerifyAnswer(
            checked=report.checked,
            match=report.match,
            mismatch=report.checked - report.match,
            erased=report.erased,
            chain=report.chain,
            differences=[
                VerifyDifference(seq=one.seq, decision_id=one.decision_id, changed=list(one.changed), detail=one.detail)
                for one in report.differences[:_SHOWN]
            ],
        )

    # Models

    def portfolio(self, out: Path, progress: Callable[[str, int, int], None], *, model: str | None = None) -> int:
        """See `Service.portfolio`."""
        from streamgauge.app.portfolio import score_portfolio

        served = self.reader.model(model, entities=True)
        return score_portfolio(self._log, self.engine.applier, self.reader, served, self.clock, out, progress)

    def models(self) -> list[ModelAnswer]:
        """See `Service.models`."""
        answers = []
        for name in self._registry.models():
            champion = self._registry.champion(name)
            policy = self._registry.policy(name)
            for registered in self._registry.versions(name):
                is_champion = champion is not None and champion.version == registered.version
                active = policy.version if policy is not None and is_champion else None
                answers.append(_model_answer(registered, champion=is_champion, policy=active))
        return answers

    def reload(self, progress: Callable[[str, int, int], None]) -> None:
        """See `Service.reload`: reads go on from the old states until the new ones have caught up."""
        with self._reloading:
            live = LiveSet.champions(self._registry)
            old = self.engine.applier
            if live.layout.digest == old.store.layout_digest:
                self.engine.on_engine(lambda: self._switch(live, old.store)).result()
                return
            store = self._fitting_store(live, progress)
            self.engine.on_engine(lambda: self._switch(live, store)).result()
            # A read that began on the old states may still be under way; the files go when it has let go of them.
            self._retire(old.store)

    # Publishing

    def scores_after(self, number: int, limit: int) -> list[tuple[int, bytes]]:
        """Return published scores after a number of the feed, oldest first; see `ScoreFeed`."""
        return self._feed.after(number, limit)

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
        }

    def close(self) -> None:
        """Apply and record everything that waits, and release the directory."""
        self.engine.close()
        self._decider.close()
        self.engine.applier.store.close()
        self._ledger.close()
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

    def _serve(self, live: LiveSet, store: StateStore) -> None:
        self.reader = Reader(
            self._log, store, live, self._book, self.publisher, self.clock, self.engine.applier.pending
        )
        self._feed = ScoreFeed(store)
        self._decider = Decider(
            self._log, self._ledger, self.engine, self.intake, live, self._book, self.clock, version("streamgauge")
        )

    def _switch(self, live: LiveSet, store: StateStore) -> None:
        """Serve other models from now on; only on the applying thread, between two batches."""
        old = self.engine.applier
        applier = Applier(
            self._log,
            store,
            live,
            self._book,
            cached=self.place.settings.engine.cached_entities,
            now_us=self.clock.now_us,
        )
        applier.pending = old.pending
        while store is not old.store and applier.watermark < old.watermark:
            records = self._log.read_after(applier.watermark, _SPARE_OUTBOX)
            applier.apply([record for record in records if record.position <= old.watermark])
        self.engine.applier = applier
        decider = self._decider
        self._serve(live, store)
        decider.close()

    def _fitting_store(self, live: LiveSet, progress: Callable[[str, int, int], None]) -> StateStore:
        """Open the store of a layout; build it from the log where it is new, damaged or was left unfinished."""
        digest = live.layout.digest
        store = wiring.open_store(self.place, digest)
        last = self._log.last_position()

        def tell(done: int, total: int) -> None:
            progress("rebuilding states", done, total)

        workers = self.place.settings.engine.workers
        if store.stale or (last and not store.watermark()):
            rebuild_store(self._log, live.layout, store, workers=workers, progress=tell)
        elif store.unclean and (damaged := damaged_entities(store)):
            rebuild_store(
                self._log, live.layout, store, damaged, up_to=store.watermark(), workers=workers, progress=tell
            )
        for other in self.place.state.iterdir():
            if other.is_dir() and other.name != digest[:16] and not hasattr(self, "engine"):
                shutil.rmtree(other, ignore_errors=True)
        return store

    def _retire(self, store: StateStore) -> None:
        folder = self.place.state / store.layout_digest[:16]
        store.close()
        shutil.rmtree(folder, ignore_errors=True)

    def _resume_import(self, applier: Applier) -> None:
        """Mark the entities of an import that a crash cut short; they are rebuilt before they are used."""
        position = self._marker.read()
        if position is None:
            return
        while records := self._log.read_after(position, _SPARE_OUTBOX):
            applier.pending.update(record.entity for record in records if record.imported)
            position = records[-1].position

    def _await(self, position: int | None) -> None:
        if position is not None:
            self.engine.wait_for(position, _WAIT_S)

    def _key(self, entity: str) -> str:
        """Return the key of an entity's id: its role is the one under which the log knows it."""
        roles = list(dict.fromkeys(spec.entity for spec in self.project.streams.values()))
        for role in roles:
            if len(roles) == 1 or self._log.read_entity(f"{role}:{entity}"):
                return f"{role}:{entity}"
        raise UnknownName(f'The log holds no event of "{entity}". Check the id, or ingest its events.')

    def _stream(self, name: str) -> str:
        if name not in self.project.streams:
            raise UnknownName(f'Unknown stream "{name}". {close_match(name, self.project.streams)}')
        return name


def _follow(source: Future[Any], target: Future[IngestAnswer], turn: Callable[[Any], IngestAnswer]) -> None:
    """Complete a future with what another one completes with, turned into an answer."""

    def done(finished: Future[Any]) -> None:
        error = finished.exception()
        if error is not None:
            target.set_exception(error)
            return
        try:
            target.set_result(turn(finished.result()))
        except BaseException as failure:  # noqa: BLE001 - whoever waits must hear of it
            target.set_exception(failure)

    source.add_done_callback(done)


def _ingested(
    results: Sequence[Record | Quarantined], indexes: Sequence[int], refused: Sequence[Refused]
) -> IngestAnswer:
    late = [
        Refused(index=index, reason=result.reason, detail=result.detail, quarantine=result.number)
        for index, result in zip(indexes, results, strict=True)
        if not isinstance(result, Record)
    ]
    accepted = [result for result in results if isinstance(result, Record)]
    every = sorted([*refused, *late], key=lambda one: one.index)
    return IngestAnswer(
        accepted=len(accepted),
        quarantined=len(every),
        position=accepted[-1].position if accepted else 0,
        refused=every[:_SHOWN],
    )


def _counted(answer: IngestAnswer, applied: Sequence[Applied]) -> IngestAnswer:
    return msgspec.structs.replace(
        answer,
        duplicates=sum(one.verdict == "duplicate" for one in applied),
        conflicts=sum(one.verdict in {"conflict", "identity_changed"} for one in applied),
    )


def _quarantine_answer(one: Quarantined) -> QuarantineAnswer:
    return QuarantineAnswer(
        number=one.number,
        stream=one.stream,
        entity=one.entity.partition(":")[2],
        event_id=one.event_id,
        reason=one.reason,
        detail=one.detail,
        at=iso(one.at),
        position=one.position,
        body=one.body,
    )


def _model_answer(registered: RegisteredModel, *, champion: bool, policy: int | None) -> ModelAnswer:
    return ModelAnswer(
        name=registered.name,
        version=registered.version,
        champion=champion,
        sha256=registered.sha256,
        program=registered.program_sha256,
        label=registered.label,
        known=registered.known,
        trained_to=iso(registered.created_at),
        metrics=dict(registered.metrics),
        policy=policy,
    )
