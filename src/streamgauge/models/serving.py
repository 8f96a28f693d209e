"""What a server must know of a model beside how to score: whom it observes, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from streamgauge.errors import ModelError

if TYPE_CHECKING:
    from streamgauge.scoring.artefact import ModelArtefact

METADATA: Final = "serving"
"""Where it lies in an artefact's metadata."""


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is served without the project file.

    Attributes:
        observe: ``stream`` (each event of one), ``every`` (a grid, scored again at each event of the entity) or ``at``.
        stream: The observed stream, or None.
        role: The entity field observed.
        active: The population's predicate over the program's columns (`streamgauge.features.predicates`), or None.
    """

    observe: Literal["stream", "every", "at"]
    stream: str | None
    role: str
    active: list[Any] | None

    def to_metadata(self) -> dict[str, Any]:
        """Return it as an artefact's metadata holds it."""
        return {METADATA: msgspec.to_builtins(self)}


def serving_of(artefact: ModelArtefact) -> Serving:
    """Return how an artefact is served.

    Raises:
        ModelError: The artefact does not say.
    """
    try:
        return msgspec.convert(artefact.metadata[METADATA], Serving)
    except (KeyError, msgspec.ValidationError) as error:
        raise ModelError(f'Model "{artefact.name}" does not say whom it observes ({error}). Train it again.') from error
