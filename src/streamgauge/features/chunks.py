"""Entities in chunks of bounded size, and work on chunks in threads with results in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from typing import Protocol

    from streamgauge.events.batch import RecordBatch
    from streamgauge.events.record import Record

    class ColumnReader(Protocol):
        """The part of `streamgauge.log.port.Log` that reads columns."""

        def read_columns(
            self, entities: Collection[str] | None = None, up_to: int | None = None
        ) -> Iterator[RecordBatch]:
            """Yield whole entities as columns, in order of their keys: those named that have records."""


CHUNK_RECORDS: Final = 20_000

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def in_chunks(
    groups: Iterable[tuple[str, list[Record]]], size: int = CHUNK_RECORDS
) -> Iterator[list[tuple[str, list[Record]]]]:
    """Yield whole entities together, until they have ``size`` records or more."""
    chunk: list[tuple[str, list[Record]]] = []
    records = 0
    for group in groups:
        chunk.append(group)
        records += len(group[1]) + 1
        if records >= size:
            yield chunk
            chunk, records = [], 0
    if chunk:
        yield chunk


def batches_of(
    log: ColumnReader, entities: Sequence[str], up_to: int | None, size: int = CHUNK_RECORDS
) -> Iterator[RecordBatch]:
    """Yield named entities in batches of about ``size`` records, those that have none at the end.

    Args:
        log: The log.
        entities: They, each once.
        up_to: The last position that may be read, or None.
        size: How many records.
    """
    from streamgauge.events.batch import RecordBatch

    absent = set(entities)
    for batch in log.read_columns(entities, up_to):
        absent.difference_update(batch.entities)
        yield from batch.split(size)
    if absent:
        yield RecordBatch.of([(entity, ()) for entity in sorted(absent)])


def in_order(work: Callable[[_Job], _Result], jobs: Iterable[_Job], workers: int) -> Iterator[_Result]:
    """Yield ``work(job)`` of each job in order, from so many threads; at most two jobs wait beside those at work."""
    with ThreadPoolExecutor(workers, thread_name_prefix="features") as pool:
        waiting: deque[Future[_Result]] = deque()
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) >= workers + 2:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
