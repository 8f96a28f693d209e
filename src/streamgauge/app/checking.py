"""A process of its own, at the lowest priority, that recomputes sampled decisions and scores from log and archive.

It reads one job a line from standard input, answers one line on standard output, and ends with its input.
"""

from __future__ import annotations

import base64
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import numpy as np

from streamgauge.app import wiring
from streamgauge.app.answers import PublishedScore
from streamgauge.app.settings import find_place
from streamgauge.decisions.record import decode
from streamgauge.decisions.replay import Replay
from streamgauge.errors import StreamgaugeError, UnknownName
from streamgauge.events.roles import entities_of
from streamgauge.events.values import parse_time
from streamgauge.features.bind import BoundProgram
from streamgauge.features.decode import SchemaBook
from streamgauge.features.layout import Layouts
from streamgauge.features.program import FeatureProgram
from streamgauge.features.vector import timelines, vector_of_records
from streamgauge.models.serving import serving_of
from streamgauge.scoring.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from streamgauge.log.port import Log
    from streamgauge.models.registry import Registry

_LOW: Final = 10
"""While it starts, so that a busy machine does not keep it from ever being ready."""
_LOWER_STILL: Final = 9
"""From the first answer on: 19, the lowest there is."""


class Job(msgspec.Struct, frozen=True):
    """One decision or score to recompute.

    Attributes:
        kind: Which.
        number: Of the decision in the ledger, or of the score in the outbox.
        body: The record in base64, or the score as it was published.
    """

    kind: Literal["decision", "score"]
    number: int
    body: str


class Result(msgspec.Struct, frozen=True):
    """What recomputing found.

    Attributes:
        difference: What differs, empty where nothing does.
        error: Why it could not be recomputed, empty where it could.
        cpu_s: What it cost.
    """

    difference: str = ""
    error: str = ""
    cpu_s: float = 0.0


class Checker:
    """Recomputes single decisions and published scores."""

    def __init__(self, log: Log, registry: Registry) -> None:
        """Keep where everything is read from."""
        self._log = log
        self._registry = registry
        self._book = SchemaBook(log.schema)
        self._replay = Replay(log, None, registry, self._book)
        self._models: dict[tuple[str, int], tuple[Scorer, BoundProgram, str, bool]] = {}
        self._inputs: dict[tuple[str, int], NDArray[np.intp]] = {}

    def run(self, job: Job) -> Result:
        """Recompute one; an error is part of the answer."""
        before = time.process_time()
        difference = error = ""
        try:
            difference = self.decision(job) if job.kind == "decision" else self.score(job)
        except (StreamgaugeError, OSError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        return Result(difference, error, time.process_time() - before)

    def decision(self, job: Job) -> str:
        """Return what differs of a decision, from its record and from the log; empty where nothing does."""
        found = self._replay.recompute(decode(base64.b64decode(job.body), job.number))
        return "" if found is None else f"{', '.join(found.changed)}: {found.detail}"

    def score(self, job: Job) -> str:
        """Return what differs of a published score; empty where nothing does."""
        published = msgspec.json.decode(job.body, type=PublishedScore)
        scorer, bound, role, observes_events = self._model(published.model, published.version)
        record = self._log.get(published.position)
        if record is None:
            return f"data: The log has no record at position {published.position}."
        keys = entities_of(record, self._book.spec(record.schema))
        # Other entities were read as they stood before this event's own records of theirs.
        cuts = {name: published.position - (name != role) for name in keys}
        observed = (published.stream, published.event_id) if observes_events else None
        read = timelines(lambda key: self._log.read_entity(key, published.position), self._book)
        row = vector_of_records(bound, read, keys, parse_time(published.as_of), cuts, observed)
        scores = scorer.score_many(np.ascontiguousarray(row[self._inputs[published.model, published.version]][None]))
        pd, points = float(scores.pd[0]), float(scores.points[0])
        if (pd, points) == (published.pd, published.points):
            return ""
        return f"PD {pd!r} and {points!r} points; {published.pd!r} and {published.points!r} were published."

    def _model(self, name: str, version: int) -> tuple[Scorer, BoundProgram, str, bool]:
        found = self._models.get((name, version))
        if found is None:
            registered = next((one for one in self._registry.versions(name) if one.version == version), None)
            if registered is None:
                raise UnknownName(f"Version {version} of {name} is not there any more.")
            artefact = self._registry.load(registered)
            program = FeatureProgram.from_canonical(artefact.program)
            serving = serving_of(artefact)
            places = {column: place for place, column in enumerate(program.names)}
            self._inputs[name, version] = np.array([places[feature] for feature in artefact.features], np.intp)
            bound = BoundProgram.of(program, Layouts.of([program]))
            found = self._models[name, version] = (Scorer(artefact), bound, serving.role, serving.observe == "stream")
        return found


def main(root: str, lines: Iterable[str]) -> None:
    """Answer jobs until there are no more."""
    os.nice(_LOW)
    place = find_place(Path(root))
    log = wiring.open_log(place)
    checker = Checker(log, wiring.open_registry(place))
    for number, line in enumerate(lines):
        result = checker.run(msgspec.json.decode(line, type=Job))
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
        sys.stdout.flush()
        if not number:
            os.nice(_LOWER_STILL)
    log.close()


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.stdin)
    except BrokenPipeError:  # who asked was killed
        os._exit(0)
