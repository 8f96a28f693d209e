"""The checksum of the kernels is zlib's."""

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.features.checksums import PADDING, crc32
from streamgauge.features.packed_states import PackedStates

NOWHERE = np.empty(0, np.int64)


@given(st.binary(max_size=200), st.integers(0, 20), st.binary(max_size=20))
def test_a_checksum_is_that_of_zlib_wherever_it_begins(data: bytes, skipped: int, before: bytes) -> None:
    held = np.frombuffer(data + bytes(PADDING), np.uint8)
    skipped = min(skipped, len(data))
    start = zlib.crc32(before)
    assert crc32(PackedStates(held, NOWHERE, NOWHERE).address + skipped, len(data) - skipped, start) == zlib.crc32(
        data[skipped:], start
    )
