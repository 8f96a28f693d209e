"""``run`` and ``demo``: the engine and its API."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.app.cli.options import HERE, JsonOption, ProjectOption, find
from streamgauge.app.cli.terminal import Progress, note, show_json, show_json_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamgauge.app.settings import Place


def run(
    *,
    host: Annotated[str | None, typer.Option("--host", metavar="ADDRESS", help="Instead of [api] host.")] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, metavar="PORT", help="Instead of [api] port; 0: a free one."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=256, metavar="N", help="API processes, instead of [server] workers."),
    ] = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Own the project's data: accept events, keep scores fresh, decide, and serve the API until Ctrl-C.

    With more than one worker, processes of their own answer requests. The first start creates an admin key and prints
    it this once. With --json, one line with url and key is printed when requests are answered.
    """
    from streamgauge.app.compiling import compile_kernels

    place = _with_address(find(project), host, port)
    with Progress() as progress:
        compile_kernels(progress)

    def started(url: str) -> None:
        key = _first_key(place) if place.settings.api.keys else None
        if json:
            show_json_line({"url": url, "key": key, "keys": str(place.keys), "socket": str(place.socket)})
            return
        note(f"Serving {place.project_file.name} on {url}: {url}/openapi.json lists every endpoint.")
        if key is not None:
            note(f"Admin key, shown this once: {key}")
        if place.settings.api.keys:
            note(f"Keys are kept hashed in {place.keys}; make others with: streamgauge keys create NAME --scope read.")

    processes = workers or place.settings.server.workers
    if processes == 1:
        _run_alone(place, started)
        return
    from streamgauge.app.workers.supervisor import Supervisor

    code = Supervisor(place, processes, started).run()
    if code:
        raise typer.Exit(code)


def _run_alone(place: Place, started: Callable[[str], None]) -> None:
    """Own the data and answer requests in this process."""
    from streamgauge.app.compiling import CompilingLater
    from streamgauge.app.connect import become_owner

    def said(url: str) -> None:
        started(url)
        if not owner.live.models:
            note("No model is served yet: streamgauge import, then streamgauge train, beside this process.")

    with closing(CompilingLater()) as later:
        with Progress() as progress:
            owner = become_owner(place, progress, serves=True)
        later.then(owner.engine.summarize)

        from streamgauge.app.api.serving import serve

        serve(owner, on_started=said)


def demo(  # noqa: PLR0913 - every part of a demo may be larger or smaller
    *,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Keep the project here; by default in a temporary folder."),
    ] = None,
    borrowers: Annotated[int, typer.Option("--borrowers", min=1, help="How many borrowers are simulated.")] = 5_000,
    days: Annotated[int, typer.Option("--days", min=1, help="How many days of history.")] = 730,
    rate: Annotated[int, typer.Option("--rate", min=1, max=20_000, help="Live events a second.")] = 500,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="End by itself after so much streaming, such as 60s."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed is another portfolio.")] = 7,
    headless: Annotated[bool, typer.Option("--headless", help="Draw nothing.")] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", dir_okay=False, help="Keep the last picture as an SVG."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Simulate a lender, train its models, stream live events and decide applications, on screen.

    Ctrl-C ends it with the summary.
    """
    from streamgauge.app.demo.driver import Demo, DemoSettings
    from streamgauge.definitions.windows import parse_duration

    seconds = None if duration is None else parse_duration(duration, "--for") / 1_000_000
    settings = DemoSettings(
        directory=directory,
        borrowers=borrowers,
        days=days,
        rate=rate,
        seconds=seconds,
        seed=seed,
        draws=not headless and not json,
        picture=picture,
    )
    summary = Demo(settings).run()
    if json:
        show_json(summary)
    elif summary.verify.mismatch or summary.verify.checked < summary.decisions:
        raise typer.Exit(1)


def _with_address(place: Place, host: str | None, port: int | None) -> Place:
    from streamgauge.app.settings import Place as PlaceAt

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    if not given:
        return place
    api = place.settings.api.model_copy(update=given)
    return PlaceAt(place.root, place.settings.model_copy(update={"api": api}))


def _first_key(place: Place) -> str | None:
    """Create an admin key where no key exists, and return it; else None."""
    from streamgauge.app.keys import Keys
    from streamgauge.app.wiring import SystemClock

    keys = Keys(place.keys)
    if keys.all():
        return None
    return keys.create("admin", ["admin"], SystemClock().now_us())[0]
