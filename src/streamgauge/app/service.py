"""What Streamgauge does for those who ask: one facade for the API, the command line and Python.

The owner of a data directory answers with `streamgauge.app.owner.Owner`; another process asks it over its socket with
`streamgauge.app.remote.RemoteService`. Both are a `Service`, so a command need not know which it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from streamgauge.app.answers import (
        DecisionAnswer,
        ErasureAnswer,
        FeaturesAnswer,
        ImportAnswer,
        IngestAnswer,
        ModelAnswer,
        QuarantineAnswer,
        RetryAnswer,
        ScoreAnswer,
        VerifyAnswer,
    )
    from streamgauge.app.schema_report import SchemaAnswer

Progress: TypeAlias = "Callable[[str, int, int], None]"
"""Told what takes long, how much of it is done, and how much there is."""


def quiet(_what: str, _done: int, _total: int) -> None:
    """Show no progress."""


class Service(Protocol):
    """Everything that can be asked. Moments are µs since the epoch; errors are those of `streamgauge.errors`."""

    def ingest(self, events: Sequence[Mapping[str, Any]], *, applied: bool = False) -> IngestAnswer:
        """Accept flat events known now; answer after the durable append, or after applying.

        Bad events go to the quarantine, each with its index and reason; the good ones are accepted.
        """

    def ingest_file(self, path: Path, stream: str, progress: Progress) -> IngestAnswer:
        """Accept the rows of a Parquet, CSV or JSON Lines file as events known now; answer after applying."""

    def import_file(
        self,
        path: Path,
        stream: str,
        progress: Progress,
        *,
        known_after_us: int | None = None,
        known_at: str | None = None,
    ) -> ImportAnswer:
        """Accept history with its declared arrival; answer after every entity it touches is rebuilt.

        Raises:
            ImportRefused: It declares no arrival, or a column is missing.
        """

    def features(
        self,
        entity: str,
        *,
        model: str | None = None,
        as_of: int | None = None,
        position: int | None = None,
        min_position: int | None = None,
    ) -> FeaturesAnswer:
        """Return finished features of one entity's id.

        Without a moment and a position: as of now, knowing all that is applied. With ``as_of`` alone: knowing all that
        is applied. With ``position`` alone: as of the newest moment known at it.

        Raises:
            UnknownName: No such entity or model.
            PositionNotReached: ``min_position`` was not applied in time.
        """

    def score(
        self,
        entity: str,
        *,
        model: str | None = None,
        as_of: int | None = None,
        position: int | None = None,
        min_position: int | None = None,
    ) -> ScoreAnswer:
        """Return the risk of one entity's id by a grid model's champion, with the moments of `features`.

        Raises:
            UnknownName: No such entity or model, or no champion.
            NeedsEvent: The model scores events.
            Inactive: The entity is not in the model's population at that moment.
            PositionNotReached: ``min_position`` was not applied in time.
        """

    def decide(self, decision_id: str | None, event: Mapping[str, Any]) -> DecisionAnswer:
        """Decide an event: append it, apply, score, record durably, answer.

        Without a decision_id it is made of the stream and the event's own id.

        Raises:
            EventRejected: The event cannot be accepted; there is no decision.
            DecisionConflict: The id was used before with another event.
            UnknownName: No model with a registered policy observes the event's stream.
        """

    def decision(self, decision_id: str) -> DecisionAnswer:
        """Return a decision.

        Raises:
            UnknownName: There is none of that id.
            DecisionErased: It was erased on purpose.
        """

    def decision_record(self, decision_id: str) -> dict[str, Any]:
        """Return a decision's whole record: request, feature vector, model input, versions.

        Raises:
            UnknownName: There is none of that id.
            DecisionErased: It was erased on purpose.
        """

    def verify(self, progress: Progress, *, last: int | None = None) -> VerifyAnswer:
        """Recompute the newest decisions, or all, from their records and from the log, and check the chain."""

    def portfolio(self, out: Path, progress: Progress, *, model: str | None = None) -> int:
        """Write every active entity's score as of one moment to a Parquet, CSV or JSON Lines file; return how many."""

    def models(self) -> list[ModelAnswer]:
        """Return all registered models, champions marked."""

    def prepare(self, models: Sequence[str], progress: Progress) -> None:
        """Build the states that models of the project file will need while they are being trained.

        `reload` finds them then; without, it builds them itself.

        Raises:
            DefinitionError: The project file is wrong.
        """

    def reload(self, progress: Progress) -> None:
        """Serve the champions and policies that are registered now; states that do not fit them are rebuilt."""

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
        """Return one refused event, or the newest ones: of a reason, of a stream, open or resolved."""

    def retry(
        self, numbers: Sequence[int] | None = None, *, reason: str | None = None, stream: str | None = None
    ) -> RetryAnswer:
        """Try refused events again under today's declarations; answer when what is valid is applied.

        Args:
            numbers: Their numbers; None for all open ones.
            reason: Only those refused for it.
            stream: Only those of it.

        Raises:
            UnknownName: The quarantine has no such number or reason.
        """

    def erase(
        self,
        entity: str,
        *,
        role: str | None = None,
        by: str = "",
        progress: Progress | None = None,
    ) -> ErasureAnswer:
        """Remove everything of an entity from every file; the ledger's chain still verifies, and notes it.

        Args:
            entity: Its id.
            role: Its role; not needed where the log knows the id under one only.
            by: Who asks, for the audit.
            progress: Told what is being done.

        Raises:
            UnknownName: The log knows the id under no role or several, or no stream has the role.
        """

    def erasures(self) -> list[ErasureAnswer]:
        """Return who had something erased, when and how much, the newest first."""

    def schema(self) -> SchemaAnswer:
        """Return the streams as declared now, where they differ from the log, and what came in that is not declared."""

    def close(self) -> None:
        """Release everything; what was accepted is durable."""
