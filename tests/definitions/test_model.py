"""Models and policies: what they become, and what is refused with its line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamgauge.definitions.canonical import canonical, digest
from streamgauge.definitions.loader import load_source
from streamgauge.definitions.specs import EstimatorSpec, SampleSpec, SplitSpec
from tests.definitions.conftest import MODEL, STREAMS, Refusal

DAY = 86_400_000_000
MONDAY = 4 * DAY


def test_a_grid_model_has_its_population_and_features() -> None:
    source = STREAMS + MODEL + "sg.Model(**parts | dict(observe=weekly, label=grid_bad, features=[Cash]))\n"

    model = load_source(source).models["risk"]

    assert (model.observe.kind, model.observe.role) == ("every", "account")
    assert (model.observe.step_us, model.observe.anchor_us) == (7 * DAY, MONDAY)
    assert model.observe.active is not None
    assert [feature.name for feature in model.features] == ["Cash.n", "Cash.spend_7d", "Cash.spend_30d", "Cash.kind"]
    assert model.label.name == "grid_bad"
    assert model.estimator.kind == "boosting"
    assert dict(model.estimator.params)["max_leaf_nodes"] == 8
    assert model.split == SplitSpec("time", calibrate_us=60 * DAY, test_us=60 * DAY)


def test_a_model_reads_single_features_and_fields_of_its_event() -> None:
    source = STREAMS + MODEL
    source += "sg.Model(**parts | dict(features=[Cash.n, Cash.spend, Cash.kind, Application.amount]))\n"

    model = load_source(source).models["risk"]

    assert [feature.name for feature in model.features][-2:] == ["Cash.kind", "Application.amount"]
    assert model.features[-1].expression[1].kind == "observed"
    assert model.observe.stream == "Application"


PARTS = {
    "name": ("name='Risk 1'", "name='Risk 1' is no model name"),
    "observe": ("observe='weekly'", "observe= takes an event"),
    "features": ("features=Cash", "features= takes a list"),
    "no features": ("features=[]", "features= takes a list"),
    "an event as features": ("features=[Application]", "features= has the class Application"),
    "features twice": ("features=[Cash, Cash.n]", "names Cash.n twice"),
    "unnamed feature": ("features=[Movement.all.count(over='7d')]", "an aggregate without a name"),
    "features of another entity": ("features=[Shop]", "Model risk observes account; Shop.n is of shop"),
    "field of another event": (
        "features=[Movement.amount]",
        "observes Application: it cannot read the field Movement.amount",
    ),
    "key as a feature": ("features=[Application.note]", "Application.note is of kind Key"),
    "entity as a feature": ("features=[Application.account]", "Application.account is of kind Entity"),
    "label": ("label=Arrears", "label= takes a sg.Label, not the class Arrears"),
    "unnamed label": ("label=sg.Label(bad=Arrears, within='9d')", "The label of model risk has no name"),
    "estimator": ("estimator='boosting'", "estimator= takes sg.Boosting(), not 'boosting'"),
    "split": ("split='60d'", "split= takes sg.TimeSplit"),
    "known": ("known='finl'", 'Did you mean "final"?'),
    "calibration": ("calibration='sigmod'", 'Did you mean "sigmoid"?'),
    "unknown keyword": ("lable=bad", 'Did you mean "label"?'),
    "folds on a stream": ("split=sg.FoldSplit(5, by=Movement.account)", "FoldSplit without one named moment"),
    "sample": ("sample=0.02", "sample= takes sg.Downsample(good=0.02), not 0.02"),
    "forest with risk": ("estimator=sg.Forest()", 'Cash.n has risk="up"; a Forest cannot be held to it'),
    "matched label on a grid": ("observe=weekly", "observes no event; its label has match=Arrears.application"),
}


@pytest.mark.parametrize(("part", "message"), PARTS.values(), ids=PARTS)
def test_a_mistaken_model_is_named_with_its_line(part: str, message: str, model_refusal: Refusal) -> None:
    assert message in model_refusal(f"sg.Model(**parts | dict({part}))  # <-\n").message


COMBINATIONS = {
    "field without an event": (
        "observe=weekly, label=grid_bad, features=[Application.amount]",
        "has no observed event: it cannot read the field Application.amount",
    ),
    "match of another event": (
        "label=sg.Label(bad=Arrears, match=Arrears.movement, within='9d')",
        "its label has match=Arrears.movement, which points to Movement",
    ),
    "starts of another event": (
        "label=sg.Label(bad=Arrears, starts=Arrears.movement, within='9d')",
        "its label has starts=Arrears.movement",
    ),
    "label of another entity": ("label=sg.Label(bad=Visit, within='9d')", "its label reads Visit of shop"),
    "folds of several moments": (
        "observe=months, label=grid_bad, split=sg.FoldSplit(5, by=Movement.account)",
        "FoldSplit without one named moment",
    ),
    "folds by another entity": (
        "observe=moment, label=grid_bad, split=sg.FoldSplit(5, by=Visit.shop)",
        "FoldSplit is by shop; observed is account",
    ),
    "one moment in time": ("observe=moment, label=grid_bad", "there is no time to split"),
    "forest on a sample": (
        "features=[Application.amount], estimator=sg.Forest(), sample=sg.Downsample(good=0.1)",
        "which no shift of log-odds corrects",
    ),
    "moment after the end": (
        "observe=months, label=sg.Label(bad=Arrears, until='2024-01-15T00:00:00Z')",
        "observes at or after the label's until",
    ),
}


@pytest.mark.parametrize(("parts", "message"), COMBINATIONS.values(), ids=COMBINATIONS)
def test_parts_that_do_not_go_together_are_refused(parts: str, message: str, model_refusal: Refusal) -> None:
    assert message in model_refusal(f"sg.Model(**parts | dict({parts}))  # <-\n").message


def test_a_mistake_in_a_long_call_is_placed_on_its_argument(model_refusal: Refusal) -> None:
    model_refusal(
        """
        sg.Model(
            name="risk",
            observe=Application,
            features=[Shop],  # <-
            label=bad,
            estimator=sg.Boosting(),
            split=time,
        )
        """
    )


def test_two_models_of_one_name_are_refused(model_refusal: Refusal) -> None:
    assert 'A second model "risk"' in model_refusal("sg.Model(**parts)\nsg.Model(**parts)  # <-\n").message


STATEMENTS = {
    "step": ("sg.every('7', anchor='00:00 UTC', entity=Movement.account)", "The step of every '7' is no duration"),
    "anchor": ("sg.every('7d', anchor='Monday', entity=Movement.account)", "anchor 'Monday' is not understood"),
    "weekday": ("sg.every('7d', anchor='Mun 00:00 UTC', entity=Movement.account)", "no known weekday"),
    "time of day": ("sg.every('7d', anchor='24:00 UTC', entity=Movement.account)", "no time of day"),
    "zone": ("sg.every('7d', anchor='Mon 00:00 CET', entity=Movement.account)", "is not understood"),
    "entity": ("sg.every('7d', anchor='00:00 UTC', entity=Movement.amount)", "every takes an Entity field"),
    "active of fields": (
        "sg.every('7d', anchor='00:00 UTC', entity=Movement.account, active=Movement.amount > 0)",
        "active takes a comparison of features",
    ),
    "active of another entity": (
        "sg.every('7d', anchor='00:00 UTC', entity=Movement.account, active=Shop.n > 0)",
        "active reads Shop.n of shop; observed is account",
    ),
    "active of an aggregate": (
        "sg.every('7d', anchor='00:00 UTC', entity=Movement.account, active=Movement.all.count(over='1d') > 0)",
        "reads an aggregate that is no feature",
    ),
    "moment": ("sg.at(['2024'], entity=Movement.account)", "Moment '2024' is no moment"),
    "no moments": ("sg.at([], entity=Movement.account)", "at takes a list of moments"),
    "order": (
        "sg.at(['2024-02-01T00:00:00Z', '2024-01-01T00:00:00Z'], entity=Movement.account)",
        "is not after the one before it",
    ),
    "unknown parameter": (
        "sg.Boosting(max_iters=3)",
        'Boosting has no parameter "max_iters". Did you mean "max_iter"?',
    ),
    "owned parameter": (
        "sg.Boosting(monotonic_cst=[1])",
        "takes no monotonic_cst: say it where the feature is defined",
    ),
    "type": ("sg.Boosting(max_iter=3.5)", "max_iter=3.5; it takes int"),
    "true for a number": ("sg.Forest(n_estimators=True)", "n_estimators=True; it takes int"),
    "word": ("sg.Logistic(solver='lbfg')", "solver='lbfg'; it takes Literal"),
    "span": ("sg.TimeSplit(calibrate='60', test='60d')", "calibrate '60' is no duration"),
    "missing span": ("sg.TimeSplit(calibrate='60d')", "missing 1 required keyword-only argument: 'test'"),
    "folds": ("sg.FoldSplit(1, by=Movement.account)", "1 folds; it may have 2 to 50"),
    "share": ("sg.Downsample(good=1)", "good=1; it is a share above 0 and below 1"),
    "no share": ("sg.Downsample()", "missing 1 required keyword-only argument: 'good'"),
    "seed": ("sg.Downsample(good=0.1, seed=0.5)", "seed=0.5; it is a whole number"),
    "by": ("sg.FoldSplit(5, by=Movement.amount)", "by=, an Entity field"),
}


@pytest.mark.parametrize(("statement", "message"), STATEMENTS.values(), ids=STATEMENTS)
def test_a_mistaken_part_is_named_with_its_line(statement: str, message: str, model_refusal: Refusal) -> None:
    assert message in model_refusal(f"x = {statement}  # <-\n").message


@pytest.mark.parametrize(
    "estimator",
    [
        "sg.Boosting(learning_rate=1, max_depth=None, class_weight='balanced', early_stopping=True)",
        "sg.Forest(max_features='sqrt', max_samples=0.5)",
        "sg.Forest(max_features=0.3)",
        "sg.Logistic(C=0.1, solver='saga')",
    ],
)
def test_known_parameters_are_taken(estimator: str) -> None:
    assert load_source(f"{STREAMS}\nx = {estimator}\n").streams


def test_a_sample_is_part_of_the_definition() -> None:
    plain = load_source(STREAMS + MODEL + "sg.Model(**parts)\n").models["risk"]
    sampled = load_source(STREAMS + MODEL + "sg.Model(**parts, sample=sg.Downsample(good=0.02))\n").models["risk"]

    assert sampled.sample == SampleSpec(0.02, 0)
    assert digest(sampled) != digest(plain)
    assert "sample" not in canonical(plain)


def test_a_class_of_scikit_learn_belongs_to_a_family_and_takes_its_parameters() -> None:
    path = "sklearn.ensemble:ExtraTreesClassifier"
    source = (
        f"sg.Model(**parts | dict(features=[Application.amount], estimator=sg.Sklearn('{path}', dict(max_depth=3))))"
    )
    model = load_source(STREAMS + MODEL + source + "\n").models["risk"]

    assert model.estimator == EstimatorSpec("forest", (("max_depth", 3), ("random_state", 0)), path)
    assert digest(model.estimator) != digest(replace(model.estimator, path=""))


SKLEARN = {
    "no export": ("'xgboost:XGBClassifier'", "is refused: it has no exact export"),
    "dots": ("'sklearn.ensemble.ExtraTreesClassifier'", 'Did you mean "sklearn.ensemble:ExtraTreesClassifier"?'),
    "another of the library": ("'sklearn.svm:SVC'", "it could be neither served nor explained"),
    "parameter": ("'sklearn.linear_model:LogisticRegression', {'c': 1}", 'Sklearn has no parameter "c"'),
    "type": (
        "'sklearn.ensemble:RandomForestClassifier', {'n_estimators': 'many'}",
        "n_estimators='many'; it takes int",
    ),
    "owned": ("'sklearn.ensemble:RandomForestClassifier', {'n_jobs': 2}", "takes no n_jobs"),
}


@pytest.mark.parametrize(("arguments", "message"), SKLEARN.values(), ids=SKLEARN)
def test_what_cannot_be_exported_is_refused_with_its_line(arguments: str, message: str, refusal: Refusal) -> None:
    assert message in refusal(f"x = sg.Sklearn({arguments})  # <-\n").message
