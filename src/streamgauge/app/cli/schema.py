"""``schema``: what is declared, what the log knows, and what comes in otherwise."""

from __future__ import annotations

from streamgauge.app.cli.options import HERE, JsonOption, ProjectOption, find
from streamgauge.app.cli.terminal import Progress, note, say, show_json, show_table


def schema(*, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """Show the declared streams, what the project file changed since, and fields that came in otherwise (drift).

    Drift is counted by stream, field and kind, with the type of an example; values are not kept. An unsafe change of
    the file is refused at the next start.
    """
    from streamgauge.app.connect import connect

    with Progress() as progress:
        service = connect(find(project), progress)
        try:
            found = service.schema()
        finally:
            service.close()
    if json:
        show_json(found)
        return
    if found.error is not None:
        note(f"The project file cannot be loaded: {found.error}")
    rows = [(one.stream, one.unknown, len(one.fields), one.forms) for one in found.streams]
    show_table(("stream", "unknown fields", "fields#", "forms in the log#"), rows)
    if found.changes:
        changes = [(one.stream, one.field, one.what, one.safe, one.detail) for one in found.changes]
        show_table(("stream", "field", "change", "safe", "detail"), changes, title="Changed since the last start")
    if not found.drift:
        say("Every event so far was as declared.")
        return
    drift = [
        (one.stream, one.field, one.kind, one.outcome, one.events, one.first_seen, one.last_seen, one.example)
        for one in found.drift
    ]
    names = ("stream", "field", "drift", "outcome", "events#", "first seen", "last seen", "example")
    show_table(names, drift, title="Drift")
