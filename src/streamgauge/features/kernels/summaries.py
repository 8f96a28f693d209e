"""What kernels call of summaries, by an address that the summary itself names: most streams never have one."""

from __future__ import annotations

from typing import Final

from streamgauge.events import array_types as ty
from streamgauge.features.kernels.apart import at_address

EVALUATE: Final = ty.NONE(
    ty.READ_INTS,
    ty.READ_WORDS2,
    ty.READ_INTS2,
    ty.INT,
    ty.READ_INTS2,
    ty.INT,
    ty.READ_INTS2,
    ty.READ_INTS2,
    ty.READ_INTS2,
    ty.INTS,
    ty.INT,
    ty.INT,
    ty.INTS,
    ty.FLOATS,
)
"""Of `streamgauge.features.kernels.summarized.evaluate_summarized`."""

NOTE: Final = ty.NONE(ty.INTS, ty.INTS, ty.INTS, ty.WORDS2, ty.INTS2, ty.INT, ty.INT)
"""Of `streamgauge.features.kernels.noting.note_changed`."""

evaluate_at = at_address(EVALUATE)
note_at = at_address(NOTE)
