from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamgauge.events.content import content_digest, decode_texts, encode_texts


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_texts_are_read_back_as_written(texts: list[str | None]) -> None:
    assert decode_texts(encode_texts(texts)) == texts


def test_bytes_that_move_from_units_to_texts_change_the_digest() -> None:
    assert content_digest(0, 1, 2, b"12345678", b"") != content_digest(0, 1, 2, b"", b"12345678")
