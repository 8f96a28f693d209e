"""What a project file defines, gathered in order while it is executed."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from streamgauge.definitions.place import Place, refuse

Group = Literal["events", "features", "labels", "models", "policies", "protected"]


@dataclass(slots=True)
class Collection:
    """The definitions of one project file by name, in order."""

    events: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    policies: dict[str, Any] = field(default_factory=dict)
    protected: dict[str, Any] = field(default_factory=dict)


current: Final[ContextVar[Collection | None]] = ContextVar("current", default=None)
"""The collection of the project file being loaded, or None outside a load."""

_NOUNS: Final = {
    "events": "event",
    "features": "Features class",
    "labels": "label",
    "models": "model",
    "policies": "policy",
    "protected": "class of protected attributes",
}


def collect(group: Group, name: str, value: object, place: Place) -> None:
    """Add a definition to the project being loaded, if one is.

    Raises:
        DefinitionError: The project has one of that name.
    """
    collection = current.get()
    if collection is None:
        return
    found: dict[str, Any] = getattr(collection, group)
    if name in found:
        what = (
            f'A second policy for the model "{name}"' if group == "policies" else f'A second {_NOUNS[group]} "{name}"'
        )
        raise refuse(f"{what} is defined. Names are unique in a project: rename or remove one.", place)
    if group in {"events", "features"} and (name in collection.events or name in collection.features):
        raise refuse(f'"{name}" names an event and a Features class. Rename one: their columns share the name.', place)
    found[name] = value
