"""The three kinds of estimators, fitted once."""

from __future__ import annotations

import pytest

from streamgauge.scoring.artefact import ModelArtefact
from streamgauge.scoring.scorer import Scorer
from tests.scoring.portfolio import KINDS, Fitted, artefact_of, fit


@pytest.fixture(scope="session", params=KINDS)
def fitted(request: pytest.FixtureRequest) -> Fitted:
    return fit(request.param)


@pytest.fixture(scope="session")
def boosting() -> Fitted:
    return fit("boosting")


@pytest.fixture(scope="session")
def forest() -> Fitted:
    return fit("forest")


@pytest.fixture(scope="session")
def artefact(fitted: Fitted) -> ModelArtefact:
    return artefact_of(fitted)


@pytest.fixture(scope="session")
def scorer(artefact: ModelArtefact) -> Scorer:
    return Scorer(artefact)
