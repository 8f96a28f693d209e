"""What an owner does for its data beside serving: the quarantine, the schema, erasure."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from streamgauge.app.answers import ErasureAnswer, ModelAnswer, VerifyAnswer
from streamgauge.app.erasing import Eraser, erasure_answers
from streamgauge.app.replies import model_answers, quarantine_answer, verify_answer
from streamgauge.app.retrying import Retrier
from streamgauge.app.schema_changes import schema_changes
from streamgauge.app.schema_report import SchemaAnswer, StreamAnswer
from streamgauge.decisions.replay import Replay
from streamgauge.definitions.loader import load_project
from streamgauge.errors import DefinitionError, SettingsError

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from streamgauge.app.answers import QuarantineAnswer, RetryAnswer
    from streamgauge.app.engine import Engine
    from streamgauge.app.importing import Importer
    from streamgauge.app.intake import Intake
    from streamgauge.app.metrics import Metrics
    from streamgauge.app.owner import Owner
    from streamgauge.app.service import Progress
    from streamgauge.app.settings import Place
    from streamgauge.app.verifying import Verifier
    from streamgauge.clock import Clock
    from streamgauge.decisions.ledger import Ledger
    from streamgauge.definitions.specs import ProjectSpec
    from streamgauge.features.decode import SchemaBook
    from streamgauge.log.port import Log
    from streamgauge.models.registry import Registry


class Steward:
    """The part of an owner that looks after what is kept; see `streamgauge.app.owner.Owner`."""

    clock: Clock
    engine: Engine
    intake: Intake
    metrics: Metrics
    place: Place
    project: ProjectSpec
    verifier: Verifier | None = None
    _log: Log
    _importer: Importer
    _ledger: Ledger
    _registry: Registry
    _book: SchemaBook
    _reloading: threading.Lock

    def quarantined(
        self,
        *,
        number: int | None = None,
        last: int = 100,
        before: int | None = None,
        reason: str | None = None,
        stream: str | None = None,
        resolved: bool | None = None,
    ) -> list[QuarantineAnswer]:
        """See `Service.quarantined`."""
        found = self._log.quarantined(
            number=number, last=last, before=before, reason=reason, stream=stream, resolved=resolved
        )
        return [quarantine_answer(one) for one in found]

    def retry(
        self, numbers: Sequence[int] | None = None, *, reason: str | None = None, stream: str | None = None
    ) -> RetryAnswer:
        """See `Service.retry`."""
        answer = self._retrier.retry(numbers, reason=reason, stream=stream)
        self.metrics.retried(answer.resolved, answer.kept)
        return answer

    def verify(self, progress: Progress, *, last: int | None = None) -> VerifyAnswer:
        """See `Service.verify`."""
        replay = Replay(self._log, self._ledger, self._registry, self._book)
        report = replay.run(last, lambda done, total: progress("replaying decisions", done, total))
        return verify_answer(report)

    def models(self) -> list[ModelAnswer]:
        """See `Service.models`."""
        return model_answers(self._registry)

    def schema(self) -> SchemaAnswer:
        """See `Service.schema`."""
        error = None
        try:
            streams = load_project(self.place.project_file).streams
        except (DefinitionError, SettingsError) as found:
            streams, error = dict(self.intake.streams), str(found)
        forms = self._log.schemas()
        return SchemaAnswer(
            streams=[
                StreamAnswer(
                    stream=name,
                    unknown=spec.unknown,
                    fields={field.name: field.kind.value for field in spec.fields},
                    forms=sum(form.name == name for form in forms),
                )
                for name, spec in streams.items()
            ],
            changes=schema_changes(streams, forms),
            drift=self.intake.drift.all(),
            error=error,
        )

    def verification(self) -> dict[str, Any]:
        """Return what continuous verification found so far."""
        return {"checked": 0, "mismatches": 0, "found": []} if self.verifier is None else self.verifier.state()

    def verify_continuously(self) -> None:
        """Recompute a share of decisions and scores from now on, where the settings ask for it."""
        from streamgauge.app.verifying import Verifier

        if self.place.settings.verification.share:
            self.verifier = Verifier(cast("Owner", self))
            self.verifier.start()

    def erase(
        self,
        entity: str,
        *,
        role: str | None = None,
        by: str = "",
        progress: Progress | None = None,
    ) -> ErasureAnswer:
        """See `Service.erase`."""

        def step(what: str) -> None:
            if progress is not None:
                progress(f"erasing {what}", 0, 0)

        with self._reloading:
            return self._eraser.erase(entity, role, by, self.project.streams, step=step)

    def erasures(self) -> list[ErasureAnswer]:
        """See `Service.erasures`."""
        return list(erasure_answers(self._ledger))

    @cached_property
    def _eraser(self) -> Eraser:
        return Eraser(self.place, self._log, self._ledger, self._registry, self.engine, self._book, self.clock)

    @cached_property
    def _retrier(self) -> Retrier:
        return Retrier(self._log, self.intake, self.engine, self._importer, self.clock)
