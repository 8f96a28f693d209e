"""What became of a batch of records: verdicts, and the scores they led to, as columns."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamgauge.app.answers import PublishedScore, iso

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from streamgauge.app.live import LiveModel
    from streamgauge.events.record import Record
    from streamgauge.features.identity import Verdict

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ENCODER: Final = msgspec.json.Encoder()


@dataclass(slots=True)
class Observed:
    """One score that an event led to.

    Attributes:
        model: The model.
        as_of: The moment t of the features, µs.
        features: float64[columns], the columns of the model's program.
        rules: float64[columns], the columns of its policy's rules, or None.
        positions: By role, the primary one first, the position that cuts what was known of its entity.
        margin: The raw margin.
        pd: The probability of default.
        points: The score in points.
    """

    model: LiveModel
    as_of: int
    features: Floats
    rules: Floats | None
    positions: dict[str, int]
    margin: float = 0.0
    pd: float = 0.0
    points: float = 0.0


@dataclass(slots=True)
class Applied:
    """What became of one record.

    Attributes:
        record: The record.
        verdict: Whether it was applied, was known, or contradicts what is known.
        scored: The scores it led to.
    """

    record: Record
    verdict: Verdict
    scored: list[Observed] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scored:
    """One model's scores of a batch.

    Attributes:
        model: The model.
        rows: int64[m], the records' numbers in the batch, ascending.
        as_of: int64[m], µs.
        features: float64[m, columns] of the model's program.
        rules: float64[m, columns] of its policy's rules, or None.
        positions: The positions of each row's roles, where there are several; by the record's number.
        margin: float64[m].
        pd: float64[m].
        points: float64[m].
    """

    model: LiveModel
    rows: Ints
    as_of: Ints
    features: Floats
    rules: Floats | None
    positions: Mapping[int, dict[str, int]]
    margin: Floats
    pd: Floats
    points: Floats

    def of(self, row: int, record: Record) -> Observed | None:
        """Return the score of a record, or None."""
        at = int(self.rows.searchsorted(row))
        if at == len(self.rows) or self.rows[at] != row:
            return None
        return Observed(
            self.model,
            int(self.as_of[at]),
            self.features[at],
            None if self.rules is None else self.rules[at],
            self.positions.get(row) or {record.entity.partition(":")[0]: record.position},
            float(self.margin[at]),
            float(self.pd[at]),
            float(self.points[at]),
        )


class Outcome(Sequence[Applied]):
    """What became of each record of a batch, in order; each is looked up when it is asked for.

    Attributes:
        records: The records.
        verdicts: The verdicts other than ``applied``, by the record's number.
        scored: The scores, model by model.
    """

    def __init__(
        self, records: Sequence[Record], verdicts: Mapping[int, Verdict] | None = None, scored: Sequence[Scored] = ()
    ) -> None:
        """Keep the columns."""
        self.records = records
        self.verdicts: Mapping[int, Verdict] = {} if verdicts is None else verdicts
        self.scored = scored

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Applied: ...
    @overload
    def __getitem__(self, index: slice) -> list[Applied]: ...
    def __getitem__(self, index: int | slice) -> Applied | list[Applied]:
        """Return what became of one record, or of several."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        record = self.records[number]
        found = (one.of(number, record) for one in self.scored)
        return Applied(record, self.verdicts.get(number, "applied"), [one for one in found if one is not None])

    def judged(self) -> list[tuple[Record, Verdict]]:
        """Return the records that were not applied, with their verdicts."""
        return [(self.records[number], verdict) for number, verdict in sorted(self.verdicts.items())]

    def accepted_at(self) -> Ints:
        """Return when the events that led to a score were accepted, int64[m], µs."""
        if not self.scored:
            return np.empty(0, np.int64)
        rows = np.unique(np.concatenate([one.rows for one in self.scored]))
        return np.array([self.records[row].accepted_at for row in rows.tolist()], np.int64)

    def bodies(self) -> list[bytes]:
        """Return the scores as they are published, in order; equal for equal records and models."""
        shown = cache(iso)
        single = [_published(one, self.records, shown) for one in self.scored]
        if len(single) <= 1:
            return [body for some in single for body in some]
        order = np.argsort(np.concatenate([one.rows for one in self.scored]), kind="stable")
        every = [body for some in single for body in some]
        return [every[number] for number in order.tolist()]


class Part(Sequence[Applied]):
    """What became of the records of one submission among those of a batch."""

    def __init__(self, outcome: Outcome, numbers: Sequence[int]) -> None:
        """Keep the records' numbers in the batch."""
        self._outcome = outcome
        self._numbers = numbers

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Applied: ...
    @overload
    def __getitem__(self, index: slice) -> list[Applied]: ...
    def __getitem__(self, index: int | slice) -> Applied | list[Applied]:
        """Return what became of one record, or of several."""
        if isinstance(index, slice):
            return [self._outcome[number] for number in self._numbers[index]]
        return self._outcome[self._numbers[index]]

    def verdicts(self) -> Counter[Verdict]:
        """Return how many records have each verdict other than ``applied``."""
        every = self._outcome.verdicts
        if not every:
            return Counter()
        return Counter(every[number] for number in self._numbers if number in every)


def _published(scored: Scored, records: Sequence[Record], text: Callable[[int], str]) -> list[bytes]:
    model = scored.model
    salt = f"{model.loaded.artefact.program_sha256}\0{model.loaded.registered.sha256}"
    encode, digest = _ENCODER.encode, hashlib.blake2b
    columns = zip(scored.rows.tolist(), scored.as_of.tolist(), scored.pd.tolist(), scored.points.tolist(), strict=True)
    bodies = []
    for row, as_of, pd, points in columns:
        record = records[row]
        key = f"{record.entity}\0{record.position}\0{salt}"
        bodies.append(
            encode(
                PublishedScore(
                    id=digest(key.encode(), digest_size=12).hexdigest(),
                    entity=record.entity.partition(":")[2],
                    model=model.name,
                    version=model.version,
                    event_id=record.event_id,
                    stream=record.stream,
                    position=record.position,
                    as_of=text(as_of),
                    accepted_at=text(record.accepted_at),
                    pd=pd,
                    points=points,
                )
            )
        )
    return bodies
