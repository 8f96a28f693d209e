"""Templates: whole projects to begin from."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from streamgauge.errors import SettingsError, UnknownName, close_match

if TYPE_CHECKING:
    from pathlib import Path

_PARTS: Final = (".py", ".toml")


def templates() -> list[str]:
    """Return the names of the templates.

    >>> templates()
    ['churn', 'credit']
    """
    return sorted(entry.name for entry in files("streamgauge.app").joinpath("templates").iterdir() if entry.is_dir())


def create_project(directory: Path, template: str) -> list[Path]:
    """Write a template's files into a directory, which is created; return what was written.

    Raises:
        UnknownName: There is no such template.
        SettingsError: One of its files is there already; nothing was written.
    """
    if template not in templates():
        raise UnknownName(f'There is no template "{template}". {close_match(template, templates())}')
    source = files("streamgauge.app").joinpath("templates", template)
    parts = sorted((part for part in source.iterdir() if part.name.endswith(_PARTS)), key=lambda part: part.name)
    taken = [part.name for part in parts if (directory / part.name).exists()]
    if taken:
        raise SettingsError(f"{directory} holds {', '.join(taken)} already. Choose another directory, or remove it.")
    directory.mkdir(parents=True, exist_ok=True)
    for part in parts:
        (directory / part.name).write_bytes(part.read_bytes())
    return [directory / part.name for part in parts]
