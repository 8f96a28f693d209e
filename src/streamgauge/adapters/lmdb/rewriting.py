"""A store's file written anew without what is erased: a freed page keeps its bytes, a new file has only what lives."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

import lmdb

from streamgauge.adapters.lmdb.values import bodies_of, checked, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

_MAP: Final = 1 << 28
_AT_ONCE: Final = 2_000
UNFINISHED: Final = ".new"
FINISHED: Final = ".swap"


def finish(folder: Path) -> None:
    """Bring a rewriting that was cut short to its end, or undo it where the new file is not complete."""
    shutil.rmtree(_beside(folder, UNFINISHED), ignore_errors=True)
    if _beside(folder, FINISHED).exists():
        swap(folder)


class Cleaning:
    """What of a store is not written anew.

    Args:
        keys: Of states that go.
        drops: Picks entries of the outbox that go.

    Attributes:
        dropped: How many entries of the outbox went so far.
    """

    def __init__(self, keys: Collection[bytes], drops: Callable[[bytes], bool]) -> None:
        self.dropped = 0
        self._keys = keys
        self._drops = drops

    def kept(self, name: bytes, key: bytes, value: bytes) -> bytes | None:
        """Return what is written in place of a value, None where nothing is.

        An entry that goes leaves an empty one, so that those beside it keep their numbers.
        """
        if name == b"states":
            return None if key in self._keys else value
        if name != b"outbox":
            return value
        bodies = bodies_of(key, value)
        going = [self._drops(body) if body else False for body in bodies]
        if not any(going):
            return value
        self.dropped += sum(going)
        return checked(key, packed([b"" if goes else body for body, goes in zip(bodies, going, strict=True)]))


def rewrite(source: lmdb.Environment, folder: Path, cleaning: Cleaning) -> None:
    """Write all that is kept into a new folder beside a store's.

    `swap` puts it in its place.

    Args:
        source: The open store, which nobody writes meanwhile.
        folder: Its folder.
        cleaning: What is not.
    """
    fresh = _beside(folder, UNFINISHED)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    size = source.info()["map_size"]
    with lmdb.open(str(fresh), map_size=max(_MAP, size), max_dbs=3, sync=False) as target:
        for name in (b"states", b"outbox", b"meta"):
            _copy(source, target, name, cleaning)
        target.sync(True)  # noqa: FBT003 - LMDB's form
    (fresh / "lock.mdb").unlink(missing_ok=True)
    fresh.rename(_beside(folder, FINISHED))
    _sync(folder.parent)


def swap(folder: Path) -> None:
    """Put the new folder in the place of the old one, which is open nowhere in this process."""
    shutil.rmtree(folder, ignore_errors=True)
    _beside(folder, FINISHED).rename(folder)
    _sync(folder.parent)


def _copy(source: lmdb.Environment, target: lmdb.Environment, name: bytes, cleaning: Cleaning) -> None:
    """Copy a database page by page of keys, so that no read lasts long."""
    old = source.open_db(name, create=False)
    new = target.open_db(name)
    start = b""
    while True:
        page: list[tuple[bytes, bytes]] = []
        with source.begin(db=old) as txn:
            cursor = txn.cursor()
            if cursor.set_range(start) if start else cursor.first():
                for key, value in cursor.iternext():
                    page.append((bytes(key), bytes(value)))
                    if len(page) >= _AT_ONCE:
                        break
        with target.begin(write=True, db=new) as txn:
            for key, value in page:
                kept = cleaning.kept(name, key, value)
                if kept is not None:
                    txn.put(key, kept, append=True)
        if len(page) < _AT_ONCE:
            return
        start = page[-1][0] + b"\0"


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
