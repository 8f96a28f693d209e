"""The feed of scores can be resumed from any number, whole groups at a time."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streamgauge.adapters.lmdb.store import LmdbStateStore
from streamgauge.app.scores import ScoreFeed


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStateStore]:
    opened = LmdbStateStore(tmp_path / "state", "layout")
    yield opened
    opened.close()


def body(position: int, model: str = "m") -> bytes:
    return msgspec.json.encode({"position": position, "model": model})


def positions(found: list[tuple[int, bytes]]) -> list[int]:
    return [msgspec.json.decode(one)["position"] for _, one in found]


def test_an_empty_feed_has_nothing(store: LmdbStateStore) -> None:
    feed = ScoreFeed(store)
    assert feed.after(0, 10) == []
    assert feed.newest() == 0


def test_scores_come_in_order_after_any_position(store: LmdbStateStore) -> None:
    store.put_batch({}, [body(position) for position in range(10, 400, 10)], 390)
    feed = ScoreFeed(store)
    assert positions(feed.after(0, 3))[:3] == [10, 20, 30]
    for seen in (10, 15, 20, 199, 200, 389):
        assert positions(feed.after(seen, 100))[0] == seen // 10 * 10 + 10
    assert feed.after(390, 10) == []
    assert feed.newest() == 390


def test_all_but_the_last_of_a_group_carry_the_number_before(store: LmdbStateStore) -> None:
    store.put_batch({}, [body(10), body(20, "a"), body(20, "b"), body(30)], 30)
    assert [number for number, _ in ScoreFeed(store).after(0, 10)] == [10, 19, 20, 30]


def test_whoever_stops_within_a_group_is_sent_all_of_it_again(store: LmdbStateStore) -> None:
    store.put_batch({}, [body(10), body(20, "a"), body(20, "b"), body(30)], 30)
    feed = ScoreFeed(store)
    [_, (number, _), *_] = feed.after(0, 10)
    assert positions(feed.after(number, 10)) == [20, 20, 30]


def test_reading_page_by_page_misses_and_repeats_nothing(store: LmdbStateStore) -> None:
    expected = [(position, model) for position in range(1, 120) for model in ("a", "b")]
    store.put_batch({}, [body(position, model) for position, model in expected], 120)
    feed = ScoreFeed(store)
    seen: list[tuple[int, str]] = []
    number = 0
    while found := feed.after(number, 7):
        seen += [(one["position"], one["model"]) for one in (msgspec.json.decode(raw) for _, raw in found)]
        number = found[-1][0]
    assert seen == expected
