"""``erase`` and ``erasures``: everything of an entity is removed, and who had that done."""

from __future__ import annotations

from typing import Annotated

import typer

from streamgauge.app.cli.options import HERE, JsonOption, ProjectOption, find
from streamgauge.app.cli.terminal import Progress, say, show_json, show_table


def erase(
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="The entity's id.")],
    *,
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help="Its role; not needed if the log knows one only.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Remove everything of an entity from every file, for ever: log, archive, states, scores, decisions' bodies.

    The ledger's chain still verifies; it notes who asked, when and how much, never what. Events that name the entity
    beside another one go under both. What a crash cuts short goes on at the next start.
    """
    import getpass

    from streamgauge.app.connect import connect

    place = find(project)
    if not yes:
        typer.confirm(f'Erase everything of "{entity}"? It cannot be brought back', abort=True, err=True)
    with Progress() as progress:
        service = connect(place, progress)
        try:
            done = service.erase(entity, role=role, by=getpass.getuser(), progress=progress)
        finally:
            service.close()
    if json:
        show_json(done)
        return
    parts = [f"{number:,} {what}" for what, number in done.counts.items()]
    say(f"Erased: {', '.join(parts)}, {done.decisions:,} decisions. The ledger notes it.")


def erasures(*, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """List who had something erased, when and how much, as the ledger's chain has it."""
    from streamgauge.app.connect import connect

    with Progress() as progress:
        service = connect(find(project), progress)
        try:
            found = service.erasures()
        finally:
            service.close()
    if json:
        show_json(found)
    elif not found:
        say("Nothing was erased.")
    else:
        names = ("records", "scores", "quarantined", "protected", "rows")
        rows = [(one.at, one.by, *(one.counts.get(name, 0) for name in names), one.decisions) for one in found]
        show_table(("at", "by", *(f"{name}#" for name in names), "decisions#"), rows)
