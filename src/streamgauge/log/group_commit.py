"""Many callers, one durable commit."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class GroupCommit(Generic[ItemT, ResultT]):
    """A thread that puts everything waiting into one commit, and answers each caller when it is durable.

    There is no artificial delay: while one commit runs, the next group gathers, so groups grow with the load.
    Items are committed in the order of `submit`. An item whose future is cancelled before its group starts is
    left out; afterwards it can no longer be withdrawn. Async callers use `asyncio.wrap_future`. The queue is
    unbounded: a caller that must refuse under load looks at `waiting`.

    Args:
        commit: Called on the thread with 1 to `max_items` items; returns one result per item, in order, once all are
            durable. An exception *returned* in place of a result fails that item's future alone; an exception
            *raised* fails every future of the group.
        max_items: Largest group.
        name: The thread's name.

    >>> with GroupCommit(lambda items: [item * 2 for item in items]) as commits:
    ...     commits.submit(21).result()
    42
    """

    def __init__(
        self,
        commit: Callable[[Sequence[ItemT]], Sequence[ResultT | Exception]],
        *,
        max_items: int = 1_000,
        name: str = "group-commit",
    ) -> None:
        """Start the thread."""
        if max_items < 1:
            msg = f"max_items must be at least 1, not {max_items}."
            raise ValueError(msg)
        self._commit = commit
        self._max_items = max_items
        self._queue: queue.SimpleQueue[tuple[ItemT, Future[ResultT]] | None] = queue.SimpleQueue()
        self._closed = False
        self._door = threading.Lock()
        # Nothing is acknowledged before its commit, so a daemon thread that dies with the process loses no promise.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items wait for a commit, about."""
        return self._queue.qsize()

    def submit(self, item: ItemT) -> Future[ResultT]:
        """Queue one item; the future completes when its group is durable, or with the commit's error.

        Raises:
            RuntimeError: After `close`.
        """
        future: Future[ResultT] = Future()
        with self._door:
            if self._closed:
                msg = f"{self._thread.name} is closed and takes no more items."
                raise RuntimeError(msg)
            self._queue.put((item, future))
        return future

    def close(self) -> None:
        """Refuse new items, commit all that wait, and end the thread. Closing twice is allowed."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._gather()
            live = [(item, future) for item, future in group if future.set_running_or_notify_cancel()]
            if live:
                self._settle(live)

    def _gather(self) -> tuple[list[tuple[ItemT, Future[ResultT]]], bool]:
        """Wait for one item, then take what is there; False when the end was reached."""
        group: list[tuple[ItemT, Future[ResultT]]] = []
        entry = self._queue.get()
        while entry is not None:
            group.append(entry)
            if len(group) == self._max_items:
                return group, True
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _settle(self, group: list[tuple[ItemT, Future[ResultT]]]) -> None:
        try:
            results = self._commit([item for item, _ in group])
            if len(results) != len(group):
                msg = f"The commit function answered {len(results)} results for {len(group)} items."
                raise RuntimeError(msg)  # noqa: TRY301 - it must reach every waiting future, like any other failure
        except BaseException as error:  # noqa: BLE001 - a caller must never wait for ever, whatever went wrong
            for _, future in group:
                future.set_exception(error)
            return
        for (_, future), result in zip(group, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
