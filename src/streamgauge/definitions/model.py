"""Models: what is predicted, of whom, from what, and how it is fitted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from streamgauge.definitions.checks import check_model
from streamgauge.definitions.collect import collect
from streamgauge.definitions.estimators import Estimator, Split
from streamgauge.definitions.expressions import Feature, Windows
from streamgauge.definitions.features import Features, observed
from streamgauge.definitions.fields import Category, Field, Flag, Integer, Money, Number
from streamgauge.definitions.label import Label
from streamgauge.definitions.observe import Grid
from streamgauge.definitions.place import Place, here, refuse, shown
from streamgauge.definitions.protected import is_protected
from streamgauge.definitions.roles import every_role
from streamgauge.definitions.sampling import Downsample
from streamgauge.definitions.specs import FeatureSpec, LabelSpec, ModelSpec, ObserveSpec
from streamgauge.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.definitions.event import Event
    from streamgauge.definitions.schema import StreamSpec

Input: TypeAlias = "type[Features] | Feature | Windows[Any] | Money | Number | Integer | Flag | Category"
"""What a model reads: a ``Features`` class, one of its features, or a field of the observed event."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KNOWN: Final = ("recorded", "final")
_CALIBRATIONS: Final = ("sigmoid", "isotonic")


class Model:
    """One model.

    Args:
        name: Its name, also in the registry: small letters, digits, ``-`` and ``_``.
        observe: An event, each of which is an observation; or a grid, `every` or `at`.
        features: ``Features`` classes, single features, and fields of the observed event.
        label: What makes an observation bad.
        estimator: `Boosting`, `Forest` or `Logistic`.
        split: `TimeSplit`; or `FoldSplit` where all observations share one moment.
        known: ``final`` trains with hindsight, which marks the model.
        calibration: ``sigmoid`` or ``isotonic``.
        owner: Who answers for it.
        purpose: What it is for.
        tier: Its materiality tier.
        limitations: Known limitations.
        sample: `Downsample`, to fit on every bad row and a share of the good ones.

    Raises:
        DefinitionError: A part is of another entity or stream, or does not go with another part.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    >>> class Shop(sg.Features, entity=Visit.shop):
    ...     visits = Visit.all.count(over="7d")
    >>> closed = sg.Label(bad=Visit, within="30d")
    >>> model = sg.Model(
    ...     name="closing",
    ...     observe=sg.every("7d", anchor="Mon 00:00 UTC", entity=Visit.shop),
    ...     features=[Shop],
    ...     label=closed,
    ...     estimator=sg.Boosting(),
    ...     split=sg.TimeSplit(calibrate="30d", test="30d"),
    ... )
    >>> [feature.name for feature in model.spec.features]
    ['Shop.visits']
    """

    def __init__(  # noqa: PLR0913 - a model's card
        self,
        *,
        name: str,
        observe: type[Event] | Grid,
        features: Sequence[Input],
        label: Label,
        estimator: Estimator,
        split: Split,
        known: Literal["recorded", "final"] = "recorded",
        calibration: Literal["sigmoid", "isotonic"] = "sigmoid",
        owner: str = "",
        purpose: str = "",
        tier: str = "",
        limitations: str = "",
        sample: Downsample | None = None,
    ) -> None:
        """Check and keep the model."""
        place = self.place = here()
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise refuse(
                f'name={name!r} is no model name. Write small letters, digits, "-" and "_": "account-risk".',
                place,
                argument="name",
            )
        _kinds(place, label=(label, Label), estimator=(estimator, Estimator), split=(split, Split))
        _word(known, "known", _KNOWN, place)
        _word(calibration, "calibration", _CALIBRATIONS, place)
        if sample is not None and not isinstance(sample, Downsample):
            raise refuse(f"sample= takes sg.Downsample(good=0.02), not {shown(sample)}.", place, argument="sample")
        self.label = label
        self.spec = ModelSpec(
            name=name,
            observe=_observation(observe, place),
            features=_inputs(features, place),
            label=label.spec,
            estimator=estimator.spec,
            split=split.spec,
            known=known,
            calibration=calibration,
            owner=owner,
            purpose=purpose,
            tier=tier,
            limitations=limitations,
            sample=None if sample is None else sample.spec,
            line=place.line,
        )
        self.readable = _readable(observe)
        check_model(self.spec, label, self.readable, place)
        collect("models", name, self, place)

    def labelled(self, spec: LabelSpec) -> ModelSpec:
        """Return the model with its label named."""
        return replace(self.spec, label=spec)


def _observation(observe: object, place: Place) -> ObserveSpec:
    if isinstance(observe, Grid):
        return observe.spec
    stream = getattr(observe, "__stream__", None)
    if stream is None:
        raise refuse(
            "observe= takes an event such as Application, sg.every(…) or sg.at([…]).", place, argument="observe"
        )
    return ObserveSpec("stream", stream.entity, stream=stream.name)


def _readable(observe: object) -> tuple[str, ...]:
    """Return the roles and pairs of what is observed."""
    if isinstance(observe, Grid):
        return (observe.spec.role,)
    stream: StreamSpec = observe.__stream__  # type: ignore[attr-defined] # checked by `_observation`
    return every_role(stream.roles)


def _inputs(features: object, place: Place) -> tuple[FeatureSpec, ...]:
    if not isinstance(features, list | tuple) or not features:
        raise refuse("features= takes a list such as [CashFlow, Application.amount].", place, argument="features")
    found: dict[str, FeatureSpec] = {}
    for item in features:
        for spec in _input(item, place):
            if spec.name in found:
                raise refuse(f"features= names {spec.name} twice. Name it once.", place, argument="features")
            found[spec.name] = spec
    return tuple(found.values())


def _input(item: object, place: Place) -> tuple[FeatureSpec, ...]:
    if isinstance(item, type) and issubclass(item, Features) and item is not Features:
        return item.__definition__.features
    if isinstance(item, Field):
        return (observed(item, place),)
    if is_protected(item):
        raise refuse(
            f"features= has {shown(item)}, which holds protected attributes: no model reads them. Take it out; the "
            "fairness report compares them with the model's scores.",
            place,
            argument="features",
        )
    if isinstance(item, Feature | Windows):
        parts = [item] if isinstance(item, Feature) else [part for _, part in item.features.values()]
        if any(part.named is None for part in parts):
            raise refuse(
                "features= has an aggregate without a name. Define it in a Features class.", place, argument="features"
            )
        return tuple(part.named.spec for part in parts if part.named is not None)
    raise refuse(
        f"features= has {shown(item)}. It takes Features classes, their features, and fields of the observed event.",
        place,
        argument="features",
    )


def _kinds(place: Place, **given: tuple[object, type]) -> None:
    for argument, (value, kind) in given.items():
        if not isinstance(value, kind):
            examples = {
                "label": "a sg.Label",
                "estimator": "sg.Boosting()",
                "split": 'sg.TimeSplit(calibrate="60d", test="60d")',
            }
            raise refuse(f"{argument}= takes {examples[argument]}, not {shown(value)}.", place, argument=argument)


def _word(value: object, argument: str, known: tuple[str, ...], place: Place) -> None:
    if value not in known:
        raise refuse(
            f"{argument}={value!r} is not understood. {close_match(str(value), known)}", place, argument=argument
        )
