"""The hash of a text is what it always was: it is written in every log."""

from __future__ import annotations

import pytest

from streamgauge.definitions.texts import hash_text, open_code

HASHES = {"acme": -9105630573487512016, "GB": -3126136948819313367}


@pytest.mark.parametrize("text", HASHES)
def test_a_texts_hash_is_pinned(text: str) -> None:
    assert hash_text(text) == HASHES[text]


def test_an_open_categorys_code_is_exact_in_a_float() -> None:
    assert open_code("acme") == (HASHES["acme"] >> 12) % 2**52
    assert int(open_code("acme")) == (HASHES["acme"] >> 12) % 2**52
