"""Erasure: everything of an entity is removed from every file, and what was asked for is brought to its end.

The order: the quarantine, the log and its archive, the states and published scores, protected attributes, rows kept
beside models, then the decisions' bodies with the note in the ledger's chain. A file says what is under way; it is
removed last, so an erasure that was cut short goes on at the next start.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.app.answers import ErasureAnswer, iso
from streamgauge.app.protecting import erase_protected
from streamgauge.decisions.record import ErasureAudit
from streamgauge.definitions.roles import every_role, keys_within
from streamgauge.errors import SettingsError, UnknownName
from streamgauge.events.roles import entities_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from streamgauge.app.engine import Engine
    from streamgauge.app.settings import Place
    from streamgauge.clock import Clock
    from streamgauge.decisions.ledger import Ledger
    from streamgauge.definitions.schema import StreamSpec
    from streamgauge.features.decode import SchemaBook
    from streamgauge.log.port import Log, Quarantined
    from streamgauge.models.registry import Registry

_PAGE: Final = 1_000
_NEWEST: Final = 2**62


class Task(msgspec.Struct, kw_only=True):
    """An erasure under way, as its file has it until it is done.

    Attributes:
        id: What the ledger's note names it by.
        role: The entity's role.
        entity: Its id.
        by: Who asked.
        at: When, µs.
        up_to: Records up to this position go.
        counts: What went so far.
    """

    id: str
    role: str
    entity: str
    by: str
    at: int
    up_to: int
    counts: dict[str, int] = {}

    @property
    def key(self) -> str:
        """The entity's key."""
        return f"{self.role}:{self.entity}"


class TaskFile:
    """The file that says what is being erased; it is gone when that is done."""

    def __init__(self, path: Path) -> None:
        """Keep the path."""
        self._path = path

    def read(self) -> Task | None:
        """Return the erasure that was cut short, or None; a file that `clear` did no more than overwrite is removed.

        Raises:
            SettingsError: The file cannot be read.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if data and not data.strip(b"\0"):
            self.clear()
            return None
        try:
            return msgspec.json.decode(data, type=Task)
        except msgspec.DecodeError as error:
            raise SettingsError(
                f"{self._path} says that an erasure is under way, and cannot be read ({error}). "
                "Delete the file, and ask for the erasure again."
            ) from error

    def write(self, task: Task) -> None:
        """Note durably how far an erasure is."""
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(task))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        self._sync()

    def clear(self) -> None:
        """Overwrite and remove the file."""
        with self._path.open("r+b") as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            file.flush()
            os.fsync(file.fileno())
        self._path.unlink()
        self._sync()

    def _sync(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Eraser:
    """Erases entities, one at a time."""

    def __init__(
        self,
        place: Place,
        log: Log,
        ledger: Ledger,
        registry: Registry,
        engine: Engine,
        book: SchemaBook,
        clock: Clock,
    ) -> None:
        """Keep where something of an entity may be."""
        self._place = place
        self._log = log
        self._ledger = ledger
        self._registry = registry
        self._engine = engine
        self._book = book
        self._clock = clock
        self._file = TaskFile(place.erasure_mark)
        self._one_at_a_time = threading.Lock()

    def erase(
        self, entity: str, role: str | None, by: str, streams: Mapping[str, StreamSpec], *, step: Callable[[str], None]
    ) -> ErasureAnswer:
        """Erase an entity; events of it that come later are new ones.

        Args:
            entity: Its id.
            role: Its role; None where the log knows the id under one only.
            by: Who asks, for the audit.
            streams: The declared streams.
            step: Told what is being done.

        Raises:
            UnknownName: The role is not declared, or the log knows the id under none or several.
        """
        with self._one_at_a_time:
            role = role or self._role_of(entity, streams)
            declared = {name for spec in streams.values() for name in spec.roles}
            if role not in declared:
                raise UnknownName(f'No stream has the role "{role}". Declared: {", ".join(sorted(declared))}.')
            at = self._clock.now_us()
            token = hashlib.blake2b(os.urandom(16), digest_size=12).hexdigest()
            task = Task(id=token, role=role, entity=entity, by=by, at=at, up_to=self._log.last_position())
            self._file.write(task)
            return self._finish(task, step)

    def resume(self, step: Callable[[str], None]) -> None:
        """Bring an erasure that was cut short to its end."""
        task = self._file.read()
        if task is not None:
            with self._one_at_a_time:
                self._finish(task, step)

    def _finish(self, task: Task, step: Callable[[str], None]) -> ErasureAnswer:
        step("the quarantine")
        self._count(task, "quarantined", self._quarantine(task))
        step("the log")
        self._engine.on_engine(lambda: self._log_and_states(task, step)).result()
        step("protected attributes and rows of models")
        self._count(task, "protected", erase_protected(self._place, task.key))
        self._count(task, "rows", self._registry.erase(task.key))
        step("decisions")
        audit = ErasureAudit(id=task.id, by=task.by, counts=task.counts)
        decisions = self._ledger.erase(task.role, task.entity, erased_at=task.at, audit=audit)
        self._file.clear()
        return ErasureAnswer(by=task.by, at=iso(task.at), decisions=decisions, counts=task.counts)

    def _log_and_states(self, task: Task, step: Callable[[str], None]) -> None:
        """Erase records, states and scores, between two batches of the engine."""
        beside, gone = self._same_events(task)
        self._count(task, "records", self._log.erase(task.key, beside, up_to=task.up_to))
        step("states and scores")
        erased = self._log.erased(task.up_to)
        touched = sorted(beside.keys() - {task.key})
        applier = self._engine.applier
        scores = applier.erase([*gone, *touched], gone, task.up_to, lambda body: _is_of(body, erased))
        self._count(task, "scores", scores)

    def _same_events(self, task: Task) -> tuple[dict[str, list[int]], list[str]]:
        """Return the records of an entity's events under other entities, and the keys that vanish with it.

        A pair that it is one of vanishes with it: its records are given under the entity's own key.
        """
        beside: dict[str, list[int]] = {}
        gone = {task.key}
        for record in self._log.read_entity(task.key, task.up_to):
            keys = list(entities_of(record, self._book.spec(record.schema)).values())
            first = record.position - keys.index(task.key)
            for position, key in enumerate(keys, first):
                if key == task.key:
                    continue
                if task.key in keys_within(key).values():
                    gone.add(key)
                    beside.setdefault(task.key, []).append(position)
                else:
                    beside.setdefault(key, []).append(position)
        return beside, sorted(gone)

    def _quarantine(self, task: Task) -> int:
        """Remove the refused events of an entity, also those whose entity could not be told, and return how many."""
        texts = {task.entity, json.dumps(task.entity)[1:-1]}
        numbers: set[int] = set()
        for text in texts:
            before = _NEWEST
            while page := self._log.quarantined(last=_PAGE, before=before, mentions=text):
                numbers.update(one.number for one in page if self._is_about(one, task))
                before = page[-1].number
        self._log.drop_quarantined(sorted(numbers))
        return len(numbers)

    def _is_about(self, item: Quarantined, task: Task) -> bool:
        """Return whether a refused event is of the entity; where it does not say whose it is, naming it is enough."""
        if item.entity == task.key:
            return True
        spec = next((form for form in reversed(self._log.schemas()) if form.name == item.stream), None)
        try:
            event = json.loads(item.body)
        except (ValueError, RecursionError):
            event = None
        if spec is not None and isinstance(event, dict):
            if task.role not in spec.roles:
                return False
            told = event.get(task.role)
            if isinstance(told, str | int) and told != "":
                return str(told) == task.entity
        return _names(f"{item.entity} {item.body} {item.detail}", task.entity)

    def _role_of(self, entity: str, streams: Mapping[str, StreamSpec]) -> str:
        roles = list(dict.fromkeys(role for spec in streams.values() for role in every_role(spec.roles)))
        single = [role for role in roles if "|" not in role]
        known = [role for role in single if self._log.read_entity(f"{role}:{entity}")] if len(single) > 1 else single
        if len(known) == 1:
            return known[0]
        if not known:
            raise UnknownName(f'The log holds no event of "{entity}". Name its role to erase what else there may be.')
        raise UnknownName(f'"{entity}" is known as {" and as ".join(known)}. Name the role that is meant.')

    def _count(self, task: Task, what: str, number: int) -> None:
        task.counts[what] = task.counts.get(what, 0) + number
        self._file.write(task)


def _names(text: str, entity: str) -> bool:
    """Return whether a text names an entity, as it is or as JSON escapes it, and not only a longer word around it.

    >>> _names('{"acount": "A-1"}', "A-1"), _names('{"acount": "A-12"}', "A-1")
    (True, False)
    """
    for form in {entity, json.dumps(entity)[1:-1]}:
        before = r"(?<!\w)" if re.match(r"\w", form) else ""
        after = r"(?!\w)" if re.search(r"\w\Z", form) else ""
        if re.search(f"{before}{re.escape(form)}{after}", text):
            return True
    return False


def _is_of(body: bytes, erased: NDArray[np.int64]) -> bool:
    """Return whether a published score is of an erased record."""
    position = msgspec.json.decode(body, type=_Position).position
    at = int(erased.searchsorted(position))
    return at < len(erased) and int(erased[at]) == position


class _Position(msgspec.Struct):
    position: int


def erasure_answers(ledger: Ledger) -> Sequence[ErasureAnswer]:
    """Return the ledger's notes of erasures, the newest first."""
    return [
        ErasureAnswer(
            by="" if note.audit is None else note.audit.by,
            at=iso(note.erased_at),
            decisions=len(note.seqs),
            counts={} if note.audit is None else note.audit.counts,
        )
        for note in reversed(ledger.erasures())
    ]
