"""From a raw margin to a probability of default: fitted on rows the model never saw, frozen afterwards."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from streamgauge.errors import ModelError
from streamgauge.scoring.ensemble import Floats

PD_FLOOR = 0.0003
PD_CEILING = 1.0 - 1e-9
ISOTONIC_BADS = 1000
_STEPS = 100
_HALVINGS = 40
_GRADIENT = 1e-12

Kind = Literal["sigmoid", "isotonic"]


class Calibrator(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen map from margin to PD.

    Attributes:
        kind: ``sigmoid`` (PD = 1 / (1 + exp(-(slope · margin + intercept)))) or ``isotonic`` (straight lines between
            the blocks, flat outside them).
        slope: Slope of the sigmoid.
        intercept: Intercept of the sigmoid.
        margins: The blocks' mean margins, strictly increasing.
        pds: The blocks' probabilities, strictly increasing.
        rows: How many rows it was fitted on.
        bads: How many of them were bad.
    """

    kind: Kind
    slope: float = 0.0
    intercept: float = 0.0
    margins: tuple[float, ...] = ()
    pds: tuple[float, ...] = ()
    rows: int = 0
    bads: int = 0

    def pd(self, margin: Floats) -> Floats:
        """Return the probability of default of each margin: at least 0.0003, rounded to 1e-9.

        >>> Calibrator(kind="sigmoid", slope=1.0).pd(np.array([0.0, -20.0])).tolist()
        [0.5, 0.0003]
        """
        if self.kind == "sigmoid":
            raw = _sigmoid(self.slope * np.asarray(margin, dtype=np.float64) + self.intercept)
        else:
            raw = np.interp(margin, self.margins, self.pds)
        return rounded_pd(raw)

    def to_bytes(self) -> bytes:
        """Return the canonical serialized form (JSON)."""
        return msgspec.json.encode(self, order="deterministic")

    @classmethod
    def from_bytes(cls, data: bytes) -> Calibrator:
        """Rebuild a calibrator from ``to_bytes``.

        Raises:
            ModelError: The bytes are no calibrator.
        """
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise ModelError(f"The calibrator cannot be read ({error}). Fetch the model again.") from error

    @property
    def sha256(self) -> str:
        """The hex SHA-256 of the canonical form."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def rounded_pd(raw: Floats) -> Floats:
    """Return probabilities as they are stored and compared: rint(p · 1e9) / 1e9, within [0.0003, 1 - 1e-9]."""
    out: Floats = np.clip(np.rint(raw * 1e9) / 1e9, PD_FLOOR, PD_CEILING)
    return out


def fit_calibrator(kind: Kind, margin: Floats, bad: npt.NDArray[np.bool_]) -> Calibrator:
    """Fit a calibrator on natural-prevalence rows that the model never saw.

    Args:
        kind: ``sigmoid`` or ``isotonic`` (which needs 1,000 bads).
        margin: float64[n], raw margins.
        bad: bool[n], outcomes.

    Raises:
        ModelError: Too few bads or goods, a margin that is not finite, or a margin that does not order the outcomes.
    """
    margins, bads = np.asarray(margin, dtype=np.float64), np.asarray(bad).astype(bool)
    n, d = len(margins), int(bads.sum())
    if margins.shape != bads.shape or not np.isfinite(margins).all():
        raise ModelError("Calibration needs one finite margin for each outcome.")
    if not 0 < d < n:
        raise ModelError(f"Calibration on {n} rows with {d} bads is not possible: it needs bads and goods.")
    if kind == "isotonic" and d < ISOTONIC_BADS:
        raise ModelError(
            f'Isotonic calibration needs {ISOTONIC_BADS:,} bads, there are {d:,}. Use calibration="sigmoid".'
        )
    # A sigmoid must rise for the isotonic fit as well: noise alone leaves blocks that increase.
    sigmoid = _fit_sigmoid(margins, bads)
    return sigmoid if kind == "sigmoid" else _fit_isotonic(margins, bads)


def _sigmoid(z: Floats) -> Floats:
    out: Floats = 1.0 / (1.0 + np.exp(-np.clip(z, -700.0, 700.0)))
    return out


def _fit_sigmoid(margin: Floats, bad: npt.NDArray[np.bool_]) -> Calibrator:
    """Fit slope and intercept by Newton's method with smoothed targets.

    Source: Platt 1999, Probabilistic outputs for support vector machines; Lin, Lin and Weng 2007, section 3.
    """
    n, d = len(margin), int(bad.sum())
    target = np.where(bad, (d + 1.0) / (d + 2.0), 1.0 / (n - d + 2.0))
    middle, spread = float(margin.mean()), float(margin.std())
    if spread == 0.0:
        raise ModelError("All margins are equal: the model does not tell rows apart. Check its features.")
    x = (margin - middle) / spread
    slope, intercept = 0.0, float(np.log((d + 1.0) / (n - d + 1.0)))
    for _ in range(_STEPS):
        p = _sigmoid(slope * x + intercept)
        residual, weight = target - p, p * (1.0 - p)
        g1, g0 = float((residual * x).sum()), float(residual.sum())
        if abs(g1) + abs(g0) <= _GRADIENT * n:
            break
        h11, h10, h00 = float((weight * x * x).sum()), float((weight * x).sum()), float(weight.sum())
        determinant = h11 * h00 - h10 * h10
        if determinant <= 0.0:
            break
        step1, step0 = (h00 * g1 - h10 * g0) / determinant, (h11 * g0 - h10 * g1) / determinant
        scale = _step_length(x, target, (slope, intercept), (step1, step0))
        slope, intercept = slope + scale * step1, intercept + scale * step0
    if slope <= 0.0:
        raise ModelError(
            f"The calibration slope is {slope / spread:.4g}: a higher margin does not mean more bads on these rows. "
            "The model is not registered; compare the calibration span with the training span."
        )
    return Calibrator(
        kind="sigmoid", slope=slope / spread, intercept=intercept - slope * middle / spread, rows=n, bads=d
    )


def _step_length(x: Floats, target: Floats, at: tuple[float, float], step: tuple[float, float]) -> float:
    """Return the longest of 1, 1/2, 1/4, … whose step does not raise the log loss."""

    def loss(scale: float) -> float:
        z = (at[0] + scale * step[0]) * x + at[1] + scale * step[1]
        return float((np.logaddexp(0.0, z) - target * z).sum())

    before, scale = loss(0.0), 1.0
    for _ in range(_HALVINGS):
        if loss(scale) <= before:
            return scale
        scale /= 2.0
    return 0.0


def _fit_isotonic(margin: Floats, bad: npt.NDArray[np.bool_]) -> Calibrator:
    """Pool adjacent violators, then pool until (d + ½) / (n + 1) increases from block to block.

    Source: Ayer et al. 1955; the shrinkage is Jeffreys' for a proportion.
    """
    x, group = np.unique(margin, return_inverse=True)
    counts = np.bincount(group).astype(np.float64)
    bads = np.bincount(group, weights=bad).astype(np.float64)
    blocks = np.stack([counts, bads, x * counts], axis=1).tolist()
    blocks = _pooled(blocks, shrink=False)
    blocks = _pooled(blocks, shrink=True)
    if len(blocks) == 1:
        raise ModelError(
            "Isotonic calibration leaves one block: a higher margin does not mean more bads on these rows."
        )
    return Calibrator(
        kind="isotonic",
        margins=tuple(sums / n for n, _, sums in blocks),
        pds=tuple((d + 0.5) / (n + 1.0) for n, d, _ in blocks),
        rows=len(margin),
        bads=int(bad.sum()),
    )


def _pooled(blocks: list[list[float]], *, shrink: bool) -> list[list[float]]:
    half, one = (0.5, 1.0) if shrink else (0.0, 0.0)
    out: list[list[float]] = []
    for block in blocks:
        n, d, sums = block
        while out and (out[-1][1] + half) / (out[-1][0] + one) >= (d + half) / (n + one):
            before = out.pop()
            n, d, sums = n + before[0], d + before[1], sums + before[2]
        out.append([n, d, sums])
    return out
