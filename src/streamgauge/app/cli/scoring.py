"""``score``, ``features``, ``decide``, ``verify``, ``portfolio``: what is asked of the owner."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamgauge.app.cli.options import (
    HERE,
    AsOfOption,
    JsonOption,
    ModelOption,
    PositionOption,
    ProjectOption,
    find,
    moment,
)
from streamgauge.app.cli.terminal import Progress, say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamgauge.app.answers import DecisionAnswer, Moment
    from streamgauge.app.service import Service
    from streamgauge.app.settings import Place

EntityArgument = Annotated[str, typer.Argument(metavar="ENTITY", help="The entity's id, or ROLE:ID.")]


def score(
    entity: EntityArgument,
    *,
    model: ModelOption = None,
    as_of: AsOfOption = None,
    position: PositionOption = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Score an entity by a model's champion, as of now or of an earlier moment."""
    moment_us = moment(as_of)
    with _asked(find(project)) as (service, _):
        answer = service.score(entity, model=model, as_of=moment_us, position=position)
    if json:
        show_json(answer)
        return
    rows = [("PD", f"{answer.pd:.4%}"), ("points", f"{answer.points:.1f}"), ("margin", answer.margin)]
    show_table(("", answer.entity), [*rows, ("model", f"{answer.model} {answer.version}"), *_moment(answer)])


def features(
    entity: EntityArgument,
    *,
    model: ModelOption = None,
    as_of: AsOfOption = None,
    position: PositionOption = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Show an entity's features: those of a model, or all of the project file's."""
    moment_us = moment(as_of)
    with _asked(find(project)) as (service, _):
        answer = service.features(entity, model=model, as_of=moment_us, position=position)
    if json:
        show_json(answer)
        return
    show_table(("feature", "value#"), answer.features.items())
    show_table(("", answer.entity), _moment(answer))


def decide(
    event: Annotated[
        Path, typer.Argument(metavar="EVENT.json", allow_dash=True, help="A file with one flat event, or - for stdin.")
    ],
    *,
    decision_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="The decision's id; by default made of the stream and the event's id."),
    ] = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Decide an event: append it, score it, record the decision durably, answer with its reasons.

    The same id with the same event again answers the same decision.
    """
    flat = _flat(event)
    with _asked(find(project)) as (service, _):
        answer = service.decide(decision_id, flat)
    if json:
        show_json(answer)
    else:
        _show_decision(answer)


def verify(
    *,
    last: Annotated[int | None, typer.Option("--last", min=1, metavar="N", help="Only the newest N.")] = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Recompute decisions from their records and from the log, and check the ledger's chain.

    Ends with code 1 if a decision does not replay or the chain is broken.
    """
    from streamgauge.app.connect import connect_auditor

    with Progress() as progress, closing(connect_auditor(find(project))) as auditor:
        answer = auditor.verify(progress, last=last)
    if json:
        show_json(answer)
    else:
        say(f"{answer.checked:,} decisions recomputed: {answer.match:,} match, {answer.mismatch:,} do not.")
        say(f"{answer.erased:,} erased. Chain: {answer.chain}.")
        if answer.differences:
            rows = [(one.seq, one.decision_id, " ".join(one.changed), one.detail) for one in answer.differences]
            show_table(("entry#", "decision", "changed", "detail"), rows)
    if answer.mismatch or answer.chain != "intact":
        raise typer.Exit(1)


def portfolio(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="A .parquet, .csv or .jsonl file.")],
    model: ModelOption = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Score every active entity as of one moment, into a file."""
    with _asked(find(project)) as (service, progress):
        count = service.portfolio(out.resolve(), progress, model=model)
    if json:
        show_json({"scored": count, "out": str(out)})
    else:
        say(f"{count:,} entities scored into {out}.")


@contextmanager
def _asked(place: Place) -> Iterator[tuple[Service, Progress]]:
    from streamgauge.app.connect import connect

    with Progress() as progress:
        service = connect(place, progress)
        try:
            yield service, progress
        finally:
            service.close()


def _flat(path: Path) -> dict[str, Any]:
    import sys

    import msgspec

    from streamgauge.errors import EventRejected

    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventRejected(f"{path} holds no JSON object: {error}.", reason="malformed") from error


def _show_decision(answer: DecisionAnswer) -> None:
    grade = f", grade {answer.grade}" if answer.grade else ""
    say(f"{answer.outcome.upper()} by the {answer.stage}: PD {answer.pd:.4%}, {answer.points:.1f} points{grade}.")
    if answer.reasons:
        rows = [(one.code, one.text, one.contribution, ", ".join(one.features)) for one in answer.reasons]
        show_table(("code", "reason", "contribution#", "features"), rows)
    model, policy = answer.model, answer.policy
    facts = {
        "decision": answer.decision_id + (" (decided before)" if answer.repeated else ""),
        "entity": answer.entity,
        "event": answer.event_id,
        "as of": answer.as_of,
        "model": f"{model['name']} {model['version']}",
        "policy": f"{policy['name']} {policy['version']}",
        "digest": answer.digest,
        "entry": answer.seq,
    }
    show_table(("", "record"), facts.items())


def _moment(answer: Moment) -> list[tuple[str, object]]:
    return [
        ("as of", answer.as_of),
        ("position", answer.position),
        ("known at", answer.known_at),
        ("lag", f"{answer.lag:.3f} s"),
    ]
