"""What an owner does for its data beside serving: the quarantine."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from streamgauge.app.replies import quarantine_answer
from streamgauge.app.retrying import Retrier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.app.answers import QuarantineAnswer, RetryAnswer
    from streamgauge.app.engine import Engine
    from streamgauge.app.importing import Importer
    from streamgauge.app.intake import Intake
    from streamgauge.app.metrics import Metrics
    from streamgauge.clock import Clock
    from streamgauge.log.port import Log


class Steward:
    """The part of an owner that looks after what is kept; see `streamgauge.app.owner.Owner`."""

    clock: Clock
    engine: Engine
    intake: Intake
    metrics: Metrics
    _log: Log
    _importer: Importer

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

    @cached_property
    def _retrier(self) -> Retrier:
        return Retrier(self._log, self.intake, self.engine, self._importer, self.clock)
