"""Plots of a report, as PNG bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamgauge.models.metrics import Metrics

_BLUE, _RED, _GREY = "#1f5fa8", "#b3312c", "#8a8f98"


def draw(
    title: str, margin: NDArray[np.float64], pd: NDArray[np.float64], bad: NDArray[np.float64], metrics: Metrics
) -> dict[str, bytes]:
    """Return ``roc.png``, ``calibration.png`` and ``scores.png``.

    Args:
        title: What the plots are of.
        margin: float64[n], raw margins.
        pd: float64[n], probabilities of default.
        bad: float64[n], 1 bad, 0 good.
        metrics: What was measured on these rows.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def plot(name: str) -> tuple[Any, Any]:
        figure = Figure(figsize=(5.2, 4.2), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(f"{title}: {name}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        return figure, axes

    out = {}
    figure, axes = plot("ROC")
    _roc(axes, margin, bad, metrics)
    out["roc.png"] = _png(figure)
    figure, axes = plot("calibration")
    _calibration(axes, metrics)
    out["calibration.png"] = _png(figure)
    figure, axes = plot("score distribution")
    _scores(axes, pd, bad)
    out["scores.png"] = _png(figure)
    return out


def _roc(axes: Any, margin: NDArray[np.float64], bad: NDArray[np.float64], metrics: Metrics) -> None:  # noqa: ANN401 - matplotlib's axes
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(bad, margin)
    label = f"AUC {metrics.auc:.3f} ({metrics.auc_low:.3f}–{metrics.auc_high:.3f})"
    axes.plot(false, true, color=_BLUE, label=label)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8)
    axes.set(xlabel="share of goods", ylabel="share of bads", xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(loc="lower right", frameon=False)


def _calibration(axes: Any, metrics: Metrics) -> None:  # noqa: ANN401 - matplotlib's axes
    x, y = [row.mean_pd for row in metrics.table], [row.bad_rate for row in metrics.table]
    top = 1.05 * max([*x, *y, 1e-3])
    axes.plot([0, top], [0, top], color=_GREY, linewidth=0.8)
    axes.plot(x, y, "o-", color=_BLUE, label=f"slope {metrics.slope:.2f}, intercept {metrics.intercept:.2f}")
    axes.set(xlabel="mean PD", ylabel="bad rate", xlim=(0, top), ylim=(0, top))
    axes.legend(loc="upper left", frameon=False)


def _scores(axes: Any, pd: NDArray[np.float64], bad: NDArray[np.float64]) -> None:  # noqa: ANN401 - matplotlib's axes
    odds = np.log(pd / (1 - pd))
    bins = np.linspace(odds.min(), odds.max() + 1e-9, 41)
    for value, colour, label in ((0, _BLUE, "good"), (1, _RED, "bad")):
        axes.hist(odds[bad == value], bins=bins, density=True, color=colour, alpha=0.55, label=label)
    axes.set(xlabel="log-odds of default", ylabel="density")
    axes.legend(loc="upper right", frameon=False)


def _png(figure: Any) -> bytes:  # noqa: ANN401 - matplotlib's figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
