"""What the events of a batch ask for: programs, evaluated right after the event was applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from streamgauge.features import evaluating as ev
from streamgauge.features.compute import finish_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.features.bind import BoundProgram

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# A row of what is asked for: the record's row, the program and the number of its row of aggregates, where the tables of
# the part begin, the entity's first block, and what is observed.
_ROW, _PROGRAM, _NUMBER, _START, _BASE, _HOW = range(6)
_WIDTH: Final = 6


@dataclass(frozen=True, slots=True)
class Trigger:
    """A program that an event makes evaluate.

    Attributes:
        program: Its number among the programs.
        observed: Whether the event itself is observed, else its entity is.
    """

    program: int
    observed: bool


class Programs:
    """The programs that batches evaluate.

    Attributes:
        bound: The programs.
        parts: int64[p], all their parts' tables.
        starts: Of each program, its parts as (role, where its tables begin).
    """

    def __init__(self, bound: Sequence[BoundProgram]) -> None:
        """Join the programs' tables."""
        self.bound = tuple(bound)
        self.starts: list[list[tuple[str, int]]] = []
        tables: list[Ints] = [np.zeros(1, np.int64)]
        at = 1
        for program in bound:
            self.starts.append([])
            for part in program.parts:
                self.starts[-1].append((part.role, at))
                tables.append(part.packed)
                at += len(part.packed)
            if not program.parts:
                self.starts[-1].append(("", 0))
        self.parts = np.concatenate(tables)

    def scratch_size(self, events: int) -> int:
        """Return the scratch length that serves every program."""
        return max((program.scratch_size(events) for program in self.bound), default=1)


@dataclass(slots=True)
class Evaluated:
    """One program's features of a batch.

    Attributes:
        rows: int64[m], the records' numbers in the batch, ascending.
        as_of: int64[m], the moments, µs.
        features: float64[m, features].
    """

    rows: Ints
    as_of: Ints
    features: Floats


class Asked:
    """The evaluations that the records of a batch ask for, and their answers.

    Attributes:
        positions: The position of each role's state that a record's programs read, where they read several.
    """

    def __init__(self, programs: Programs) -> None:
        """Begin with none."""
        self.positions: dict[int, dict[str, int]] = {}
        self._programs = programs
        self._asking: list[list[Ints]] = [[] for _ in programs.bound]
        self._sizes = [0 for _ in programs.bound]
        self._newest = [-1 for _ in programs.bound]
        self._parts: list[Ints] = []
        self._table = np.empty((0, _WIDTH), np.int64)

    def add(self, row: int, program: int, start: int, base: int, how: int) -> None:
        """Ask for a part of a program, whose tables begin at ``start``, over the blocks from ``base`` on."""
        if self._newest[program] != row:
            self._newest[program] = row
            self._asking[program].append(np.array([row], np.int64))
            self._sizes[program] += 1
        self._parts.append(np.array([[row, program, self._sizes[program] - 1, start, base, how]], np.int64))

    def add_all(self, rows: Ints, asks: Sequence[Trigger], bases: Ints) -> None:
        """Ask for programs of one role after each of some rows, over the blocks from each row's base on."""
        n = len(rows)
        together = np.empty((n, len(asks), _WIDTH), np.int64)
        for at, trigger in enumerate(asks):
            program = trigger.program
            [(_, start)] = self._programs.starts[program]
            together[:, at, _ROW] = rows
            together[:, at, _PROGRAM] = program
            together[:, at, _NUMBER] = np.arange(self._sizes[program], self._sizes[program] + n)
            together[:, at, _START] = start
            together[:, at, _BASE] = bases
            together[:, at, _HOW] = int(trigger.observed)
            self._asking[program].append(rows)
            self._sizes[program] += n
        self._parts.append(together.reshape(n * len(asks), _WIDTH))

    def ranges(self, rows: int) -> Ints:
        """Return the first evaluation of each row, and how many it has: int64[rows, 2]; after `tables`."""
        counts = np.bincount(self._table[:, _ROW], minlength=rows)
        return np.stack((np.cumsum(counts) - counts, counts), axis=1)

    def tables(self) -> tuple[Ints, list[Floats], Floats]:
        """Return the evaluations, int64[e, EVALUATION_WIDTH], each program's aggregates, and the array they lie in."""
        parts = np.concatenate([self._table, *self._parts])
        parts = parts[np.argsort(parts[:, _ROW], kind="stable")]
        widths = np.array([bound.aggregates for bound in self._programs.bound], np.int64)
        sizes = np.array(self._sizes, np.int64) * widths
        starts = np.cumsum(sizes) - sizes
        flat = np.full(int(sizes.sum()), np.nan)
        each = [
            flat[start : start + rows * width].reshape(rows, width)
            for start, width, rows in zip(starts.tolist(), widths.tolist(), self._sizes, strict=True)
        ]
        table = np.zeros((len(parts), ev.EVALUATION_WIDTH), np.int64)
        if len(parts):
            programs = parts[:, _PROGRAM]
            table[:, ev.E_PART] = parts[:, _START]
            table[:, ev.E_BLOCKS] = parts[:, _BASE]
            table[:, ev.E_OUT] = starts[programs] + parts[:, _NUMBER] * widths[programs]
            table[:, ev.E_OBSERVED] = parts[:, _HOW]
        self._table = parts
        return table, each, flat

    def answers(
        self, table: Ints, aggregates: Sequence[Floats], found: Ints, numbers: Sequence[int]
    ) -> list[Evaluated]:
        """Return the features of the rows that were applied, program by program."""
        number_of = np.array(numbers, np.int64)
        answers = []
        for program, bound in enumerate(self._programs.bound):
            rows = np.concatenate([np.empty(0, np.int64), *self._asking[program]])
            as_of = np.empty(len(rows), np.int64)
            mine = self._table[:, _PROGRAM] == program
            as_of[self._table[mine, _NUMBER]] = table[mine, ev.E_AS_OF]
            order = np.argsort(rows, kind="stable")
            kept = order[found[rows[order], ev.F_AT] >= 0]
            features = np.empty((len(kept), bound.features), np.float64)
            finish_rows(bound, np.ascontiguousarray(aggregates[program][kept]), features)
            answers.append(Evaluated(number_of[rows[kept]], as_of[kept], features))
        return answers
