"""``doctor``: is everything in order?"""

from __future__ import annotations

from typing import Final

import typer

from streamgauge.app.cli.options import HERE, JsonOption, ProjectOption
from streamgauge.app.cli.terminal import say, show_json, show_table

_MARKS: Final = {"ok": "ok", "note": "note", "bad": "BAD"}


def doctor(*, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """Look at what is installed, reachable and consistent, and say what to do about the rest.

    Ends with code 1 if something is wrong.
    """
    from streamgauge.app.doctor import examine

    findings = examine(project)
    bad = sum(one.state == "bad" for one in findings)
    if json:
        show_json({"healthy": not bad, "findings": findings})
    else:
        for group in dict.fromkeys(one.group for one in findings):
            rows = [(_MARKS[one.state], one.what, one.detail) for one in findings if one.group == group]
            show_table(("", group, ""), rows)
        say("All is well." if not bad else f"{bad} finding(s) need you; each says what to do.")
    if bad:
        raise typer.Exit(1)
