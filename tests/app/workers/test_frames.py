"""Frames between workers and the owner, whatever pieces they arrive in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.app.workers.frames import (
    LONGEST,
    Answer,
    Call,
    Counted,
    Decide,
    DecideRaw,
    FrameError,
    Frames,
    FromWorker,
    Hello,
    Ingest,
    decode_from_owner,
    decode_from_worker,
    frame,
)
from streamgauge.definitions.schema import FieldKind, FieldSpec, StreamSpec
from streamgauge.events.record import NewRecord

NEW = NewRecord("Paid", "client:C-7", "1", -1, 0, 0, 0, b"\0" * 8, b"", b"d" * 16)
PAID = StreamSpec("Paid", "id", "client", "at", (FieldSpec("amount", FieldKind.MONEY, 2),), 10**12, 10**9)
ASKED: list[FromWorker] = [
    Decide(1, 3, "d-1", NEW, {"amount": "9.90", "early": True, "note": None}, "ab"),
    DecideRaw(2, "d-2", {"stream": "Paid", "amount": 9.9}),
    Ingest(3, 3, [NEW, NEW], applied=True),
    Call(4, "get_score", "/v1/entities/ä/score", {"entity": "ä"}, b"as_of=1"),
    Counted([("/v1/models", "GET", 200, 0.25)]),
]


def test_what_workers_and_owner_say_comes_back_as_it_was() -> None:
    [body] = Frames().feed(frame(ASKED))
    assert decode_from_worker(body) == ASKED
    said = [Hello(1, 2, {"Paid": PAID}), Answer(7, 503, b"{}", {"retry-after": "5"})]
    [body] = Frames().feed(frame(said))
    assert decode_from_owner(body) == said


@given(cuts=st.lists(st.integers(0, 400), max_size=8))
def test_frames_are_found_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    sent = frame([Answer(1, 200, b"one")]) + frame([Answer(2, 200)]) + frame([Answer(3, 200, b"x" * 300)])
    places = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    frames = Frames()
    bodies = [body for i, j in pairwise(places) for body in frames.feed(sent[i:j])]
    assert [decode_from_owner(body)[0] for body in bodies] == [
        Answer(1, 200, b"one"),
        Answer(2, 200),
        Answer(3, 200, b"x" * 300),
    ]


def test_a_length_that_no_frame_has_is_refused_before_anything_is_awaited() -> None:
    with pytest.raises(FrameError, match="longer"):
        Frames().feed((LONGEST + 1).to_bytes(4, "little"))
