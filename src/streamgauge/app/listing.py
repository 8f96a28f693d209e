"""Policies as they are listed: what decides, and what the project file declares beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from streamgauge.app import wiring
from streamgauge.definitions.canonical import digest
from streamgauge.definitions.loader import load_project
from streamgauge.errors import DefinitionError, SettingsError

if TYPE_CHECKING:
    from streamgauge.app.settings import Place
    from streamgauge.definitions.specs import PolicySpec


class ListedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One policy.

    Attributes:
        model: The model it belongs to.
        version: Its registered version, or None where it was never registered.
        state: ``in force``, or ``declared``: in the project file only, or changed there since.
        approve_below: PDs strictly below are approved.
        refer_below: PDs strictly below, and not approved, are referred.
        rules: Codes of the knock-out rules.
        sha256: The hash of the version, or of the declaration.
    """

    model: str
    version: int | None
    state: Literal["in force", "declared"]
    approve_below: float
    refer_below: float
    rules: list[str]
    sha256: str


def listed_policies(place: Place) -> list[ListedPolicy]:
    """Return the policies in force, and those of the project file that are not; a broken file declares none."""
    declared: dict[str, PolicySpec] = {}
    try:
        declared = dict(load_project(place.project_file).policies)
    except (DefinitionError, SettingsError):
        if not place.models.exists():
            raise
    registry = wiring.open_registry(place)
    found = []
    for name in registry.models():
        policy = registry.policy(name)
        if policy is None:
            continue
        if name in declared and digest(declared[name]) == policy.definition_sha256:
            del declared[name]
        found.append(
            ListedPolicy(
                model=name,
                version=policy.version,
                state="in force",
                approve_below=policy.approve_below,
                refer_below=policy.refer_below,
                rules=[rule.code for rule in policy.rules],
                sha256=policy.sha256,
            )
        )
    for name, spec in declared.items():
        found.append(
            ListedPolicy(
                model=name,
                version=None,
                state="declared",
                approve_below=spec.approve_below,
                refer_below=spec.refer_below,
                rules=[rule.code for rule in spec.rules],
                sha256=digest(spec),
            )
        )
    return sorted(found, key=lambda one: (one.model, one.state == "declared"))
