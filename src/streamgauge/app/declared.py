"""What an owner serves with: the project file where it fits, else the streams as the log has them.

Editing the file never stops serving: it only says what is trained next.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streamgauge.app import wiring
from streamgauge.app.schema_changes import check_changes
from streamgauge.definitions.loader import load_project
from streamgauge.definitions.specs import ProjectSpec
from streamgauge.errors import DefinitionError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.app.settings import Place
    from streamgauge.definitions.schema import FieldSpec, StreamSpec
    from streamgauge.features.layout import Layouts
    from streamgauge.log.port import Log


def project_to_serve(place: Place) -> tuple[ProjectSpec, list[str]]:
    """Return the project file; where it cannot be loaded and models are registered, the streams that the log knows.

    Returns:
        The project, and warnings.

    Raises:
        DefinitionError: The file is wrong, and nothing can be served without it.
        SettingsError: There is no file, and nothing can be served without it.
    """
    try:
        return load_project(place.project_file), []
    except (DefinitionError, SettingsError) as error:
        if not place.log.exists() or not wiring.open_registry(place).models():
            raise
        log = wiring.open_log(place)
        try:
            streams = {spec.name: spec for spec in log.schemas()}
        finally:
            log.close()
        if not streams:
            raise
        warning = (
            f"The project file cannot be loaded: {error} The registered models and policies are served all the same, "
            "with the streams as they were declared before. Mend the file before you train."
        )
        return ProjectSpec(place.root.name, streams, {}, {}, {}), [warning]


def streams_to_serve(
    project: ProjectSpec, layouts: Layouts, known: Sequence[StreamSpec]
) -> tuple[ProjectSpec, list[str]]:
    """Return the project with every stream that a served model reads in a form that the model can read.

    Args:
        project: The project.
        layouts: What the served models read.
        known: Every form that the log has seen, the oldest first.

    Returns:
        The project, and warnings.
    """
    streams, warnings = dict(project.streams), []
    for needed in (one.stream for one in layouts.streams()):
        found = streams.get(needed.name)
        why = "it is gone" if found is None else _misfit(found, needed)
        if not why:
            continue
        fitting = [form for form in known if form.name == needed.name and not _misfit(form, needed)]
        if not fitting:
            continue
        streams[needed.name] = fitting[-1]
        warnings.append(
            f"Stream {needed.name} of the project file does not fit the models that are served ({why}): its events "
            "are taken as it was declared before. Train again, then restart."
        )
    return (replace(project, streams=streams) if warnings else project), warnings


def safe_streams(place: Place, project: ProjectSpec, log: Log, *, serves: bool) -> tuple[ProjectSpec, list[str]]:
    """Return the project with every stream in a form that older records can be read in.

    Args:
        place: The project directory.
        project: The project.
        log: The log.
        serves: Whether models are served: then a stream that changed unsafely goes on as it was declared before.

    Returns:
        The project, and what to tell of the changes.

    Raises:
        DefinitionError: A stream changed unsafely, and nothing is served: the line and the next step.
    """
    streams, told, refused = check_changes(project.streams, log, place.root / place.settings.project.file)
    if refused and not serves:
        raise refused[0]
    told += [f"{error} Until then its events are taken as it was declared before." for error in refused]
    return (replace(project, streams=streams) if refused else project), told


def _misfit(form: StreamSpec, needed: StreamSpec) -> str:
    """Return why a form of a stream cannot be read as a model needs it, or an empty string."""
    names = ("entity", "event_id", "event_time")
    renamed = next((name for name in names if getattr(form, name) != getattr(needed, name)), None)
    if renamed is not None:
        return f"its {renamed} is {getattr(form, renamed)} instead of {getattr(needed, renamed)}"
    fields = {field.name: field for field in form.fields}
    for field in needed.fields:
        if field.name not in fields:
            return f"its field {field.name} is gone"
        if _type(fields[field.name]) != _type(field):
            return f"its field {field.name} is declared differently"
    return ""


def _type(field: FieldSpec) -> tuple[object, ...]:
    return field.kind, field.decimals, field.levels
