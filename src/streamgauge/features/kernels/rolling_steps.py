"""Steps of time that roll along an entity's moments: an event passes from step to step as it ages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamgauge.definitions.schema import NULL
from streamgauge.features import rolling_plan as rp
from streamgauge.features.expressions import canonical
from streamgauge.features.kernels import opcodes as oc
from streamgauge.features.kernels.apart import inner
from streamgauge.features.kernels.each import kept_steps, summarize
from streamgauge.features.kernels.values import each_value

Ints = NDArray[np.int64]


@inner
def roll_steps(
    time: Ints,
    values: Ints,
    entry: Ints,
    starts: Ints,
    entering: Ints,
    t: Ints,
    first: int,
    last: int,
    own: Ints,
    items: Ints,
    state: Ints,
    steps: Ints,
    scratch: Ints,
    aggregates: NDArray[np.float64],
) -> None:
    """Write the aggregates of a count or sum for each step at each of the moments [first, last).

    ``values`` are what events add: 1 or their value, and 0 where they are not kept.
    ``steps`` holds each step's sum, then which event is the oldest younger than the step's end. The state holds 1 + the
    oldest event of all that were seen.
    """
    times, width = own[rp.P_TIMES], own[rp.P_STEP]
    passed = steps[oc.MAX_STEPS : 2 * oc.MAX_STEPS]
    oldest = state[0]
    for moment in range(first, last):
        now = t[moment]
        for step in range(times):
            edge = now - (step + 1) * width
            event = passed[step]
            while event < len(time) and time[event] <= edge:
                if entry[event] < moment:
                    steps[step] -= values[event]
                    if step + 1 < times:
                        steps[step + 1] += values[event]
                event += 1
            passed[step] = event
        for item in range(starts[moment], starts[moment + 1]):
            event = entering[item]
            oldest = event + 1 if oldest == 0 else min(oldest, event + 1)
            step = (now - time[event]) // width
            if step < times:
                steps[step] += values[event]
        begun = time[oldest - 1] if oldest > 0 else NULL
        count = kept_steps(times, width, now, begun, own[rp.P_FEED])
        for step in range(count):
            scratch[oc.ROW_WIDTH + step] = steps[step]
            scratch[oc.ROW_WIDTH + oc.MAX_STEPS + step] = 1
        summarize(count, own[rp.P_THRESHOLD], scratch, 0, oc.ROW_WIDTH)
        for item in range(own[rp.P_ITEM], own[rp.P_ITEM] + own[rp.P_ITEMS]):
            summary = each_value(items[item, rp.I_OP], scratch, 0, items[item, rp.I_SCALE])
            aggregates[moment, items[item, rp.I_OUT]] = canonical(summary)
    state[0] = oldest
