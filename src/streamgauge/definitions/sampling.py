"""Samples: which of a model's training rows it is fitted on."""

from __future__ import annotations

from typing import Final

from streamgauge.definitions.place import here, refuse
from streamgauge.definitions.specs import SampleSpec

_MOST_SEED: Final = 2**32


class Downsample:
    """Fitting on every bad row and a share of the good ones, the same rows each time.

    Calibration and test keep every row. What the model is fitted on has too many bads, so its margin is moved back by
    ln(good) before it is calibrated.

    Args:
        good: The share of good rows to fit on, above 0 and below 1.
        seed: Another seed keeps other rows.

    Raises:
        DefinitionError: `good` is no share, or `seed` no whole number from 0.

    >>> Downsample(good=0.02).spec.good
    0.02
    """

    def __init__(self, *, good: float, seed: int = 0) -> None:
        """Check and keep the share."""
        place = here()
        if isinstance(good, bool) or not isinstance(good, int | float) or not 0 < good < 1:
            raise refuse(
                f"Downsample has good={good!r}; it is a share above 0 and below 1, such as 0.02. To fit on every row, "
                "leave sample= out.",
                place,
                argument="good",
            )
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < _MOST_SEED:
            raise refuse(f"Downsample has seed={seed!r}; it is a whole number from 0.", place, argument="seed")
        self.spec = SampleSpec(float(good), seed)
