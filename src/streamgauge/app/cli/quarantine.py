"""``quarantine``: what was refused and why, and trying it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.app.cli.options import HERE, JsonOption, ProjectOption, find
from streamgauge.app.cli.terminal import Progress, say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    from streamgauge.app.answers import QuarantineAnswer, RetryAnswer
    from streamgauge.app.service import Service

    T = TypeVar("T")

app = typer.Typer(help="Events that were refused: list, show, retry.", rich_markup_mode=None)

_STATES = {"open": False, "resolved": True, "all": None}

ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="REASON", help="Only those refused for it.")]
OfStreamOption = Annotated[str | None, typer.Option("--stream", "-s", metavar="STREAM", help="Only those of it.")]


@app.callback(invoke_without_command=True)
def quarantine(context: typer.Context, *, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """List, show and try again what was refused; without a command: list what is open."""
    if context.invoked_subcommand is None:
        _list(project, json=json)


@app.command("list", epilog="Example: streamgauge quarantine list --reason unknown_field --last 20")
def list_(
    *,
    last: Annotated[int, typer.Option("--last", min=1, max=1_000, metavar="N", help="How many of the newest.")] = 100,
    reason: ReasonOption = None,
    stream: OfStreamOption = None,
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="open, resolved (by a retry) or all.")
    ] = "open",
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """List the newest refused events."""
    _list(project, last=last, reason=reason, stream=stream, state=state, json=json)


@app.command("show", epilog="Example: streamgauge quarantine show 17")
def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="Its number in the list.")],
    *,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Show one refused event, as it came."""
    from streamgauge.errors import UnknownName

    found = _asked(project, lambda service: service.quarantined(number=number))
    if not found:
        raise UnknownName(f"The quarantine has no number {number}. See: streamgauge quarantine list.")
    one = found[0]
    if json:
        show_json(one)
        return
    names = ("number", "at", "stream", "entity", "event_id", "reason", "field", "position", "state", "retries")
    facts: list[tuple[str, object]] = [(name, getattr(one, name)) for name in names]
    facts += [("resolved at position", one.resolved)] if one.resolved is not None else []
    facts += [("note", "The body was cut short when it was stored: it cannot be tried again.")] if not one.whole else []
    show_table(("what", "value"), [*facts, ("detail", one.detail), ("body", one.body)])


@app.command("retry", epilog="Example: streamgauge quarantine retry --reason unknown_field --stream Movement")
def retry(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[NUMBER]…", min=1, help="Which ones.")] = None,
    *,
    reason: ReasonOption = None,
    stream: OfStreamOption = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Try refused events again under today's declarations: those of some numbers, or all open ones.

    What is accepted now is resolved; what is refused again stays, with the newer reason. Nothing is lost, and doing it
    twice is harmless.
    """
    if numbers and (reason is not None or stream is not None):
        raise typer.BadParameter("Numbers and --reason or --stream exclude each other.")
    answer = _asked(project, lambda service: service.retry(numbers or None, reason=reason, stream=stream))
    if json:
        show_json(answer)
        return
    _show_retry(answer)


def _show_retry(answer: RetryAnswer) -> None:
    if not answer.tried and not answer.skipped:
        say("Nothing in the quarantine can be tried again.")
        return
    skipped = f", {answer.skipped:,} cannot be tried (resolved, in the log, or cut short)" if answer.skipped else ""
    say(f"{answer.tried:,} tried: {answer.resolved:,} accepted and applied, {answer.kept:,} refused again{skipped}.")
    kept = [one for one in answer.items if one.state == "open"]
    if kept:
        rows = [(one.number, one.stream, one.event_id, one.reason, one.detail) for one in kept]
        show_table(("number#", "stream", "event", "reason", "detail"), rows)


def _list(
    project: Path,
    *,
    last: int = 100,
    reason: str | None = None,
    stream: str | None = None,
    state: str = "open",
    json: bool,
) -> None:
    if state not in _STATES:
        raise typer.BadParameter(f'--state is "{state}". Write open, resolved or all.')

    def ask(service: Service) -> list[QuarantineAnswer]:
        return service.quarantined(last=last, reason=reason, stream=stream, resolved=_STATES[state])

    found = _asked(project, ask)
    if json:
        show_json(found)
    elif not found:
        say("The quarantine is empty." if reason is stream is None else "The quarantine holds none of these.")
    else:
        rows = [(one.number, one.at, one.stream, one.event_id, one.reason, one.detail) for one in found]
        show_table(("number#", "at", "stream", "event", "reason", "detail"), rows)


def _asked(project: Path, ask: Callable[[Service], T]) -> T:
    from streamgauge.app.connect import connect

    with Progress() as progress:
        service = connect(find(project), progress)
        try:
            return ask(service)
        finally:
            service.close()
