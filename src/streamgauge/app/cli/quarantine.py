"""``quarantine``: what was refused, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.app.cli.options import HERE, JsonOption, ProjectOption, find
from streamgauge.app.cli.terminal import Progress, say, show_json, show_table

if TYPE_CHECKING:
    from pathlib import Path

    from streamgauge.app.answers import QuarantineAnswer

app = typer.Typer(help="Events that were refused, and why.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog="Example: streamgauge quarantine list --last 20")
def list_(
    *,
    last: Annotated[int, typer.Option("--last", min=1, max=1_000, metavar="N", help="How many of the newest.")] = 100,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """List the newest refused events."""
    found = _read(project, None, last)
    if json:
        show_json(found)
    elif not found:
        say("The quarantine is empty.")
    else:
        rows = [(one.number, one.at, one.stream, one.event_id, one.reason, one.detail) for one in found]
        show_table(("number#", "at", "stream", "event", "reason", "detail"), rows)


@app.command("show", epilog="Example: streamgauge quarantine show 17")
def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="Its number in the list.")],
    *,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Show one refused event, as it came."""
    from streamgauge.errors import UnknownName

    found = _read(project, number, 1)
    if not found:
        raise UnknownName(f"The quarantine has no number {number}. See: streamgauge quarantine list.")
    one = found[0]
    if json:
        show_json(one)
        return
    facts = {
        name: getattr(one, name) for name in ("number", "at", "stream", "entity", "event_id", "reason", "position")
    }
    show_table(("what", "value"), [*facts.items(), ("detail", one.detail), ("body", one.body)])


def _read(project: Path, number: int | None, last: int) -> list[QuarantineAnswer]:
    from streamgauge.app.connect import connect

    with Progress() as progress:
        service = connect(find(project), progress)
        try:
            return service.quarantined(number=number, last=last)
        finally:
            service.close()
