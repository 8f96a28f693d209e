import numpy as np
import pytest

from streamgauge.definitions.specs import SplitSpec
from streamgauge.errors import SpanTooShort
from streamgauge.models.split import fold_split, time_split

DAY = 86_400_000_000
SPEC = SplitSpec("time", calibrate_us=20 * DAY, test_us=20 * DAY)
CLOSING = 30 * DAY


def days(last: int) -> tuple[np.ndarray, ...]:
    """One row an hour, a third of them bad, up to a day: t, closes_at, bad, usable."""
    t = np.arange(0, last * DAY + 1, DAY // 24, dtype=np.int64)
    bad = (np.arange(len(t)) % 3 == 0).astype(np.float64)
    return t, t + CLOSING, bad, np.ones(len(t), np.bool_)


def test_parts_follow_in_time_and_close_before_the_next_begins() -> None:
    #  train        │ purge 30d │ calibrate 20d │ purge 30d │ test 20d
    #  0 ──────── 20 ───────── 50 ─────────── 70 ───────── 100 ────── 120
    t, closes, bad, usable = days(120)
    split = time_split(SPEC, t, closes, bad, usable, CLOSING)
    assert (t[split.train].min(), t[split.train].max()) == (0, 20 * DAY)
    assert (t[split.calibrate].min(), t[split.calibrate].max()) == (50 * DAY + DAY // 24, 70 * DAY)
    assert (t[split.test].min(), t[split.test].max()) == (100 * DAY + DAY // 24, 120 * DAY)
    assert closes[split.train].max() <= 50 * DAY
    assert closes[split.calibrate].max() <= 100 * DAY
    assert len(split.train) + len(split.calibrate) + len(split.test) + len(split.purged) == len(t)


def test_a_row_that_closes_late_is_purged_wherever_it_was_observed() -> None:
    t, closes, bad, usable = days(120)
    closes[5] = 60 * DAY
    split = time_split(SPEC, t, closes, bad, usable, CLOSING)
    assert 5 in split.purged
    assert 5 not in split.train


def test_rows_without_an_outcome_are_in_no_part() -> None:
    t, closes, bad, usable = days(120)
    usable[::2] = False
    split = time_split(SPEC, t, closes, bad, usable, CLOSING)
    assert usable[np.concatenate([*split.parts().values(), split.purged])].all()


def test_an_empty_part_says_the_span_needed_and_the_span_there_is() -> None:
    t, closes, bad, usable = days(90)
    with pytest.raises(SpanTooShort) as refused:
        time_split(SPEC, t, closes, bad, usable, CLOSING)
    assert "The train part is empty" in str(refused.value)
    assert "more than 100 days" in str(refused.value)
    assert "there are 90 days of them, from 1970-01-01 to 1970-04-01" in str(refused.value)


def test_a_part_with_too_few_bads_is_refused() -> None:
    t, closes, bad, usable = days(120)
    bad[t > 100 * DAY] = 0.0
    with pytest.raises(SpanTooShort, match="The test part has 0 bads and 480 goods"):
        time_split(SPEC, t, closes, bad, usable, CLOSING)


def test_a_label_with_a_fixed_end_needs_folds() -> None:
    t, closes, bad, usable = days(120)
    with pytest.raises(SpanTooShort, match="FoldSplit"):
        time_split(SPEC, t, closes, bad, usable, 0)


def test_a_fold_holds_whole_entities_and_stays_when_others_join() -> None:
    entities = [f"client:{number}" for number in range(500)]
    entity = np.repeat(np.arange(500), 2)
    bad = (np.arange(1000) % 4 == 0).astype(np.float64)
    usable = np.ones(1000, np.bool_)
    split = fold_split(SplitSpec("fold", folds=5, by="client"), entities, entity, bad, usable)
    assert split.fold is not None
    assert (split.fold[::2] == split.fold[1::2]).all()
    assert np.bincount(split.fold).min() > 120

    fewer = fold_split(SplitSpec("fold", folds=5, by="client"), entities[100:], entity[:800], bad[:800], usable[:800])
    assert fewer.fold is not None
    assert (fewer.fold == split.fold[200:]).all()


def test_a_fold_without_bads_is_refused() -> None:
    entities = [f"client:{number}" for number in range(20)]
    with pytest.raises(SpanTooShort, match="of 20 closed rows"):
        fold_split(
            SplitSpec("fold", folds=5, by="client"), entities, np.arange(20), np.zeros(20), np.ones(20, np.bool_)
        )
