"""``init`` and ``check``: a project begins, and is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.app.cli.options import HERE, JsonOption, ProjectOption, find, load
from streamgauge.app.cli.terminal import say, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamgauge.app.settings import Place
    from streamgauge.definitions.specs import ModelSpec, ProjectSpec


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False, help="The new project's directory.")],
    *,
    template: Annotated[
        str,
        typer.Option(
            "--template",
            metavar="NAME",
            help="What it starts from: credit (accounts and loans) or churn (subscriptions).",
        ),
    ] = "credit",
    json: JsonOption = False,
) -> None:
    """Begin a project: a settings file and a typed project file to change."""
    from streamgauge.app.project_templates import create_project

    created = create_project(directory, template)
    if json:
        show_json({"directory": str(directory), "template": template, "files": [path.name for path in created]})
        return
    say(f"Created {', '.join(path.name for path in created)} in {directory}.")
    say(f"Next: streamgauge check -C {directory}")


def check(*, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """Check the project file and the settings, and show the feature catalogue."""
    from streamgauge.app.catalogue import catalogue

    place = find(project)
    loaded = load(place)
    entries = catalogue(loaded)
    if json:
        show_json(
            {
                "project": loaded.name,
                "file": str(place.project_file),
                "streams": {name: [field.name for field in spec.fields] for name, spec in loaded.streams.items()},
                "models": [_model(model, loaded) for model in loaded.models.values()],
                "labels": list(loaded.labels),
                "settings": place.settings.model_dump(),
                "features": entries,
            }
        )
        return
    rows = [(one.name, one.stream, one.window, one.unit, one.code, one.risk) for one in entries]
    show_table(("feature", "stream", "window", "unit", "code", "risk"), rows, title="Feature catalogue")
    models = [_model(model, loaded) for model in loaded.models.values()]
    show_table(
        ("model", "observes", "label", "estimator", "features#", "policy"), [list(one.values()) for one in models]
    )
    show_table(("setting", "value"), _settings(place), title="Settings")
    counts = (("streams", loaded.streams), ("features", entries), ("labels", loaded.labels), ("models", loaded.models))
    say(f"{place.project_file.name} is sound: {', '.join(f'{len(found)} {what}' for what, found in counts)}.")


def _model(model: ModelSpec, project: ProjectSpec) -> dict[str, object]:
    observe = model.observe
    grid = "every" if observe.kind == "every" else "at moments"
    return {
        "model": model.name,
        "observes": observe.stream or f"{observe.role}, {grid}",
        "label": model.label.name,
        "estimator": model.estimator.kind,
        "features": len(model.features),
        "policy": model.name in project.policies,
    }


def _settings(place: Place) -> Iterable[tuple[str, object]]:
    for section, values in place.settings.model_dump().items():
        for name, value in values.items():
            yield f"[{section}] {name}", str(value)
