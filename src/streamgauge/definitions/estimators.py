"""Estimators and splits: light declarations of what trains a model."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypedDict, Unpack

from streamgauge.definitions.fields import Entity
from streamgauge.definitions.place import here, refuse
from streamgauge.definitions.specs import EstimatorSpec, SplitSpec
from streamgauge.definitions.windows import parse_duration
from streamgauge.errors import close_match

if TYPE_CHECKING:
    from collections.abc import Mapping


class BoostingParameters(TypedDict, total=False):
    """Parameters of scikit-learn's ``HistGradientBoostingClassifier``."""

    learning_rate: float
    max_iter: int
    max_leaf_nodes: int | None
    max_depth: int | None
    min_samples_leaf: int
    l2_regularization: float
    max_features: float
    max_bins: int
    interaction_cst: Literal["pairwise", "no_interactions"] | None
    early_stopping: bool
    validation_fraction: float | None
    n_iter_no_change: int
    tol: float
    random_state: int
    class_weight: Literal["balanced"] | None


class ForestParameters(TypedDict, total=False):
    """Parameters of scikit-learn's ``RandomForestClassifier``."""

    n_estimators: int
    criterion: Literal["gini", "entropy", "log_loss"]
    max_depth: int | None
    min_samples_split: int
    min_samples_leaf: int
    min_weight_fraction_leaf: float
    max_features: Literal["sqrt", "log2"] | float | None
    max_leaf_nodes: int | None
    min_impurity_decrease: float
    bootstrap: bool
    random_state: int
    class_weight: Literal["balanced", "balanced_subsample"] | None
    ccp_alpha: float
    max_samples: float | None


class LogisticParameters(TypedDict, total=False):
    """Parameters of scikit-learn's ``LogisticRegression``."""

    C: float
    l1_ratio: float
    solver: Literal["lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"]
    tol: float
    fit_intercept: bool
    max_iter: int
    random_state: int
    class_weight: Literal["balanced"] | None


_OWNED: Final = {
    "monotonic_cst": 'say it where the feature is defined: sg.feature(…, risk="up")',
    "categorical_features": "a Category feature is one by itself",
    "warm_start": "a fit starts from nothing, so that it can be repeated",
    "verbose": "the command line shows progress",
    "n_jobs": "the number of cores is a setting of the machine, not of the model",
    "loss": "a model gives a probability: log loss",
    "scoring": "use early_stopping on the loss",
    "oob_score": "the report is on the test part",
}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "float": (int, float),
    "int": (int,),
    "bool": (bool,),
    "None": (type(None),),
}


class Estimator:
    """A declared estimator."""

    kind: ClassVar[Literal["boosting", "forest", "logistic"]]
    known: ClassVar[Mapping[str, Any]]
    defaults: ClassVar[Mapping[str, Any]]

    def _declare(self, params: Mapping[str, Any]) -> None:
        place = here()
        for name, value in params.items():
            if name in _OWNED:
                raise refuse(f"{type(self).__name__} takes no {name}: {_OWNED[name]}.", place, argument=name)
            if name not in self.known:
                known = close_match(name, self.known)
                raise refuse(f'{type(self).__name__} has no parameter "{name}". {known}', place, argument=name)
            wanted = getattr(self.known[name], "__forward_arg__", str(self.known[name]))
            if not _fits(value, wanted):
                raise refuse(f"{type(self).__name__} has {name}={value!r}; it takes {wanted}.", place, argument=name)
        # What is not said is part of the definition too: a library's next version may have other defaults.
        self.spec = EstimatorSpec(self.kind, tuple(sorted({**self.defaults, **params}.items())))


class Boosting(Estimator):
    """Gradient boosting on histograms, seeded, without early stopping unless asked for.

    A portfolio has few bads: with some hundreds of them scikit-learn's own trees of 31 leaves learn noise. So, unless
    said, trees are small, slow and shrunk: ``max_leaf_nodes=8, learning_rate=0.03, max_iter=200,
    min_samples_leaf=40, l2_regularization=10.0``.

    Raises:
        DefinitionError: A parameter is unknown or of the wrong type.

    >>> dict(Boosting(max_iter=300).spec.params)["max_leaf_nodes"]
    8
    """

    kind = "boosting"
    known = BoostingParameters.__annotations__
    defaults: ClassVar[Mapping[str, Any]] = {
        "early_stopping": False,
        "l2_regularization": 10.0,
        "learning_rate": 0.03,
        "max_iter": 200,
        "max_leaf_nodes": 8,
        "min_samples_leaf": 40,
        "random_state": 0,
    }

    def __init__(self, **params: Unpack[BoostingParameters]) -> None:
        """Check and keep the parameters."""
        self._declare(params)


class Forest(Estimator):
    """A random forest; its margin is the mean leaf probability.

    Unless said, ``n_estimators=300, min_samples_leaf=20, max_features="sqrt"``.

    Raises:
        DefinitionError: A parameter is unknown or of the wrong type.

    >>> Forest(n_estimators=500, min_samples_leaf=20).spec.kind
    'forest'
    """

    kind = "forest"
    known = ForestParameters.__annotations__
    defaults: ClassVar[Mapping[str, Any]] = {
        "max_features": "sqrt",
        "min_samples_leaf": 20,
        "n_estimators": 300,
        "random_state": 0,
    }

    def __init__(self, **params: Unpack[ForestParameters]) -> None:
        """Check and keep the parameters."""
        self._declare(params)


class Logistic(Estimator):
    """Logistic regression: nulls get the median and a flag of their own, and columns are standardized.

    Unless said, ``C=1.0, max_iter=1000``.

    Raises:
        DefinitionError: A parameter is unknown or of the wrong type.

    >>> Logistic(C=0.1).spec.params
    (('C', 0.1), ('max_iter', 1000), ('random_state', 0))
    """

    kind = "logistic"
    known = LogisticParameters.__annotations__
    defaults: ClassVar[Mapping[str, Any]] = {"C": 1.0, "max_iter": 1000, "random_state": 0}

    def __init__(self, **params: Unpack[LogisticParameters]) -> None:
        """Check and keep the parameters."""
        self._declare(params)


_EXPORTED: Final[Mapping[str, type[Estimator]]] = {
    "sklearn.ensemble:ExtraTreesClassifier": Forest,
    "sklearn.ensemble:HistGradientBoostingClassifier": Boosting,
    "sklearn.ensemble:RandomForestClassifier": Forest,
    "sklearn.linear_model:LogisticRegression": Logistic,
}
"""The classes that can be written to ONNX and explained exactly, with the declaration whose parameters they take."""


class Sklearn(Estimator):
    """A scikit-learn classifier by its import path, with the library's own defaults, seeded.

    Only classes that can be exported and explained to the last digit: `ExtraTreesClassifier`,
    `HistGradientBoostingClassifier`, `RandomForestClassifier`, `LogisticRegression`.

    Args:
        path: Module and class, such as ``"sklearn.ensemble:ExtraTreesClassifier"``.
        params: Its parameters.

    Raises:
        DefinitionError: The class cannot be exported, or a parameter is unknown or of the wrong type.

    >>> Sklearn("sklearn.ensemble:ExtraTreesClassifier", {"n_estimators": 200}).spec.kind
    'forest'
    """

    defaults: ClassVar[Mapping[str, Any]] = {"random_state": 0}

    def __init__(self, path: str, params: Mapping[str, object] | None = None) -> None:
        """Check and keep the class and its parameters."""
        like = _EXPORTED.get(path)
        if like is None:
            raise refuse(
                f'sg.Sklearn("{path}") is refused: it has no exact export, so it could be neither served nor '
                f"explained. {close_match(str(path), _EXPORTED)}",
                here(),
            )
        self.kind, self.known = like.kind, like.known  # type: ignore[misc] # of the family its class belongs to
        self._declare(params or {})
        self.spec = replace(self.spec, path=path)


class Split:
    """A declared split."""

    spec: SplitSpec


class TimeSplit(Split):
    """Train, calibrate, test, in the order of time, purged between.

    Args:
        calibrate: How long the calibration part is.
        test: How long the test part is.

    >>> TimeSplit(calibrate="60d", test="60d").spec.kind
    'time'
    """

    def __init__(self, *, calibrate: str, test: str) -> None:
        """Check and keep the spans."""
        place = here()
        self.spec = SplitSpec(
            "time",
            calibrate_us=parse_duration(calibrate, "calibrate", place=place, argument="calibrate"),
            test_us=parse_duration(test, "test", place=place, argument="test"),
        )


class FoldSplit(Split):
    """Folds by entity, where all observations share one moment.

    >>> import streamgauge as sg
    >>> class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    >>> sg.FoldSplit(5, by=Visit.shop).spec.folds
    5
    """

    def __init__(self, folds: int, *, by: Entity) -> None:
        """Check and keep the folds.

        Raises:
            DefinitionError: There are fewer than 2 or more than 50 folds, or `by` is no entity.
        """
        place = here()
        if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= 50:  # noqa: PLR2004 - said below
            raise refuse(f"FoldSplit has {folds!r} folds; it may have 2 to 50.", place)
        if not isinstance(by, Entity):
            raise refuse("FoldSplit takes by=, an Entity field such as Statement.client.", place, argument="by")
        self.spec = SplitSpec("fold", folds=folds, by=by.role)


def _fits(value: object, wanted: str) -> bool:
    if "Literal" in wanted and isinstance(value, str):
        return repr(value) in wanted
    words = re.sub(r"Literal\[[^]]*\]", "", wanted).replace("|", " ").split()
    allowed = [kind for word in words for kind in _TYPES[word]]
    if isinstance(value, bool):
        return bool in allowed
    return isinstance(value, tuple(allowed))
