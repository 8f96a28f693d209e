"""The registry: which models exist, which one of each name serves, and which policy decides with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    import polars as pl

    from streamgauge.models.run import TrainingRun
    from streamgauge.scoring.artefact import ModelArtefact
    from streamgauge.scoring.policy import RegisteredPolicy


class RegisteredModel(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model.

    Attributes:
        name: The model's name.
        version: Counts up per name, from 1.
        sha256: The artefact's hash.
        path: Where the artefact's files are.
        alias_champion: Whether it is the one that serves.
        created_at: The moment of its dataset, µs: the same log gives the same model at the same moment.
        metrics: Figures of the report, on rows it was not fitted on.
        known: ``recorded``, ``declared`` or ``final``.
        label: The label's name.
        label_sha256: The hash of the label's definition.
        program_sha256: The hash of its feature program.
        data_from: The first observation used, µs.
        data_to: The last observation used, µs.
        run_id: The tracking run, or an empty string where it is not tracked yet.
    """

    name: str
    version: int
    sha256: str
    path: str
    alias_champion: bool
    created_at: int
    metrics: dict[str, float]
    known: Literal["recorded", "declared", "final"]
    label: str
    label_sha256: str
    program_sha256: str
    data_from: int
    data_to: int
    run_id: str = ""


def entry_of(run: TrainingRun) -> RegisteredModel:
    """Return the entry of a trained model that is not registered yet: version 0, at no place."""
    artefact = run.artefact
    data = artefact.metadata.get("data", {})
    return RegisteredModel(
        name=artefact.name,
        version=0,
        sha256=artefact.sha256,
        path="",
        alias_champion=False,
        created_at=run.report.moment,
        metrics={name: value for name, value in run.report.metrics.numbers().items() if math.isfinite(value)},
        known=artefact.known,
        label=artefact.label,
        label_sha256=artefact.label_sha256,
        program_sha256=artefact.program_sha256,
        data_from=int(data.get("from", 0)),
        data_to=int(data.get("to", 0)),
    )


class Registry(Protocol):
    """Where trained models and policy versions are kept.

    One process registers at a time; others may read meanwhile and see whole versions only. What was registered is never
    changed. Reading must be quick: a server does it at every start.
    """

    def prepare(self) -> None:
        """Begin whatever makes the first `register` slow; called when a training starts, returns at once."""

    def register(self, artefact: ModelArtefact, run: TrainingRun) -> RegisteredModel:
        """Keep a trained model durably, under the next version; it becomes champion if there is none.

        An artefact that is registered already is not doubled: its version is returned.

        Raises:
            OSError: The disk refused; nothing was registered.
        """

    def models(self) -> list[str]:
        """Return the names of all registered models, sorted."""

    def champion(self, model: str) -> RegisteredModel | None:
        """Return the version that serves, or None where the model has never been registered."""

    def versions(self, model: str) -> list[RegisteredModel]:
        """Return all versions, the oldest first."""

    def load(self, registered: RegisteredModel) -> ModelArtefact:
        """Return a version's artefact.

        Raises:
            ArtefactAltered: A part does not have the hash that was registered.
            ModelError: There is no such artefact.
        """

    def by_sha256(self, model: str, sha256: str) -> RegisteredModel | None:
        """Return the version with that artefact hash, or None: what a replay needs."""

    def rows(self, registered: RegisteredModel) -> pl.DataFrame:
        """Return the version's calibration and test rows, as `streamgauge.models.rows` describes them.

        Raises:
            ModelError: There are none.
        """

    def erase(self, entity: str) -> int:
        """Remove an entity's rows, by its key, from those kept beside every version; return how many there were."""

    def register_policy(self, policy: RegisteredPolicy) -> RegisteredPolicy:
        """Keep a policy version durably under the next number, and make it the one in force.

        The same version again (by its hash) is not doubled: it is put in force and returned.
        """

    def policy(self, model: str) -> RegisteredPolicy | None:
        """Return the policy version in force, or None."""

    def policy_by_sha256(self, model: str, sha256: str) -> RegisteredPolicy | None:
        """Return the policy version with that hash, or None: what a replay needs."""
