"""States of entities in LMDB: one value each, read by memory map."""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import lmdb

from streamgauge.adapters.lmdb import rewriting
from streamgauge.adapters.lmdb.boot import boot_name
from streamgauge.adapters.lmdb.values import (
    big,
    bodies_of,
    checked,
    key_of,
    packed,
    read_number,
    state_of,
    value_of,
)
from streamgauge.errors import SettingsError, StateDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from streamgauge.features.packed_states import StatePage

FORMAT: Final = b"3"
"""Changes when the keys or values of the file do."""

_Result = TypeVar("_Result")
_PROVEN: Final = "proven"
_STREAK: Final = 5
"""After how many owners in a row that did not close a store it is walked through all the same."""
_FIRST_MAP: Final = 1 << 28
_OPEN: Final = "open"
_TOGETHER: Final = 128
"""How many entries of the outbox share a value."""

_BROKEN: Final = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)


class LmdbStateStore:
    """A `streamgauge.features.store.StateStore` in a folder of its own.

    Commits are not synced: what a process wrote is in the system's memory when the process dies. A machine that goes
    down may lose pages, so the file of another boot that was not closed is dropped, and the store starts empty and
    `stale`; so it does where the file is damaged, which is then put aside (``broken-1``, …). LMDB trusts its pages, and
    may take the process with it where one is damaged; so a file whose last owner died before it had written a state,
    or that several in a row did not close, is walked through before LMDB sees it. Every value has a checksum over its
    key and itself. Read transactions last for one lookup or one page of keys. The map grows by itself; readers in
    other processes follow.
    """

    def __init__(
        self, folder: Path, layout_digest: str, *, readonly: bool = False, keep: int = 100_000, boot: str | None = None
    ) -> None:
        """Open or create the store.

        Args:
            folder: Where the files are.
            layout_digest: The layout of the states to be written (`streamgauge.features.layout.Layout.digest`).
            readonly: For processes that only read; they neither create, check nor drop anything.
            keep: How many entries the outbox holds at least before the oldest are dropped.
            boot: What names this run of the machine; None asks the system.

        Raises:
            SettingsError: Read-only, and there is no store.
            StateDamaged: Read-only, and the file is damaged.
        """
        self._folder = Path(folder)
        self._readonly = readonly
        self._keep = keep
        self._writing = threading.RLock()
        self._mapping = threading.RLock()
        self.layout_digest = layout_digest
        self.stale = ""
        self.unclean = False
        self._closed = False
        self._broken = False
        self._boot = boot_name() if boot is None else boot
        self._proven = False
        self._streak = 0
        if readonly and not (self._folder / "data.mdb").exists():
            raise SettingsError(f"There is no state store in {self._folder}. Start its owner first: `streamgauge run`.")
        if not readonly:
            rewriting.finish(self._folder)
            self._suspect()
        try:
            self._open()
        except _BROKEN as error:
            if readonly:
                raise StateDamaged(
                    f"The state store in {self._folder} is damaged ({error}): its owner rebuilds it."
                ) from error
            self._put_aside(str(error))
            self._open()

    def get(self, entity: str) -> bytes | None:
        """Return one entity's state, or None."""
        return self.get_many([entity])[0]

    def get_many(self, entities: Sequence[str]) -> list[bytes | None]:
        """Return several states, as of one moment, in the order asked for."""
        keys = [key_of(entity) for entity in entities]

        def read(txn: lmdb.Transaction) -> list[bytes | None]:
            found = [txn.get(key, db=self._states) for key in keys]
            pairs = zip(keys, found, strict=True)
            return [None if value is None else state_of(key, bytes(value)) for key, value in pairs]

        return self._read(read)

    def watermark(self) -> int:
        """Return the position up to which all records are in the states, 0 in the beginning."""
        return self._number(b"watermark")

    def applied(self) -> int:
        """Return the position up to which all records were applied and published."""

        def read(txn: lmdb.Transaction) -> int:
            return max(read_number(txn, self._meta, key) for key in (b"applied", b"watermark"))

        return self._read(read)

    def outbox_after(self, number: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to ``limit`` entries with greater numbers, in order."""

        def read(txn: lmdb.Transaction) -> list[tuple[int, bytes]]:
            found: list[tuple[int, bytes]] = []
            cursor = txn.cursor(db=self._outbox)
            if limit > 0 and cursor.set_range(big(number + 1)):
                for key, value in cursor.iternext():
                    last = int.from_bytes(key, "big")
                    bodies = bodies_of(bytes(key), bytes(value))
                    first = last - len(bodies) + 1
                    skipped = max(0, number + 1 - first)
                    found += [one for one in enumerate(bodies[skipped:], first + skipped) if one[1]]
                    if len(found) >= limit:
                        break
            return found[:limit]

        return self._read(read)

    def entities(self) -> Iterator[str]:
        """Yield the keys of all entities; each page of them is a transaction of its own."""
        from streamgauge.adapters.lmdb import pages

        return pages.entities(self._read, self._states)

    def states(self, prefix: str) -> Iterator[StatePage]:
        """Yield the states of all entities whose keys begin so; each page of them is a transaction of its own."""
        from streamgauge.adapters.lmdb import pages

        return pages.states(self._read, self._states, prefix)

    def count(self) -> int:
        """Return how many entities have a state."""
        return self._read(lambda txn: int(txn.stat(self._states)["entries"]))

    def outbox_newest(self) -> int:
        """Return the number of the newest entry of the outbox, 0 while there never was one."""
        return self._number(b"outbox")

    def put_batch(
        self,
        states: Mapping[str, bytes],
        outbox: Sequence[bytes] = (),
        watermark: int | None = None,
        applied: int | None = None,
    ) -> int:
        """Write states, append to the outbox and move both positions, all or nothing."""
        items = sorted((key_of(entity), entity, state) for entity, state in states.items())
        values = [(key, value_of(key, entity, state)) for key, entity, state in items]
        moved = {b"watermark": watermark, b"applied": applied}

        def write(txn: lmdb.Transaction) -> int:
            for key, value in values:
                txn.put(key, value, db=self._states)
            number = read_number(txn, self._meta, b"outbox")
            if outbox:
                number = self._publish(txn, number, outbox)
            for name, position in moved.items():
                if position is not None:
                    txn.put(name, checked(name, big(position)), db=self._meta)
            return number

        number = self._write(write)
        if states and not self._proven:
            self._proven = True
            self._mark()
        return number

    def delete(self, entities: Sequence[str]) -> None:
        """Drop the states of some entities."""
        keys = [key_of(entity) for entity in entities]

        def write(txn: lmdb.Transaction) -> None:
            for key in keys:
                txn.delete(key, db=self._states)

        self._write(write)

    def erase(self, entities: Collection[str], drops: Callable[[bytes], bool]) -> int:
        """Remove states and entries of the outbox from the disk for ever; return how many entries went."""
        cleaning = rewriting.Cleaning({key_of(entity) for entity in entities}, drops)
        with self._writing:
            rewriting.rewrite(self._env, self._folder, cleaning)
            with self._mapping:
                self._env.close()
                rewriting.swap(self._folder)
                self._open()
        return cleaning.dropped

    def clear(self) -> None:
        """Drop every state and set both positions to 0; numbers of the outbox go on."""

        def write(txn: lmdb.Transaction) -> None:
            txn.drop(self._states, delete=False)
            for name in (b"watermark", b"applied"):
                txn.put(name, checked(name, big(0)), db=self._meta)

        self._write(write)

    def forget_readers(self) -> None:
        """Let go of what processes that died in the middle of a read were reading."""
        with self._mapping:
            if not self._closed:
                self._env.reader_check()

    def close(self) -> None:
        """Note that all is well, and release the files."""
        if self._closed:
            return
        self._closed = True
        with self._writing, self._mapping:
            if not (self._readonly or self._broken):
                self._env.sync(force=True)
            self._env.close()
        if not (self._readonly or self._broken):
            (self._folder / _OPEN).unlink(missing_ok=True)

    def renew(self, why: str) -> None:
        """Put the file aside and go on empty, and stale."""
        with self._writing, self._mapping:
            self._env.close()
            self._put_aside(why)
            self._open()

    def _suspect(self) -> None:
        """Judge a file that was not closed: drop it, trust it, or walk through it and put it aside if it is damaged."""
        left = self._folder / _OPEN
        if not left.exists() or not (self._folder / "data.mdb").exists():
            return
        boot, _, rest = left.read_text("utf-8", "replace").partition(" ")
        proven, _, streak = rest.partition(" ")
        if boot != self._boot:
            (self._folder / "data.mdb").unlink()
            self.stale = "The machine went down before all states were on its disk."
            return
        self._streak = 1 + int(streak) if streak.isdecimal() else 1
        self.unclean = proven != _PROVEN or self._streak >= _STREAK
        if not self.unclean:
            return
        self._streak = 0
        from lmdb.verify import VerifyError, verify

        try:
            found: list[str] = verify(str(self._folder))  # type: ignore[no-untyped-call]
        except (VerifyError, OSError) as error:
            found = [str(error)]
        if found:
            self._put_aside(str(found[0]))

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        size = (self._folder / "data.mdb").stat().st_size if (self._folder / "data.mdb").exists() else 0
        self._env = lmdb.open(
            str(self._folder),
            map_size=max(_FIRST_MAP, 2 * size),
            max_dbs=3,
            max_readers=512,
            readonly=self._readonly,
            readahead=False,
            lock=True,
            sync=False,
        )
        self._inode = (self._folder / "data.mdb").stat().st_ino
        try:
            self._check_length()
            create = not self._readonly
            self._states = self._env.open_db(b"states", create=create)
            self._outbox = self._env.open_db(b"outbox", create=create)
            self._meta = self._env.open_db(b"meta", create=create)
            if self._readonly:
                self._check_readonly()
            else:
                self._env.reader_check()
                self._adopt()
        except BaseException:
            self._env.close()
            raise

    def _check_length(self) -> None:
        """Refuse a file that was cut short: reading past its end through the map would kill the process."""
        pages = self._env.info()["last_pgno"] + 1
        size = (self._folder / "data.mdb").stat().st_size
        if size < pages * self._env.stat()["psize"]:
            raise lmdb.CorruptedError(f"{size} bytes are left of {pages} pages")

    def _check_readonly(self) -> None:
        with self._env.begin() as txn:
            layout = bytes(txn.get(b"layout", db=self._meta, default=b""))
        if layout != self.layout_digest.encode():
            self.stale = f"The states were written under layout {layout.decode()[:12]}, not {self.layout_digest[:12]}."

    def _adopt(self) -> None:
        """Take over what the last owner left, or drop it where it does not fit."""
        with self._env.begin() as txn:
            found = bytes(txn.get(b"format", db=self._meta, default=b""))
            layout = bytes(txn.get(b"layout", db=self._meta, default=b""))
        if found and found != FORMAT:
            self._write(self._drop_all)
            self.stale = f"The state store has format {found.decode()}, this version writes {FORMAT.decode()}."
        elif layout and layout != self.layout_digest.encode():
            self.stale = f"The states were written under layout {layout.decode()[:12]}, not {self.layout_digest[:12]}."
        self._mark()
        if self.stale:
            self.clear()

        def write(txn: lmdb.Transaction) -> None:
            txn.put(b"format", FORMAT, db=self._meta)
            txn.put(b"layout", self.layout_digest.encode(), db=self._meta)

        self._write(write)

    def _mark(self) -> None:
        """Note that the store is open, in which run of the machine, and whether it was written to and held."""
        proven = _PROVEN if self._proven else "opened"
        (self._folder / _OPEN).write_text(f"{self._boot} {proven} {self._streak}", "utf-8")

    def _publish(self, txn: lmdb.Transaction, number: int, outbox: Sequence[bytes]) -> int:
        """Append to the outbox after its newest number, some entries a value, and return the newest number."""
        for start in range(0, len(outbox), _TOGETHER):
            together = outbox[start : start + _TOGETHER]
            number += len(together)
            key = big(number)
            txn.put(key, checked(key, packed(together)), db=self._outbox, append=True)
        txn.put(b"outbox", checked(b"outbox", big(number)), db=self._meta)
        self._drop_oldest(txn, number - self._keep, 2 * len(outbox))
        return number

    def _drop_all(self, txn: lmdb.Transaction) -> None:
        for db in (self._states, self._outbox, self._meta):
            txn.drop(db, delete=False)

    def _put_aside(self, why: str) -> None:
        number = 1
        while (aside := self._folder / f"broken-{number}").exists():
            number += 1
        aside.mkdir()
        for name in ("data.mdb", "lock.mdb"):
            if (self._folder / name).exists():
                shutil.move(self._folder / name, aside / name)
        self.unclean = False
        self.stale = f"The state store was damaged ({why}); the file was put aside in {aside.name}."

    def _drop_oldest(self, txn: lmdb.Transaction, through: int, at_most: int) -> None:
        cursor = txn.cursor(db=self._outbox)
        while at_most > 0 and cursor.first() and int.from_bytes(cursor.key(), "big") <= through:
            cursor.delete()
            at_most -= 1

    def _number(self, key: bytes) -> int:
        return self._read(lambda txn: read_number(txn, self._meta, key))

    def _read(self, read: Callable[[lmdb.Transaction], _Result]) -> _Result:
        """Run a short read transaction, following a map that another process has grown.

        Resizing invalidates this process's transactions, so it and the reads take turns.
        """
        with self._mapping:
            if self._closed:
                raise StateDamaged(f"The state store in {self._folder} was closed: another is in its place.")
            if self._readonly:
                self._follow()
            try:
                with self._env.begin() as txn:
                    return read(txn)
            except lmdb.MapResizedError:
                self._env.set_mapsize(0)
            except _BROKEN as error:
                raise self._damaged(error) from error
            with self._env.begin() as txn:
                return read(txn)

    def _follow(self) -> None:
        """Open the file that another process has written anew in the place of the one that is open."""
        with suppress(FileNotFoundError):  # it is being put in its place
            if (self._folder / "data.mdb").stat().st_ino != self._inode:
                self._env.close()
                self._open()

    def _write(self, write: Callable[[lmdb.Transaction], _Result]) -> _Result:
        """Run a write transaction, again in a larger map where it did not fit."""
        with self._writing:
            while True:
                try:
                    with self._env.begin(write=True) as txn:
                        return write(txn)
                except lmdb.MapFullError:
                    with self._mapping:
                        self._env.set_mapsize(2 * self._env.info()["map_size"])
                except lmdb.MapResizedError:
                    with self._mapping:
                        self._env.set_mapsize(0)
                except _BROKEN as error:
                    raise self._damaged(error) from error
                except lmdb.ReadonlyError:
                    raise
                except lmdb.Error as error:
                    raise OSError(f"The state store in {self._folder} cannot be written: {error}") from error

    def _damaged(self, error: Exception) -> StateDamaged:
        """Return the error of a page that LMDB refuses; whoever opens the store next walks through it first."""
        self._broken = True
        return StateDamaged(
            f"The state store in {self._folder} is damaged ({error}). Start again: it is rebuilt from the log."
        )
