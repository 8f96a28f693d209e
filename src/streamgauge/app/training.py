"""Training beside a running owner: it reads the log, registers, and asks the owner to serve what is new."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from streamgauge.app import wiring
from streamgauge.app.connect import running_owner
from streamgauge.app.service import quiet
from streamgauge.errors import StreamgaugeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.app.service import Progress
    from streamgauge.app.settings import Place
    from streamgauge.definitions.specs import ProjectSpec
    from streamgauge.models.dataset import Dataset
    from streamgauge.models.policies import PolicyReport
    from streamgauge.models.run import TrainingRun
    from streamgauge.scoring.policy import RegisteredPolicy


def dataset_of(
    place: Place,
    project: ProjectSpec,
    model: str,
    progress: Progress,
    position: int | None = None,
) -> Dataset:
    """Build a model's rows from the log as it stands, or as it stood at a position.

    Raises:
        UnknownName: The log holds no record at that position.
        TrainingRefused: The log holds no entity to observe.
    """
    from streamgauge.models.dataset import build_dataset

    with closing(wiring.open_log(place)) as log:
        workers = place.settings.engine.workers
        spec = project.models[model]
        return build_dataset(project, spec, log, workers=workers, progress=progress, position=position)


def train(place: Place, project: ProjectSpec, models: Sequence[str], progress: Progress) -> list[TrainingRun]:
    """Train models from one reading of the log, register them, and have a running owner serve what is champion now.

    Raises:
        TrainingRefused: A model cannot be fitted, or the fitted one may not be registered; those before it are.
        ModelError: It cannot be exported.
    """
    from streamgauge.models.train import train_models

    workers = place.settings.engine.workers
    registry = wiring.open_registry(place)
    with ThreadPoolExecutor(1) as beside:
        preparing = beside.submit(_prepare_owner, place, models)
        try:
            with closing(wiring.open_log(place)) as log:
                return train_models(project, models, log, registry, workers=workers, progress=progress)
        finally:
            preparing.result()
            reload_owner(place, progress)


def _prepare_owner(place: Place, models: Sequence[str]) -> None:
    """Have the running owner build the states that the models will need, while they are being trained."""
    owner = running_owner(place)
    if owner is not None:
        with suppress(StreamgaugeError):  # serving them builds what is missing, or says why it cannot
            owner.prepare(models, quiet)


def evaluate(
    place: Place, project: ProjectSpec, model: str, *, register: bool, progress: Progress
) -> tuple[PolicyReport, RegisteredPolicy | None]:
    """Return what the project file's policy would have done with the champion's applications; register it on request.

    Raises:
        UnknownName: The model has no policy, or was never trained.
        ModelError: A rule reads a feature that was not kept with the model.
    """
    from streamgauge.errors import UnknownName, close_match
    from streamgauge.models.policies import evaluate_policy, make_policy

    policy = project.policies.get(model)
    if policy is None:
        raise UnknownName(f'The project file has no policy for "{model}". {close_match(model, project.policies)}')
    registry = wiring.open_registry(place)
    champion = registry.champion(model)
    if champion is None:
        raise UnknownName(f'Model "{model}" has no champion yet. Train it: streamgauge train --model {model}.')
    artefact, rows = registry.load(champion), registry.rows(champion)
    report = evaluate_policy(project, policy, artefact, rows)
    if not register:
        return report, None
    registered = registry.register_policy(make_policy(project, policy, artefact, rows))
    reload_owner(place, progress)
    return report, registered


def reload_owner(place: Place, progress: Progress) -> bool:
    """Have the running owner serve what is registered now; return whether there is one."""
    owner = running_owner(place)
    if owner is None:
        return False
    owner.reload(progress)
    return True
