"""What is served now: champions with their programs, and layouts that fit them all.

The project file takes no part in it: an edited file changes what is trained next, never what is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamgauge.errors import ModelError
from streamgauge.features.bind import BoundProgram
from streamgauge.features.layout import Layouts
from streamgauge.features.predicates import holds
from streamgauge.features.program import FeatureProgram
from streamgauge.models.serving import Serving, serving_of
from streamgauge.scoring.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from streamgauge.models.registry import RegisteredModel, Registry
    from streamgauge.scoring.artefact import ModelArtefact
    from streamgauge.scoring.policy import RegisteredPolicy


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One model version and the policy version that decides with it, before they are bound to layouts.

    Attributes:
        registered: Its entry in the registry.
        artefact: The artefact, its hashes verified.
        policy: The policy in force, or None.
        program: The model's program.
        rules: The program of the policy's rules, or None.
    """

    registered: RegisteredModel
    artefact: ModelArtefact
    policy: RegisteredPolicy | None
    program: FeatureProgram
    rules: FeatureProgram | None

    def programs(self) -> list[FeatureProgram]:
        """Return the programs it is served with: its own, and its policy's rules'."""
        return [self.program] if self.rules is None else [self.program, self.rules]

    @classmethod
    def of(cls, registered: RegisteredModel, artefact: ModelArtefact, policy: RegisteredPolicy | None) -> LoadedModel:
        """Read the programs that an artefact and a policy carry.

        Raises:
            ModelError: The artefact's program is not the one it was registered with (another version of the kernel).
        """
        program = FeatureProgram.from_canonical(artefact.program)
        if program.digest != artefact.program_sha256:
            raise ModelError(
                f'Model "{artefact.name}" version {registered.version} was trained with another version of the feature '
                f"kernel (program {artefact.program_sha256[:12]}…, here {program.digest[:12]}…). Train it again."
            )
        rules = None if policy is None or policy.program is None else FeatureProgram.from_canonical(policy.program)
        return cls(registered, artefact, policy, program, rules)


class LiveModel:
    """A model that is being served.

    Attributes:
        name: The model's name.
        version: Its registered version.
        loaded: The model version, its artefact and policy.
        serving: Whom it observes.
        bound: Its program on the live layouts.
        rules: The program of its policy's rules on the live layouts, or None.
        scorer: Scores and explains.
    """

    def __init__(self, loaded: LoadedModel, layouts: Layouts) -> None:
        """Bind a model to the live layouts and open its scorer."""
        self.loaded = loaded
        self.name = loaded.artefact.name
        self.version = loaded.registered.version
        self.serving: Serving = serving_of(loaded.artefact)
        self.scorer = Scorer(loaded.artefact)
        self.bound = BoundProgram.of(loaded.program, layouts)
        self.rules = None if loaded.rules is None else BoundProgram.of(loaded.rules, layouts)
        self._roles = tuple(sorted({role for program in loaded.programs() for role in program.roles}))
        places = {name: place for place, name in enumerate(loaded.program.names)}
        self._inputs = np.array([places[name] for name in loaded.artefact.features], np.intp)
        self._names = loaded.program.names

    def roles(self) -> tuple[str, ...]:
        """Return the roles and pairs that its program or its policy's rules read."""
        return self._roles

    @property
    def policy(self) -> RegisteredPolicy | None:
        """The policy in force, or None."""
        return self.loaded.policy

    @property
    def observes_events(self) -> bool:
        """Whether it scores events rather than entities."""
        return self.serving.observe == "stream"

    def inputs(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the model's features float64[n, features] of the program's columns float64[n, columns]."""
        return np.ascontiguousarray(rows[:, self._inputs])

    def is_active(self, row: NDArray[np.float64]) -> bool:
        """Return whether an entity with these columns, float64[columns], is in the model's population."""
        predicate: Sequence[Any] | None = self.serving.active
        if predicate is None:
            return True
        return holds(predicate, dict(zip(self._names, row.tolist(), strict=True))) is True


class LiveSet:
    """The models served together.

    Attributes:
        layouts: What every state keeps, by role.
        models: By name.
    """

    def __init__(self, loaded: Sequence[LoadedModel]) -> None:
        """Bind the models to common layouts.

        Raises:
            DefinitionError: Two of them declare the same stream differently.
        """
        self.layouts = Layouts.of([program for model in loaded for program in model.programs()])
        self.models = {model.artefact.name: LiveModel(model, self.layouts) for model in loaded}
        self._of_stream: dict[str, list[LiveModel]] = {}

    @classmethod
    def champions(cls, registry: Registry) -> LiveSet:
        """Return the champions of every registered model, with the policies in force.

        Raises:
            ArtefactAltered: A registered artefact is not the one that was registered.
        """
        loaded = []
        for name in registry.models():
            champion = registry.champion(name)
            if champion is not None:
                loaded.append(LoadedModel.of(champion, registry.load(champion), registry.policy(name)))
        return cls(loaded)

    def warm(self) -> None:
        """Prepare the explanations of the models that decide."""
        for model in self.models.values():
            if model.policy is not None:
                model.scorer.warm()

    def observers(self, stream: str, role: str) -> list[LiveModel]:
        """Return the models that an event of a stream makes score: its event models, and its entity's grid models."""
        key = f"{role}:{stream}"
        found = self._of_stream.get(key)
        if found is None:
            found = [
                model
                for model in self.models.values()
                if model.serving.role == role and (not model.observes_events or model.serving.stream == stream)
            ]
            self._of_stream[key] = found
        return found

    def deciding(self, stream: str) -> LiveModel | None:
        """Return the model with a policy that decides events of a stream, or None."""
        for model in self.models.values():
            if model.policy is not None and model.observes_events and model.serving.stream == stream:
                return model
        return None

    def grid_models(self, role: str | None = None) -> list[LiveModel]:
        """Return the models that score entities (of one role)."""
        return [
            model
            for model in self.models.values()
            if not model.observes_events and (role is None or model.serving.role == role)
        ]
