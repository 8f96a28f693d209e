"""Categories as the model sees them."""

from __future__ import annotations

import numpy as np
import pytest

from streamgauge.errors import ModelError
from streamgauge.scoring.coding import MAX_LEVELS, Coding

NAN = np.nan
TRAINING = np.array([[1.5, 30.0], [2.5, 10.0], [NAN, 30.0], [0.0, NAN]])


def test_codes_count_the_training_levels_and_an_unseen_level_is_null() -> None:
    coding = Coding.fit(["a", "b"], [False, True], TRAINING, "codes")
    assert coding.features[1].levels == (10.0, 30.0)
    assert coding.categorical_columns == (1,)
    found = coding.encode(np.array([[9.0, 10.0], [NAN, 30.0], [1.0, 20.0], [1.0, NAN], [1.0, 99.0]]))
    np.testing.assert_array_equal(found, [[9.0, 0.0], [NAN, 1.0], [1.0, NAN], [1.0, NAN], [1.0, NAN]])


def test_one_hot_has_a_column_per_level_and_none_set_for_null_and_unseen() -> None:
    coding = Coding.fit(["b", "a"], [True, False], TRAINING[:, ::-1], "one_hot")
    found = coding.encode(np.array([[10.0, 9.0], [30.0, NAN], [20.0, 1.0], [NAN, 1.0]]))
    np.testing.assert_array_equal(found, [[1, 0, 9], [0, 1, NAN], [0, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(coding.sources, [0, 0, 1])
    np.testing.assert_array_equal(coding.by_feature(np.array([[1.0, 2.0, 4.0]])), [[3.0, 4.0]])


def test_a_category_without_any_level_has_no_column_and_widths_do_not_mix() -> None:
    training = np.array([[NAN, 1.0, 5.0], [NAN, 2.0, 5.0]])
    coding = Coding.fit(["none", "two", "x"], [True, True, False], training, "one_hot")
    np.testing.assert_array_equal(coding.encode(np.array([[4.0, 2.0, 7.0]])), [[0, 1, 7]])
    np.testing.assert_array_equal(coding.by_feature(np.array([[1.0, 2.0, 4.0]])), [[0.0, 3.0, 4.0]])


def test_nulls_are_what_the_model_cannot_see() -> None:
    coding = Coding.fit(["a", "b"], [False, True], TRAINING, "codes")
    found = coding.nulls(np.array([[NAN, 10.0], [1.0, 77.0]]))
    np.testing.assert_array_equal(found, [[True, False], [False, True]])


def test_the_most_frequent_levels_are_kept_where_there_are_too_many() -> None:
    rare = np.arange(1000.0, 1000.0 + MAX_LEVELS)
    column = np.concatenate([rare, [5.0, 5.0]])[:, None]
    coding = Coding.fit(["a"], [True], column, "codes")
    assert len(coding.features[0].levels) == MAX_LEVELS
    assert coding.features[0].levels[0] == 5.0


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ModelError, match="Rows of shape"):
        Coding.fit(["a", "b"], [False, True], TRAINING, "codes").encode(np.zeros((1, 3)))
