"""``keys``: who may call the API."""

from __future__ import annotations

from typing import Annotated

import typer

from streamgauge.app.cli.options import HERE, JsonOption, ProjectOption, find
from streamgauge.app.cli.terminal import say, show_json, show_table

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True, rich_markup_mode=None)


@app.command("create", epilog="Example: streamgauge keys create scoring-service --scope read --scope decide")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What its holder is called.")],
    *,
    scope: Annotated[
        list[str],
        typer.Option("--scope", metavar="SCOPE", help="ingest, read, decide, fairness or admin; may be repeated."),
    ],
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Create an API key, and print it this once: only its hash is kept."""
    from streamgauge.app.keys import Keys
    from streamgauge.app.wiring import SystemClock

    key, entry = Keys(find(project).keys).create(name, scope, SystemClock().now_us())
    if json:
        show_json({"key": key, "id": entry.id, "name": entry.name, "scopes": entry.scopes, "created": entry.created})
    else:
        say(f"{key}\nKeep it now, it is not shown again. {entry.name} may: {', '.join(entry.scopes)}.")


@app.command("list", epilog="Example: streamgauge keys list")
def list_(*, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """List the API keys: names, ids and scopes; the keys themselves are not kept."""
    from streamgauge.app.keys import Keys

    entries = Keys(find(project).keys).all()
    if json:
        show_json(entries)
    elif not entries:
        say("There is no API key yet. Create one: streamgauge keys create NAME --scope read.")
    else:
        rows = [(one.id, one.name, " ".join(one.scopes), one.created) for one in entries]
        show_table(("id", "name", "scopes", "created"), rows)


@app.command("revoke", epilog="Example: streamgauge keys revoke scoring-service")
def revoke(
    which: Annotated[str, typer.Argument(metavar="NAME", help="Its name or id.")],
    *,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Revoke an API key; a running server refuses it from the next request on."""
    from streamgauge.app.keys import Keys

    entry = Keys(find(project).keys).revoke(which)
    if json:
        show_json(entry)
    else:
        say(f'The key "{entry.name}" ({entry.id}) is revoked.')
