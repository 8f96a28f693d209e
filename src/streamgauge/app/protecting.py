"""Protected attributes of a project directory: imported, compared with scores, erased."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from streamgauge.app import wiring
from streamgauge.errors import UnknownName, close_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import polars as pl

    from streamgauge.app.settings import Place
    from streamgauge.definitions.specs import ProjectSpec, ProtectedSpec
    from streamgauge.models.fairness_report import FairnessReport


class ProtectedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an import of protected attributes did.

    Attributes:
        name: The class that declares them.
        imported: How many entities the table told of.
        entities: How many entities of the class are kept now.
    """

    name: str
    imported: int
    entities: int


def import_protected_file(place: Place, project: ProjectSpec, path: Path, name: str | None) -> ProtectedAnswer:
    """Keep the protected attributes of a Parquet, CSV or JSON Lines file.

    Raises:
        UnknownName: The project declares no such class.
        ImportRefused: The file cannot be read, or a value does not fit; nothing was imported then.
    """
    from streamgauge.events.files import JSON_LINES, read_frames

    spec = protected_class(project, name)
    frames = [_lines(path, spec)] if path.suffix.lower() in JSON_LINES else read_frames(path)
    return import_protected_frames(place, frames, spec)


def import_protected_frames(place: Place, frames: Iterable[pl.DataFrame], spec: ProtectedSpec) -> ProtectedAnswer:
    """Keep the protected attributes of frames; see `import_protected_file`."""
    from streamgauge.models.protected import read_people

    people = read_people(frames, spec)
    with closing(wiring.open_protected(place)) as store:
        store.put(spec.name, people)
        return ProtectedAnswer(name=spec.name, imported=len(people), entities=store.counts().get(spec.name, 0))


def erase_protected(place: Place, entity: str) -> int:
    """Delete the protected attributes of an entity (``customer:C1``), and return in how many classes it had some."""
    if not place.protected.exists():
        return 0
    with closing(wiring.open_protected(place)) as store:
        return store.erase(entity)


def fairness(place: Place, project: ProjectSpec, model: str) -> FairnessReport:
    """Return how the champion, and the project file's policy with it, treat people of protected groups.

    Raises:
        UnknownName: The model was never trained, or nothing protected is declared or known of its entities.
        ModelError: A rule of the policy reads a feature that was not kept with the model.
    """
    import numpy as np

    from streamgauge.models.fairness import Judged, judge_attribute
    from streamgauge.models.fairness_report import FairnessReport
    from streamgauge.models.policies import verdicts_of

    registry = wiring.open_registry(place)
    champion = registry.champion(model)
    if champion is None:
        raise UnknownName(
            f'Model "{model}" has no champion yet. {close_match(model, registry.models())} Train it: '
            f"streamgauge train --model {model}."
        )
    artefact, rows = registry.load(champion), registry.rows(champion)
    known = _known(place, project, _role(rows))
    policy = project.policies.get(model)
    approved = None
    if policy is not None:
        verdicts = verdicts_of(project, policy, artefact, rows)
        approved = np.array([verdict.outcome == "approve" for verdict in verdicts], np.bool_)
    judged = Judged.of(artefact, rows, approved)
    return FairnessReport(
        model=model,
        version=champion.version,
        model_sha256=champion.sha256,
        approve_below=None if policy is None else policy.approve_below,
        rows=len(rows),
        entities=len(judged.entities),
        attributes=tuple(
            judge_attribute(judged, spec, attribute, people) for spec, people in known for attribute in spec.names
        ),
    )


def has_protected(place: Place, project: ProjectSpec, model: str) -> bool:
    """Return whether protected attributes of a declared model's entities were imported."""
    role = project.models[model].observe.role
    names = [spec.name for spec in project.protected.values() if spec.entity == role]
    if not names or not place.protected.exists():
        return False
    with closing(wiring.open_protected(place)) as store:
        return any(store.counts().get(name) for name in names)


def protected_class(project: ProjectSpec, name: str | None) -> ProtectedSpec:
    """Return a declared class of protected attributes: the one asked for, or the only one.

    Raises:
        UnknownName: There is none of that name, or several to choose from.
    """
    known = project.protected
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if not known:
        raise UnknownName(
            "The project file declares no protected attributes. Declare them: "
            "class Person(sg.Protected, entity=Session.customer): …"
        )
    if name is None:
        raise UnknownName(f"Name a class of protected attributes. {close_match('', known)}")
    if name not in known:
        raise UnknownName(f'The project file declares no protected attributes "{name}". {close_match(name, known)}')
    return known[name]


def _known(
    place: Place, project: ProjectSpec, role: str
) -> list[tuple[ProtectedSpec, Mapping[str, dict[str, int | str]]]]:
    specs = [spec for spec in project.protected.values() if spec.entity == role]
    if not specs:
        declared = {spec.name: spec.entity for spec in project.protected.values()}
        of = (
            f"those of {', '.join(sorted(set(declared.values())))} are of others"
            if declared
            else "there are none at all"
        )
        raise UnknownName(f"The project file declares no protected attributes of {role}; {of}.")
    if place.protected.exists():
        with closing(wiring.open_protected(place)) as store:
            found: list[tuple[ProtectedSpec, Mapping[str, dict[str, int | str]]]] = [
                (spec, store.people(spec.name)) for spec in specs
            ]
        if any(people for _, people in found):
            return found
    raise UnknownName(
        f"No protected attributes of {role} are known. Import them: streamgauge protected import FILE --class "
        f"{specs[0].name}."
    )


def _role(rows: pl.DataFrame) -> str:
    return str(rows["entity"][0]).partition(":")[0]


def _lines(path: Path, spec: ProtectedSpec) -> pl.DataFrame:
    import polars as pl

    from streamgauge.errors import ImportRefused

    try:
        return pl.read_ndjson(path, infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).partition("\n")[0]
        raise ImportRefused(
            f"{path.name} cannot be read: {reason}. Write one object a line, with {', '.join(spec.names)}."
        ) from error
