"""Streaming risk scoring: point-in-time features, calibrated models and decisions that replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamgauge.definitions.declare import field
from streamgauge.definitions.estimators import (
    Boosting,
    FoldSplit,
    Forest,
    Logistic,
    Sklearn,
    TimeSplit,
)
from streamgauge.definitions.event import Event
from streamgauge.definitions.features import Features, coalesce, feature, maximum, minimum
from streamgauge.definitions.fields import Category, Entity, EventId, EventTime, Flag, Integer, Key, Money, Number, Ref
from streamgauge.definitions.label import Label
from streamgauge.definitions.model import Model
from streamgauge.definitions.observe import at, every
from streamgauge.definitions.policy import Policy, decline, refer
from streamgauge.definitions.protected import Protected
from streamgauge.definitions.sampling import Downsample

__all__ = [
    "Boosting",
    "Category",
    "Downsample",
    "Entity",
    "Event",
    "EventId",
    "EventTime",
    "Features",
    "Flag",
    "FoldSplit",
    "Forest",
    "Integer",
    "Key",
    "Label",
    "Logistic",
    "Model",
    "Money",
    "Number",
    "Policy",
    "Protected",
    "Ref",
    "Sklearn",
    "TimeSplit",
    "at",
    "coalesce",
    "decline",
    "every",
    "feature",
    "field",
    "maximum",
    "minimum",
    "refer",
]

if TYPE_CHECKING:
    from streamgauge.app.project import open_project

    open = open_project  # noqa: A001 - it is said sg.open
else:

    def __getattr__(name: str) -> object:
        """Load `open` when it is first asked for: a project file needs nothing of what a project does."""
        if name == "open":
            from streamgauge.app.project import open_project

            return open_project
        import streamgauge

        raise AttributeError(f"module 'streamgauge' has no attribute '{name}'", name=name, obj=streamgauge)
