"""Options that many commands share, and how their texts are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from streamgauge.app.settings import Place
    from streamgauge.definitions.specs import ProjectSpec

ProjectOption = Annotated[
    Path, typer.Option("--project", "-C", metavar="DIR", help="The project's directory, or one inside it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")]
ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", metavar="MODEL", help="The model's name; not needed if there is one.")
]
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A Parquet, CSV or JSON Lines file.")
]
StreamOption = Annotated[
    str, typer.Option("--stream", "-s", metavar="STREAM", help="The stream: the name of an event class.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="The moment: ISO 8601 with its zone, or µs since 1970. Default: now."),
]
PositionOption = Annotated[
    int | None, typer.Option("--position", min=0, metavar="P", help="Know only the log up to this position.")
]

HERE: Final = Path()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def find(directory: Path) -> Place:
    """Return the project directory that a command is about.

    Raises:
        SettingsError: There is none.
    """
    from streamgauge.app.settings import find_place

    return find_place(directory)


def load(place: Place) -> ProjectSpec:
    """Load the project file of a project directory.

    Raises:
        DefinitionError: It is wrong.
    """
    from streamgauge.definitions.loader import load_project

    return load_project(place.project_file)


def moment(text: str | None) -> int | None:
    """Return a moment in µs since 1970.

    >>> moment("1970-01-01T01:00:00+01:00"), moment("1970-01-01T00:00:01Z"), moment("250"), moment(None)
    (0, 1000000, 250, None)
    """
    if text is None:
        return None
    if text.isascii() and text.removeprefix("-").isdigit():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f'"{text}" is no moment. Write 2026-01-31T12:00:00Z, or µs since 1970.') from error
    if found.tzinfo is None:
        raise typer.BadParameter(f'"{text}" names no time zone. Write {text}Z for UTC, or add an offset like +01:00.')
    return (found - _EPOCH) // timedelta(microseconds=1)


def choose_model(project: ProjectSpec, name: str | None) -> str:
    """Return the name of a declared model: the one asked for, or the only one.

    Raises:
        UnknownName: There is none of that name, or several to choose from.
    """
    from streamgauge.errors import UnknownName, close_match

    if name is None and len(project.models) == 1:
        return next(iter(project.models))
    if name is None:
        raise UnknownName(f"Name a model with --model. {close_match('', project.models)}")
    if name not in project.models:
        raise UnknownName(f'The project file declares no model "{name}". {close_match(name, project.models)}')
    return name
