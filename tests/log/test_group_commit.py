import asyncio
import threading
from collections.abc import Sequence

import pytest

from streamgauge.log.group_commit import GroupCommit


class Gate:
    """A commit function that waits until it is let through, and remembers its groups."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.entered.set()
        assert self.opened.wait(10)
        self.groups.append(list(items))
        return [item * 10 for item in items]


def test_items_that_wait_share_the_next_commit_in_order() -> None:
    gate = Gate()
    with GroupCommit[int, int](gate, max_items=3) as commits:
        first = commits.submit(0)
        assert gate.entered.wait(10)
        others = [commits.submit(item) for item in range(1, 6)]
        gate.opened.set()
        assert [first.result(10), *(future.result(10) for future in others)] == [0, 10, 20, 30, 40, 50]
    assert gate.groups == [[0], [1, 2, 3], [4, 5]]


def test_closing_commits_what_waits_and_refuses_more() -> None:
    gate = Gate()
    commits = GroupCommit[int, int](gate)
    futures = [commits.submit(item) for item in range(5)]
    gate.opened.set()
    commits.close()
    commits.close()
    assert [future.result(0) for future in futures] == [0, 10, 20, 30, 40]
    with pytest.raises(RuntimeError, match="closed"):
        commits.submit(6)


def test_a_raised_error_reaches_every_future_of_its_group_and_no_other() -> None:
    def commit(items: Sequence[int]) -> list[int | Exception]:
        if 2 in items:
            raise OSError("disk full")
        return list(items)

    with GroupCommit[int, int](commit, max_items=1) as commits:
        futures = [commits.submit(item) for item in (1, 2, 3)]
        with pytest.raises(OSError, match="disk full"):
            futures[1].result(10)
        assert [futures[0].result(10), futures[2].result(10)] == [1, 3]


def test_a_returned_error_fails_its_own_item_alone() -> None:
    def commit(items: Sequence[int]) -> list[int | Exception]:
        return [ValueError("odd") if item % 2 else item for item in items]

    with GroupCommit[int, int](commit) as commits:
        futures = [commits.submit(item) for item in (2, 3, 4)]
        assert [futures[0].result(10), futures[2].result(10)] == [2, 4]
        with pytest.raises(ValueError, match="odd"):
            futures[1].result(10)


def test_a_commit_that_answers_too_few_leaves_nobody_waiting() -> None:
    def commit(_: Sequence[int]) -> list[int | Exception]:
        return []

    with GroupCommit[int, int](commit) as commits, pytest.raises(RuntimeError, match="0 results for 1 items"):
        commits.submit(1).result(10)


def test_an_item_cancelled_while_it_waits_is_not_committed() -> None:
    gate = Gate()
    with GroupCommit[int, int](gate) as commits:
        commits.submit(0)
        assert gate.entered.wait(10)
        dropped, kept = commits.submit(1), commits.submit(2)
        assert dropped.cancel()
        gate.opened.set()
        assert kept.result(10) == 20
    assert gate.groups == [[0], [2]]


def test_async_callers_wait_without_blocking_the_loop() -> None:
    async def many(commits: GroupCommit[int, int]) -> list[int]:
        return await asyncio.gather(*(asyncio.wrap_future(commits.submit(item)) for item in range(50)))

    def commit(items: Sequence[int]) -> list[int | Exception]:
        return [item + 1 for item in items]

    with GroupCommit[int, int](commit) as commits:
        assert asyncio.run(many(commits)) == list(range(1, 51))
