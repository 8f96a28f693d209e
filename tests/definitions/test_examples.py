"""The example projects load whole, and a template is the example of its name."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from streamgauge.definitions.loader import load_project
from streamgauge.definitions.specs import AggregateSpec, WindowSpec

ROOT = Path(__file__).parents[2]
CHURN = ROOT / "examples" / "churn" / "churn.py"
FRAUD = ROOT / "examples" / "fraud" / "fraud.py"
CREDIT = ROOT / "examples" / "credit" / "credit.py"
TAIWAN = ROOT / "examples" / "taiwan" / "taiwan.py"
DAY = 86_400_000_000


def test_the_credit_example_has_its_streams_features_models_and_policy() -> None:
    project = load_project(CREDIT)

    assert list(project.streams) == ["Movement", "Application", "Loan", "Instalment", "Arrears"]
    assert list(project.labels) == ["arrears_90d", "default_90d"]
    assert list(project.models) == ["account-risk", "application-risk"]
    assert list(project.policies) == ["application-risk"]
    assert len(project.features) == 47
    assert project.models["application-risk"].features[-2].name == "Application.amount"
    assert project.policies["application-risk"].rules[0].features[0].name == "CashFlow.history"


def test_the_taiwan_example_has_a_model_for_each_moment() -> None:
    project = load_project(TAIWAN)

    assert {f"taiwan-{month:02}" for month in (4, 9)} <= set(project.models)
    assert project.models["taiwan-09"].split.folds == 5
    assert project.features["Client.bill_mean_last_3"].expression[1].window == WindowSpec("last", 365 * DAY, 3)


def test_a_derived_feature_keeps_its_written_order() -> None:
    pace = load_project(CREDIT).features["CashFlow.inflow_pace"].expression

    assert pace[0] == "div"
    assert [node[0] for node in (pace[2], pace[2][1], pace[2][2])] == ["div", "mul", "const"]
    assert pace[2][1][2] == ("const", 7.0)
    assert pace[2][2] == ("const", 90.0)
    assert isinstance(pace[1][1], AggregateSpec)


def test_the_churn_example_learns_from_an_absence_and_keeps_people_apart() -> None:
    project = load_project(CHURN)

    assert list(project.streams) == ["Session", "Charge", "Change"]
    assert project.labels["churned"].absent
    assert project.models["churn"].observe.step_us == 7 * DAY
    assert project.protected["Person"].names == ("sex", "born")


def test_the_fraud_example_reads_card_merchant_and_both() -> None:
    project = load_project(FRAUD)

    assert project.streams["Payment"].roles == project.streams["Chargeback"].roles == ("card", "merchant")
    assert {feature.role for feature in project.models["card-fraud"].features} == {"card", "merchant", "card|merchant"}
    assert project.models["card-fraud"].sample is not None


@pytest.mark.parametrize("template", ["churn", "credit"])
def test_the_template_is_the_example(template: str) -> None:
    copy = ROOT / "src" / "streamgauge" / "app" / "templates" / template / f"{template}.py"

    assert copy.read_bytes() == (ROOT / "examples" / template / f"{template}.py").read_bytes()
    assert tomllib.loads(copy.with_name("streamgauge.toml").read_text())["project"]["file"] == copy.name
