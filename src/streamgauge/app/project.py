"""A project in Python: ``streamgauge.open(path)``, with frames in and frames out."""

from __future__ import annotations

import tempfile
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from streamgauge.app import wiring
from streamgauge.app.connect import connect
from streamgauge.app.service import quiet
from streamgauge.app.settings import find_place
from streamgauge.definitions.loader import load_project
from streamgauge.definitions.roles import members, pair_role
from streamgauge.definitions.windows import parse_duration
from streamgauge.errors import ImportRefused, SettingsError, UnknownName, close_match

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    import polars as pl

    from streamgauge.app.answers import (
        DecisionAnswer,
        ErasureAnswer,
        ImportAnswer,
        IngestAnswer,
        ModelAnswer,
        QuarantineAnswer,
        RetryAnswer,
        ScoreAnswer,
        VerifyAnswer,
    )
    from streamgauge.app.protecting import ProtectedAnswer
    from streamgauge.app.schema_report import SchemaAnswer
    from streamgauge.app.service import Service
    from streamgauge.log.port import Log
    from streamgauge.models.fairness_report import FairnessReport
    from streamgauge.models.run import TrainingRun

_MICROSECOND: Final = timedelta(microseconds=1)


def open_project(
    path: str | os.PathLike[str] = ".", *, progress: Callable[[str, int, int], None] | None = None
) -> Project:
    """Open a project directory: through its running owner, else as its owner until `Project.close`.

    Args:
        path: The directory that holds ``streamgauge.toml``, or one inside it.
        progress: Told of what takes long: (what, done, total).

    Raises:
        SettingsError: There is no ``streamgauge.toml``, or it is wrong.
        DefinitionError: The project file is wrong.
        OwnerBusy: Another process owns the directory and does not answer.
    """
    return Project(Path(path), progress or quiet)


class Project:
    """One project. Frames are Polars, or anything with the Arrow PyCapsule interface, as pandas has; Polars comes out.

    Attributes:
        place: The project directory.
        spec: The project file, checked.
    """

    def __init__(self, path: Path, progress: Callable[[str, int, int], None]) -> None:
        """Open it; see `open_project`."""
        self.place = find_place(path)
        self.spec = load_project(self.place.project_file)
        self._progress = progress
        self._service: Service = connect(self.place, progress)

    def ingest(self, frame: Any, stream: str | None = None) -> IngestAnswer:  # noqa: ANN401 - any frame
        """Accept a frame's rows as events known now; return once they are applied.

        Args:
            frame: One row an event, columns named as the fields, optionally ``sequence``, ``revision`` and ``op``.
            stream: The stream; not needed where the project has one.

        Raises:
            UnknownName: There is no such stream.
            ImportRefused: A column is missing or unknown.
        """
        from streamgauge.app.owner import Owner

        name = self._stream(stream)
        table = as_frame(frame)
        if isinstance(self._service, Owner):
            return self._service.ingest_frame(table, name, self._progress)
        with self._handed_over(table) as path:
            return self._service.ingest_file(path, name, self._progress)

    def import_history(
        self,
        frame: Any,  # noqa: ANN401 - any frame
        stream: str | None = None,
        *,
        known_after: str | timedelta | None = None,
        known_at: str | None = None,
    ) -> ImportAnswer:
        """Import a frame's rows as history; return once every entity it touches is rebuilt.

        Args:
            frame: As for `ingest`.
            stream: The stream; not needed where the project has one.
            known_after: How long after its event time each row became known: ``"2h"``, or a timedelta.
            known_at: The column that says when each row became known.

        Raises:
            ImportRefused: Not exactly one of the two is given, or a column is missing.
            UnknownName: There is no such stream.
        """
        from streamgauge.app.owner import Owner

        name = self._stream(stream)
        if (known_after is None) == (known_at is None):
            raise ImportRefused(
                "An import declares when its events became known: give either known_after, such as "
                '"2h", or known_at, a column. Without it a model would learn from what nobody knew yet.'
            )
        after = _duration_us(known_after)
        table = as_frame(frame)
        if isinstance(self._service, Owner):
            return self._service.import_frame(table, name, self._progress, known_after_us=after, known_at=known_at)
        with self._handed_over(table) as path:
            return self._service.import_file(path, name, self._progress, known_after_us=after, known_at=known_at)

    def features(self, frame: Any, model: str | None = None) -> pl.DataFrame:  # noqa: ANN401 - any frame
        """Return a frame with the features of its entities at its moments, each knowing what was known by then.

        Args:
            frame: A column with entities' ids, named ``entity`` or by their role (``account``), or one for each of
                several roles (``card``, ``merchant``), and a column ``as_of`` with moments in a time zone; without it,
                all are read as of now.
            model: Whose features; None for all features of the project file that the columns' entities have, those of
                pairs included.

        Raises:
            UnknownName: There is no such model, or no column with entities.
        """
        table = as_frame(frame)
        roles = self._roles(table, model)
        told = {*roles, *(pair_role(first, second) for first, second in combinations(roles, 2))}
        specs = list(self.spec.features.values() if model is None else self.spec.models[model].features)
        lacking = {spec.role for spec in specs} - told
        if model is not None and lacking:
            needed = sorted({role for pair in lacking for role in members(pair)} - {*roles})
            raise UnknownName(
                f'Model "{model}" reads features of {" and ".join(needed)}: add a column of that name with entities.'
            )
        specs = [spec for spec in specs if spec.role in told]
        from streamgauge.app.frame_features import with_features

        with self._log() as log:
            return with_features(table, roles, specs, self.spec.streams, log, self.place.settings.engine.workers)

    def dataset(self, model: str | None = None, *, position: int | None = None) -> pl.DataFrame:
        """Return a model's rows: whom, as of when, the label, and each feature under its own cut.

        Args:
            model: The model; not needed where the project has one.
            position: The rows as they were when this was the log's last position; None for all that is known now.

        Raises:
            UnknownName: There is no such model, or no such position.
            TrainingRefused: The log holds no entity to observe.
        """
        from streamgauge.models.dataset import build_dataset

        spec = self.spec.models[self._model(model)]
        with self._log() as log:
            workers = self.place.settings.engine.workers
            built = build_dataset(self.spec, spec, log, workers=workers, progress=self._progress, position=position)
        return built.frame

    def train(self, model: str | None = None) -> TrainingRun:
        """Train a model from the log and register it; scores are made with it from now on if it is champion.

        Raises:
            UnknownName: There is no such model.
            TrainingRefused: No model can be fitted, or the fitted one may not be registered.
            ModelError: It cannot be exported.
        """
        from streamgauge.models.train import train_model

        name = self._model(model)
        workers = self.place.settings.engine.workers
        registry = wiring.open_registry(self.place)
        with self._log() as log:
            run = train_model(self.spec, name, log, registry, workers=workers, progress=self._progress)
        self._service.reload(self._progress)
        return run

    def import_protected(self, frame: Any, name: str | None = None) -> ProtectedAnswer:  # noqa: ANN401 - any frame
        """Keep protected attributes apart, for fairness reports alone; an entity's earlier ones are replaced.

        Args:
            frame: A column of ids, named by the role or ``entity``, and one for each attribute of the class.
            name: The class; not needed where the project has one.

        Raises:
            UnknownName: There is no such class.
            ImportRefused: A column is missing or unknown, or a value does not fit; nothing was kept then.
        """
        from streamgauge.app.protecting import import_protected_frames, protected_class

        return import_protected_frames(self.place, [as_frame(frame)], protected_class(self.spec, name))

    def fairness(self, model: str | None = None) -> FairnessReport:
        """Return how a model, and the project file's policy with it, treat people of protected groups.

        Raises:
            UnknownName: There is no such model or no champion of it, or nothing protected is known of its entities.
        """
        from streamgauge.app.protecting import fairness

        return fairness(self.place, self.spec, self._model(model))

    def score(
        self, entity: str, model: str | None = None, *, as_of: datetime | None = None, position: int | None = None
    ) -> ScoreAnswer:
        """Return an entity's score.

        Raises:
            UnknownName: No such entity or model, or no champion.
            NeedsEvent: The model scores events.
            Inactive: The entity is not in the model's population at that moment.
        """
        return self._service.score(entity, model=model, as_of=_moment_us(as_of), position=position)

    def decide(self, decision_id: str, event: Mapping[str, Any]) -> DecisionAnswer:
        """Decide a flat event, durably recorded; the same id with the same event again gives the same answer.

        Raises:
            EventRejected: The event cannot be accepted.
            DecisionConflict: The id was used before with another event.
            UnknownName: No served model with a policy decides events of that stream.
        """
        return self._service.decide(decision_id, event)

    def verify(self, last: int | None = None) -> VerifyAnswer:
        """Recompute the newest decisions, or all, and check the ledger's chain."""
        return self._service.verify(self._progress, last=last)

    def portfolio(self, model: str | None = None) -> pl.DataFrame:
        """Return every active entity's score as of one moment."""
        import polars as pl

        with tempfile.TemporaryDirectory(dir=self.place.data) as folder:
            path = Path(folder) / "portfolio.parquet"
            self._service.portfolio(path, self._progress, model=model)
            return pl.read_parquet(path)

    def quarantined(
        self, last: int = 100, *, reason: str | None = None, stream: str | None = None
    ) -> list[QuarantineAnswer]:
        """Return the newest open refused events, of a reason and a stream where they are given."""
        return self._service.quarantined(last=last, reason=reason, stream=stream, resolved=False)

    def retry(
        self, numbers: Sequence[int] | None = None, *, reason: str | None = None, stream: str | None = None
    ) -> RetryAnswer:
        """Try refused events again under today's declarations: some numbers, or all open ones.

        Raises:
            UnknownName: The quarantine has no such number or reason.
        """
        return self._service.retry(numbers, reason=reason, stream=stream)

    def erase(self, entity: str, role: str | None = None, *, by: str = "python") -> ErasureAnswer:
        """Remove everything of an entity from every file, for ever; return how much there was.

        Args:
            entity: Its id.
            role: Its role; not needed where the log knows the id under one only.
            by: Who asks, for the audit in the ledger.

        Raises:
            UnknownName: The log knows the id under no role or several, or no stream has the role.
        """
        return self._service.erase(entity, role=role, by=by, progress=self._progress)

    def schema(self) -> SchemaAnswer:
        """Return the streams as declared, where they differ from the log, and what came in that is not declared."""
        return self._service.schema()

    def models(self) -> list[ModelAnswer]:
        """Return all registered models, champions marked."""
        return self._service.models()

    def close(self) -> None:
        """Release the directory; a running owner goes on."""
        self._service.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    @contextmanager
    def _log(self) -> Iterator[Log]:
        """Give the event log to read: the owner's own, or another reader beside a running owner."""
        from streamgauge.app.owner import Owner

        if isinstance(self._service, Owner):
            yield self._service.log
            return
        with closing(wiring.open_log(self.place)) as log:
            yield log

    @contextmanager
    def _handed_over(self, table: pl.DataFrame) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.place.data) as folder:
            path = Path(folder) / "frame.parquet"
            table.write_parquet(path)
            yield path

    def _stream(self, name: str | None) -> str:
        streams = self.spec.streams
        if name is None and len(streams) == 1:
            return next(iter(streams))
        if name is None:
            raise UnknownName(f"Name the stream of these rows. {close_match('', streams)}")
        if name not in streams:
            raise UnknownName(f'Unknown stream "{name}". {close_match(name, streams)}')
        return name

    def _model(self, name: str | None) -> str:
        models = self.spec.models
        if name is None and len(models) == 1:
            return next(iter(models))
        if name is None:
            raise UnknownName(f"Name a model. {close_match('', models)}")
        if name not in models:
            raise UnknownName(f'The project file declares no model "{name}". {close_match(name, models)}')
        return name

    def _roles(self, table: pl.DataFrame, model: str | None) -> tuple[str, ...]:
        """Return the roles that the frame has columns with entities of."""
        roles = list(dict.fromkeys(role for spec in self.spec.streams.values() for role in spec.roles))
        own = None if model is None else self.spec.models[self._model(model)].observe.role
        named = tuple(role for role in roles if role in table.columns)
        alone = own or (roles[0] if len(roles) == 1 else None)
        if alone is not None and alone not in named and "entity" in table.columns:
            return (alone,)
        if not named or (own is not None and own not in named):
            raise UnknownName(
                f"The frame has no column with entities. Name it {own or ' or '.join(roles)}; it has {table.columns}."
            )
        return named


def as_frame(frame: Any) -> pl.DataFrame:  # noqa: ANN401 - any frame
    """Return a Polars frame of anything with the Arrow PyCapsule interface.

    Raises:
        ImportRefused: It is no table.
    """
    import polars as pl

    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if not hasattr(frame, "__arrow_c_stream__"):
        raise ImportRefused(
            f"A {type(frame).__name__} is no table. Give a Polars or pandas DataFrame, a PyArrow table, or what else "
            "has the Arrow PyCapsule interface."
        )
    return pl.DataFrame(frame)


def _duration_us(duration: str | timedelta | None) -> int | None:
    if duration is None:
        return None
    if isinstance(duration, timedelta):
        return duration // _MICROSECOND
    return parse_duration(duration, "known_after", zero=True)


def _moment_us(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise SettingsError(
            f"The moment {moment} names no time zone. Give a datetime with tzinfo, such as datetime.UTC."
        )
    from datetime import UTC

    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
