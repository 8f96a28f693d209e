"""What must be true of a project directory, whatever happened to it: judged from its log by the plain oracle."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from streamgauge.app.live import LiveModel
from streamgauge.app.owner import Owner
from streamgauge.app.reading import Question
from streamgauge.app.service import quiet
from streamgauge.definitions.loader import load_source
from streamgauge.definitions.specs import FeatureSpec
from streamgauge.events.record import DELETE, Record
from tests.faults.lender import PROJECT
from tests.oracles.events import Cut, judge
from tests.oracles.plain import values

_LATER = 3_600_000_000
_COMPARED = 300


@dataclass(frozen=True)
class Told:
    """An entity's records with their verdicts."""

    entity: str
    records: list[Record]
    verdicts: list[str]


class Truth:
    """Compares what an owner serves with what its log says."""

    def __init__(self, owner: Owner, project: str = PROJECT) -> None:
        """Read the whole log, to be judged by the definitions that the served models were made with."""
        self.owner = owner
        self.project = load_source(project, "lender", path="lender.py")
        records = owner.log.read_after(0, 10**9)
        self.schemas = {number: owner.log.schema(number) for number in {record.schema for record in records}}
        by_entity: dict[str, list[Record]] = {}
        for record in records:
            by_entity.setdefault(record.entity, []).append(record)
        self.told = [Told(entity, own, judge(own, self.schemas)[0]) for entity, own in sorted(by_entity.items())]
        self.last = records[-1].position if records else 0

    def check(self, *, feed: bool = True) -> None:
        """Check features, quarantine, feed and ledger."""
        self.check_features()
        self.check_quarantine()
        if feed:
            self.check_feed()
        self.check_ledger()

    def check_features(self) -> None:
        """Every feature of every entity is the oracle's, bit for bit, read from its state."""
        for told in self.told:
            for model in self.owner.live.models.values():
                as_of = _floor(told.records, told.verdicts) + _LATER
                reading = self.owner.reader.read(Question(told.entity, as_of), model.bound)
                expected = self._values(model, told, as_of, self.last, None)
                assert bits(reading.row.tolist()) == bits(expected), (
                    f"{told.entity}, {model.name}: {reading.row.tolist()} is served, {expected} is true"
                )

    def check_quarantine(self) -> None:
        """Every contradiction is in the quarantine, once, by its position."""
        expected = {
            record.position: verdict
            for told in self.told
            for record, verdict in zip(told.records, told.verdicts, strict=True)
            if verdict in {"conflict", "identity_changed"}
        }
        held = [one for one in self.owner.log.quarantined(last=10**6) if one.position is not None]
        assert Counter(one.position for one in held) == Counter(list(expected))
        assert {one.position: one.reason for one in held} == expected

    def check_feed(self) -> None:
        """Every live record that leads to a score has it in the feed; some are compared with the oracle's."""
        published = {(score["position"], score["model"]): score for score in self.published()}
        expected = list(self._scores())
        assert published.keys() == {(told.records[index].position, model.name) for told, index, model in expected}
        for told, index, model in expected[:: max(1, len(expected) // _COMPARED)]:
            score = published[told.records[index].position, model.name]
            if score["version"] == model.version:
                assert score["pd"] == self._pd(told, index, model), score

    def published(self) -> list[dict[str, Any]]:
        """Return the feed from its beginning."""
        scores: list[dict[str, Any]] = []
        number = 0
        while batch := self.owner.scores_after(number, 500):
            number = batch[-1][0]
            scores += [msgspec.json.decode(body) for _, body in batch]
        return scores

    def check_ledger(self) -> None:
        """The chain is whole and every decision replays."""
        report = self.owner.verify(quiet)
        assert (report.chain, report.mismatch, report.differences) == ("intact", 0, [])

    def events(self) -> Counter[tuple[str, str, str, int, bytes]]:
        """Return how often each event, told by entity, stream, id, revision and content, is in the log."""
        return Counter(
            (record.entity, record.stream, record.event_id, record.revision, record.digest)
            for told in self.told
            for record in told.records
        )

    def _scores(self) -> Iterator[tuple[Told, int, LiveModel]]:
        """Yield what leads to a score; everybody is in the grid model's population."""
        for told in self.told:
            for index, (record, verdict) in enumerate(zip(told.records, told.verdicts, strict=True)):
                if verdict != "applied" or record.imported:
                    continue
                for model in self.owner.live.observers(record.stream, "account"):
                    if record.op != DELETE or not model.observes_events:
                        yield told, index, model

    def _pd(self, told: Told, index: int, model: LiveModel) -> float:
        record = told.records[index]
        as_of = max(record.known_at, record.event_time)
        event = (record.stream, record.event_id) if model.observes_events else None
        if event is None:
            as_of = max(as_of, _floor(told.records[: index + 1], told.verdicts))
        found = self._values(model, told, as_of, record.position, event)
        row = np.array([[math.nan if value is None else value for value in found]])
        return float(model.scorer.score_many(model.inputs(row)).pd[0])

    def _values(
        self, model: LiveModel, told: Told, t: int, position: int, event: tuple[str, str] | None
    ) -> list[float | None]:
        streams = self.project.streams
        return values(told.records, self._features(model), streams, self.schemas, t, Cut(position), event)

    def _features(self, model: LiveModel) -> list[FeatureSpec]:
        own = {feature.name: feature for feature in self.project.models[model.name].features}
        return [own[name] for name in model.loaded.program.names]


def bits(row: list[float | None]) -> bytes:
    """Return a row's bytes; null is the one quiet NaN."""
    return b"".join(struct.pack("<d", math.nan if value is None else value) for value in row)


def _floor(records: list[Record], verdicts: list[str]) -> int:
    applied = [record for record, verdict in zip(records, verdicts, strict=False) if verdict == "applied"]
    return max(max(record.known_at, record.event_time) for record in applied)
