"""The search for cycles while serving: what outlives one is left out, and what cycles hold is bounded."""

import asyncio
import gc
import weakref

import pytest

from streamgauge.app import collecting
from streamgauge.app.collecting import COLLECT_AFTER, Collector, calm_collector


class Cycle:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.own = self


def test_what_outlives_a_search_is_left_out_of_the_next() -> None:
    with asyncio.Runner() as runner, calm_collector(runner.get_loop()):
        assert gc.get_threshold() == COLLECT_AFTER
        kept = [[number] for number in range(5_000)]
        gc.collect(1)
        assert len(gc.get_objects(generation=2)) < len(kept)
        assert gc.get_freeze_count() > len(kept)


def test_after_serving_all_is_as_it_was() -> None:
    before = gc.get_threshold(), list(gc.callbacks)
    with asyncio.Runner() as runner, calm_collector(runner.get_loop()):
        pass
    assert (gc.get_threshold(), gc.callbacks) == before
    assert gc.get_freeze_count() == 0


def test_a_cycle_that_was_left_out_goes_when_there_is_twice_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "LEAST", 0)
    collector = Collector()
    try:
        cycle = Cycle()
        gone = weakref.ref(cycle)
        gc.freeze()
        del cycle
        collector.look()
        assert (collector.searches, gone() is None) == (1, False)
        kept: list[list[int]] = [[] for _ in range(2 * gc.get_freeze_count())]
        gc.freeze()
        collector.look()
        assert (collector.searches, gone() is None) == (2, True)
        assert kept
    finally:
        gc.unfreeze()
