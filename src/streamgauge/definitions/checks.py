"""Whether the parts of a model go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamgauge.definitions.place import Place, refuse
from streamgauge.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamgauge.definitions.label import Label
    from streamgauge.definitions.specs import FeatureSpec, ModelSpec


def check_model(model: ModelSpec, label: Label, readable: tuple[str, ...], place: Place) -> None:
    """Refuse a model whose parts do not go together.

    Args:
        model: The model.
        label: Its label.
        readable: The roles and pairs that an observation is of.
        place: Where it is declared.

    Raises:
        DefinitionError: A part is of another entity or stream, or does not go with another part.
    """
    _check_features(model, readable, place)
    _check_label(model, label, place)
    _check_split(model, place)
    _check_risk(model, place)
    _check_sample(model, place)


def check_codes(features: Iterable[FeatureSpec], place: Place) -> None:
    """Refuse two reasons under one code: a notice sums contributions per code.

    Raises:
        DefinitionError: Two features share a code and differ in its reason.
    """
    reasons: dict[str, FeatureSpec] = {}
    for feature in features:
        if feature.code is None:
            continue
        first = reasons.setdefault(feature.code, feature)
        if first.reason != feature.reason:
            raise refuse(
                f'{feature.name} has the code {feature.code} with the reason "{feature.reason}"; {first.name} has it '
                f'with "{first.reason}". One code has one reason.',
                Place(place.path, feature.line),
            )


def _check_features(model: ModelSpec, readable: tuple[str, ...], place: Place) -> None:
    observe = model.observe
    for feature in model.features:
        if feature.role not in readable:
            hint = f" {close_match(feature.role, readable)}" if len(readable) > 1 else ""
            raise refuse(
                f"Model {model.name} observes {' and '.join(readable)}; {feature.name} is of {feature.role}.{hint}",
                place,
                argument="features",
            )
        leaf = feature.expression[1]
        if feature.expression[0] == "agg" and leaf.kind == "observed" and leaf.stream != observe.stream:
            observed = f"observes {observe.stream}" if observe.stream else "has no observed event"
            raise refuse(
                f"Model {model.name} {observed}: it cannot read the field {feature.name}. Aggregate it in a "
                "Features class.",
                place,
                argument="features",
            )


def _check_label(model: ModelSpec, label: Label, place: Place) -> None:
    observe = model.observe
    if observe.role not in label.roles:
        raise refuse(
            f"Model {model.name} observes {observe.role}; its label reads {label.spec.bad.stream} of "
            f"{' and '.join(label.roles)}.",
            place,
            argument="label",
        )
    for what, reference in (("match", label.match), ("starts", label.starts)):
        if reference is not None and reference.spec.to != observe.stream:
            observed = f"observes {observe.stream}" if observe.stream else "observes no event"
            raise refuse(
                f"Model {model.name} {observed}; its label has {what}={reference.text}, which points to "
                f"{reference.spec.to}.",
                place,
                argument="label",
            )
    until = label.spec.until_us
    if until is not None and observe.moments and observe.moments[-1] >= until:
        raise refuse(f"Model {model.name} observes at or after the label's until.", place, argument="observe")


def _check_split(model: ModelSpec, place: Place) -> None:
    observe, split = model.observe, model.split
    if split.kind == "fold":
        if observe.kind != "at" or len(observe.moments) != 1:
            raise refuse(
                f"Model {model.name} has FoldSplit without one named moment. Folds are honest only where all "
                "observations share one moment, sg.at([moment]): use sg.TimeSplit.",
                place,
                argument="split",
            )
        if split.by != observe.role:
            raise refuse(f"FoldSplit is by {split.by}; observed is {observe.role}.", place, argument="split")
    elif observe.kind == "at" and len(observe.moments) == 1:
        raise refuse(
            f"Model {model.name} has TimeSplit with one moment: there is no time to split. Use sg.FoldSplit(5, by=…).",
            place,
            argument="split",
        )


def _check_risk(model: ModelSpec, place: Place) -> None:
    if model.estimator.kind != "forest":
        return
    for feature in model.features:
        if feature.risk is not None:
            raise refuse(
                f'{feature.name} has risk="{feature.risk}"; a Forest cannot be held to it where values are missing. '
                "Use sg.Boosting or sg.Logistic, or leave risk= out.",
                place,
                argument="estimator",
            )


def _check_sample(model: ModelSpec, place: Place) -> None:
    if model.sample is not None and model.estimator.kind == "forest":
        raise refuse(
            "A Forest's margin is a mean probability, which no shift of log-odds corrects for a sample. Use "
            "sg.Boosting or sg.Logistic, or leave sample= out.",
            place,
            argument="sample",
        )
