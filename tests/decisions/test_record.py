import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.decisions.record import (
    Vector,
    decode,
    digest_request,
    encode,
    record_digest,
)
from streamgauge.errors import DecisionInvalid
from streamgauge.testing.decision_builder import build_decision

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=8))
def test_float_vectors_come_back_bit_for_bit(bits: list[int]) -> None:
    values = np.array(bits, dtype=np.uint64).view(np.float64)
    names = tuple(f"f{index}" for index in range(len(bits)))
    record = build_decision("d", feature_names=names, features=Vector.of(values), model_input=Vector.of(values))
    read = decode(encode(record))
    assert read.features.array.view(np.uint64).tolist() == bits
    assert read.model_input == record.model_input


@given(st.dictionaries(st.text(), JSON))
def test_the_request_comes_back_as_it_was_accepted(request: dict[str, Any]) -> None:
    assert decode(encode(build_decision("d", request=request))).request == request


def test_null_and_minus_zero_are_kept_apart_from_numbers() -> None:
    record = build_decision("d", feature_names=("a", "b", "c"), features=Vector.of([None, -0.0, 0.0]))
    read = decode(encode(record))
    assert read.feature_values()["a"] is None
    assert [math.copysign(1, value) for value in read.features.array[1:]] == [-1, 1]
    assert Vector.of([-0.0]) != Vector.of([0.0])


def test_a_record_comes_back_whole() -> None:
    record = build_decision("d-1")
    assert decode(encode(record)) == record


def test_the_bytes_do_not_depend_on_the_order_of_keys_or_on_the_number() -> None:
    record = build_decision("d", request={"a": 1, "b": {"x": 1, "y": 2}}, entities={"account": "1", "card": "2"})
    other = msgspec.structs.replace(
        record, request={"b": {"y": 2, "x": 1}, "a": 1}, entities={"card": "2", "account": "1"}, seq=9
    )
    assert encode(record) == encode(other)
    assert decode(encode(other)).seq is None
    assert decode(encode(record), 9) == other


def test_numpy_scalars_are_recorded_as_numbers() -> None:
    assert encode(build_decision("d", pd=np.float64(0.25))) == encode(build_decision("d", pd=0.25))


def test_names_and_values_must_belong_together() -> None:
    with pytest.raises(ValueError, match="2 feature names"):
        build_decision("d", feature_names=("a", "b"), features=Vector.of([1.0]))


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800", object], ids=str)
def test_what_cannot_be_written_is_refused_by_name(value: object) -> None:
    with pytest.raises(DecisionInvalid, match="cannot be written"):
        encode(build_decision("d", request={"x": value}))
    with pytest.raises(DecisionInvalid, match="cannot be recorded"):
        digest_request({"x": value})


def test_nesting_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(DecisionInvalid):
        digest_request({"x": deep})


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x80", encode(build_decision("d"))[:-1]])
def test_foreign_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(DecisionInvalid):
        decode(body, 3)


def test_another_format_is_refused() -> None:
    body = encode(build_decision("d")).replace(b"decision/1", b"decision/2")
    with pytest.raises(DecisionInvalid, match="decision/2"):
        decode(body, 3)


def test_requests_that_differ_have_different_digests() -> None:
    assert digest_request({"amount": 1}) != digest_request({"amount": "1"})
    assert digest_request({"a": 1, "b": 2}) == digest_request({"b": 2, "a": 1})


def test_the_same_body_under_another_salt_has_another_digest() -> None:
    assert record_digest(b"1" * 16, b"x") != record_digest(b"2" * 16, b"x")
