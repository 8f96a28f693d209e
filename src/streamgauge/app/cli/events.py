"""``import`` and ``ingest``: files of events come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamgauge.app.cli.options import HERE, FileArgument, JsonOption, ProjectOption, StreamOption, find
from streamgauge.app.cli.terminal import Progress, note, say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.app.answers import ImportAnswer, IngestAnswer, Refused

_SHOWN: Final = 5

KnownAfterOption = Annotated[
    str | None,
    typer.Option("--known-after", metavar="DURATION", help="Every event became known this long after it happened."),
]
KnownAtOption = Annotated[
    str | None,
    typer.Option("--known-at", metavar="COLUMN", help="The column that says when each event became known."),
]


def import_(
    file: FileArgument,
    *,
    stream: StreamOption,
    known_after: KnownAfterOption = None,
    known_at: KnownAtOption = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Import history, with when it became known, and rebuild what it touches.

    Training sees each event only from its arrival on, so an import must declare it: --known-after or --known-at.
    """
    from streamgauge.app.connect import connect
    from streamgauge.definitions.windows import parse_duration

    if known_after is not None and known_at is not None:
        raise typer.BadParameter("--known-after and --known-at exclude each other: give one of them.")
    after = None if known_after is None else parse_duration(known_after, "--known-after", zero=True)
    place = find(project)
    with Progress() as progress:
        service = connect(place, progress)
        try:
            answer = service.import_file(file, stream, progress, known_after_us=after, known_at=known_at)
        finally:
            service.close()
    if json:
        show_json(answer)
    else:
        say(f"{_accepted(answer, stream)} {answer.entities:,} entities rebuilt.")
    _end(answer, quiet=json)


def ingest(
    file: FileArgument,
    *,
    stream: StreamOption,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Accept a file's rows as events known now, apply them and score what they touch."""
    from streamgauge.app.connect import connect

    place = find(project)
    with Progress() as progress:
        service = connect(place, progress)
        try:
            answer = service.ingest_file(file, stream, progress)
        finally:
            service.close()
    if json:
        show_json(answer)
    else:
        known, conflicts = answer.duplicates or 0, answer.conflicts or 0
        say(f"{_accepted(answer, stream)} {known:,} known already, {conflicts:,} in conflict.")
    _end(answer, quiet=json)


def _accepted(answer: ImportAnswer | IngestAnswer, stream: str) -> str:
    bad = f", {answer.quarantined:,} quarantined" if answer.quarantined else ""
    return f"{answer.accepted:,} events of {stream} accepted{bad}; last position {answer.position}."


def _end(answer: ImportAnswer | IngestAnswer, *, quiet: bool) -> None:
    """Name what was refused; where nothing else came in, that is a failure."""
    if answer.quarantined and not quiet:
        _show_refused(answer.refused, answer.quarantined)
    if answer.quarantined and not answer.accepted:
        note("Error: no event was accepted. Mend the rows and send them again; streamgauge quarantine list shows all.")
        raise typer.Exit(1)


def _show_refused(refused: Sequence[Refused], total: int) -> None:
    rows = [(one.index or None, one.reason, one.detail, one.quarantine) for one in refused[:_SHOWN]]
    show_table(("row#", "reason", "detail", "quarantine#"), rows, title=f"First {len(rows)} of {total:,} refused")
    say("See: streamgauge quarantine list")
