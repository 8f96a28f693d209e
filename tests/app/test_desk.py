"""Decisions wait at a desk: what comes together goes in together, and each hears its own answer."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from streamgauge.app.desk import Desk

if TYPE_CHECKING:
    from collections.abc import Sequence


def doubled(asked: Sequence[int]) -> list[int | Exception]:
    return [2 * one if one >= 0 else ValueError(f"{one} is negative") for one in asked]


def test_what_is_asked_in_one_turn_goes_in_together_and_each_hears_its_own() -> None:
    groups: list[int] = []

    def decide(asked: Sequence[int]) -> list[int | Exception]:
        groups.append(len(asked))
        return doubled(asked)

    async def ask() -> list[int | BaseException]:
        return await asyncio.gather(*(desk.ask(number) for number in (1, -2, 3)), return_exceptions=True)

    desk: Desk[int, int] = Desk(decide)
    one, two, three = asyncio.run(ask())
    desk.close()
    assert (one, three) == (2, 6)
    assert isinstance(two, ValueError)
    assert groups == [3]


def test_while_a_group_is_decided_the_next_one_gathers() -> None:
    gate, begun = threading.Event(), threading.Event()
    groups: list[list[int]] = []

    def decide(asked: Sequence[int]) -> list[int | Exception]:
        groups.append(list(asked))
        begun.set()
        assert gate.wait(10)
        return doubled(asked)

    async def ask() -> list[int]:
        first = asyncio.ensure_future(desk.ask(0))
        await asyncio.to_thread(begun.wait, 10)
        others = [asyncio.ensure_future(desk.ask(number)) for number in (1, 2)]
        await asyncio.sleep(0)
        late = asyncio.ensure_future(desk.ask(3))
        for _ in range(3):
            await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(first, *others, late)

    desk: Desk[int, int] = Desk(decide)
    assert asyncio.run(ask()) == [0, 2, 4, 6]
    desk.close()
    assert groups == [[0], [1, 2, 3]]


def test_what_deciding_raises_everybody_of_the_group_hears_and_the_next_group_is_decided() -> None:
    def decide(asked: Sequence[int]) -> list[int | Exception]:
        if 13 in asked:
            raise OSError("No space left on device")
        return doubled(asked)

    async def ask() -> list[int | BaseException]:
        together = await asyncio.gather(desk.ask(13), desk.ask(1), return_exceptions=True)
        return [*together, await desk.ask(1)]

    desk: Desk[int, int] = Desk(decide)
    *failed, after = asyncio.run(ask())
    desk.close()
    assert [type(one) for one in failed] == [OSError, OSError]
    assert after == 2


def test_a_caller_who_has_gone_away_does_not_keep_the_others_waiting() -> None:
    async def ask() -> int:
        gone, stays = asyncio.ensure_future(desk.ask(1)), asyncio.ensure_future(desk.ask(2))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    desk: Desk[int, int] = Desk(doubled)
    assert asyncio.run(ask()) == 4
    desk.close()


def test_settling_follows_when_nobody_waits() -> None:
    settled = threading.Event()
    desk: Desk[int, int] = Desk(doubled, settled.set)
    assert asyncio.run(desk.ask(1)) == 2
    assert settled.wait(10)
    desk.close()


def test_callers_on_several_loops_are_answered() -> None:
    desk: Desk[int, int] = Desk(doubled)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(asyncio.run(desk.ask(5)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    desk.close()
    assert answers == [10] * 8


def test_a_closed_desk_takes_nothing_more() -> None:
    desk: Desk[int, int] = Desk(doubled)
    desk.close()
    desk.close()
    with pytest.raises(RuntimeError, match="closing"):
        asyncio.run(desk.ask(1))
