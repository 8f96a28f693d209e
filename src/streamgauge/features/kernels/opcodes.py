"""The numbers that bound programs and the kernel agree on: widths of tables, their columns, and what each code means.

A bound stream is three int64 tables. **Spans** are distinct windows; **groups** are distinct passes over the rows of a
span, each leaving one row of intermediate sums; **aggregates** turn a group's row into one float64. So sum, mean and
std of the same rows share one pass, and all aggregates of a window share its two binary searches.
"""

from __future__ import annotations

from typing import Final

# A span: its kind, width in µs, n, and whether the observed event is left out. Resolved at a moment it is the rows
# [low, high) without the row skip (-1 none), and the time of the stream's first event (NULL if none).
SPAN_WIDTH: Final = 4
S_LOW: Final = 0
S_HIGH: Final = 1
S_SKIP: Final = 2
S_FIRST: Final = 3
SPAN_DURATION: Final = 0
SPAN_LAST: Final = 1
SPAN_LIFE: Final = 2

# A group: kind, span, condition (-1 all), column (-1 none), fold (-1 none), extra, step in µs, threshold, feed, reduce.
# Extra is the key column of TOP_SHARE, the number of steps of EACH, the order of QUANTILE in 10⁻¹², the condition that
# STREAK matches and the half-life of DECAY in seconds; reduce is what EACH makes of a step.
GROUP_WIDTH: Final = 10
G_KIND: Final = 0
G_SPAN: Final = 1
G_CONDITION: Final = 2
G_COLUMN: Final = 3
G_FOLD: Final = 4
G_EXTRA: Final = 5
G_STEP: Final = 6
G_THRESHOLD: Final = 7
G_FEED: Final = 8
G_REDUCE: Final = 9

MOMENTS: Final = 0
GAPS: Final = 1
GAP_MEDIAN: Final = 2
SLOPE: Final = 3
DISTINCT: Final = 4
TOP_SHARE: Final = 5
LEVEL: Final = 6
LEVEL_BELOW: Final = 7
LEVEL_NOW: Final = 8
EACH: Final = 9
OBSERVED: Final = 10
QUANTILE: Final = 11
STREAK: Final = 12
DECAY: Final = 13

# What EACH makes of a step's rows.
STEP_SUM: Final = 0
STEP_DISTINCT: Final = 1
STEP_MIN: Final = 2
STEP_MAX: Final = 3
STEP_FIRST: Final = 4
STEP_LAST: Final = 5

# A group's row. Its first ten columns are those of an accumulator (a fold); summaries of neighbours merge by them.
ROW_WIDTH: Final = 16
FOLD_WIDTH: Final = 10
COUNT: Final = 0
SUM: Final = 1
SQUARES_HIGH: Final = 2
SQUARES_LOW: Final = 3
LEAST: Final = 4
GREATEST: Final = 5
FIRST_TIME: Final = 6
FIRST: Final = 7
LAST_TIME: Final = 8
LAST: Final = 9
# The other columns hold what only some groups need.
SUM_HIGH: Final = 10
SUM_LOW: Final = 11
CROSS_HIGH: Final = 12
CROSS_LOW: Final = 13
BELOW: Final = 14
SECONDS: Final = 15
OVERFLOW: Final = 15
STEPS_X: Final = 10
STEPS_XX: Final = 11

# An aggregate: operation, group, second group (the part of a share), scale 10**decimals, column of the result, feed.
TABLE_WIDTH: Final = 6
T_OP: Final = 0
T_GROUP: Final = 1
T_SECOND: Final = 2
T_SCALE: Final = 3
T_OUT: Final = 4
T_FEED: Final = 5

OP_COUNT: Final = 0
OP_SUM: Final = 1
OP_MEAN: Final = 2
OP_STD: Final = 3
OP_MIN: Final = 4
OP_MAX: Final = 5
OP_FIRST: Final = 6
OP_LAST: Final = 7
OP_SINCE_FIRST: Final = 8
OP_SINCE_LAST: Final = 9
OP_SHARE_COUNT: Final = 10
OP_SHARE_SUM: Final = 11
OP_TOP_SHARE: Final = 12
OP_SLOPE: Final = 13
OP_EACH_SLOPE: Final = 14
OP_LEVEL_MEAN: Final = 15
OP_LEVEL_STD: Final = 16
OP_LEVEL_SLOPE: Final = 17
OP_LEVEL_NOW: Final = 18
OP_TIME_BELOW: Final = 19
OP_SINCE_BELOW: Final = 20
OP_EACH_SUM: Final = 21
OP_EACH_MEAN: Final = 22
OP_EACH_STD: Final = 23
OP_EACH_MIN: Final = 24
OP_EACH_MAX: Final = 25
OP_EACH_BELOW: Final = 26
OP_OBSERVED: Final = 27
OP_DECAY: Final = 28

HASHED: Final = -1
"""The scale of an open category: its value is `(hash >> 12) & (2**52 - 1)`, exact in float64."""

MAX_STEPS: Final = 128
"""The most steps an `each` may have: squares of step sums stay within 128 bits."""

STEP_LIMIT: Final = 2**56
"""A step whose sum is larger than this many units makes its feature null."""
