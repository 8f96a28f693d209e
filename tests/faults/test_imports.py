"""History that comes in several files, in any order, before and after live events, and for streams added later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest

import streamgauge
from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place, find_place
from streamgauge.clock import FixedClock
from streamgauge.models.dataset import Dataset, build_datasets
from tests.faults.lender import PROJECT, make_project
from tests.faults.truth import Truth, bits
from tests.oracles.events import Cut
from tests.oracles.plain import values

NOW = datetime(2026, 3, 2, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
ACCOUNTS = [f"A-{number:02d}" for number in range(12)]

History = dict[str, list[dict[str, Any]]]


def history(seed: int) -> History:
    """Rows of three streams, each known at a moment of its own: late ones, corrections, deletes and repeats."""
    draw = Random(seed)  # noqa: S311 - a test's draw
    moments = iter(draw.sample(range(1, 864_000), 4_000))  # what comes after the event, in seconds: below ten days
    rows: History = {"Movement": [], "Application": [], "Arrears": []}

    def add(stream: str, happened: datetime, **fields: Any) -> None:
        known = min(happened + timedelta(seconds=next(moments)), NOW - timedelta(seconds=next(moments) % 3_600 + 1))
        rows[stream].append({"revision": 0, "op": "insert", **fields, "known_at": max(happened, known)})

    for number in range(400):
        at = NOW - timedelta(seconds=draw.randrange(7_200, 90 * 86_400))
        own = {"id": f"m-{number}", "account": draw.choice(ACCOUNTS), "booked_at": at, "balance": None, "payer": None}
        first = {**own, "amount": f"{draw.randint(-900, 900)}.{draw.randrange(100):02d}", "kind": "card"}
        add("Movement", at, **first)
        if draw.random() < 0.2:
            rows["Movement"].append(rows["Movement"][-1])
        for revision in range(1, draw.choice([1, 1, 2, 3])):
            changed = {**own, "amount": f"{revision}.50", "kind": "salary", "payer": "acme", "revision": revision}
            add("Movement", at, **changed, op=draw.choice(["replace", "replace", "delete"]))
    for number in range(60):
        at = NOW - timedelta(seconds=draw.randrange(7_200, 90 * 86_400))
        account = draw.choice(ACCOUNTS)
        add("Application", at, id=f"a-{number}", account=account, asked_at=at, amount="500.00")
        if draw.random() < 0.5:
            due = min(at + timedelta(days=5), NOW - timedelta(seconds=7_200))
            add("Arrears", due, id=f"r-{number}", account=account, at=due, application=f"a-{number}", days=40)
    return rows


def live(seed: int) -> list[dict[str, Any]]:
    """Events of today, and corrections of what the history holds."""
    draw = Random(seed)  # noqa: S311 - a test's draw
    events: list[dict[str, Any]] = []
    for number in range(40):
        at = (NOW - timedelta(seconds=draw.randrange(0, 3_600))).isoformat()
        own = {"stream": "Movement", "account": draw.choice(ACCOUNTS), "amount": "20.00", "kind": "salary"}
        events.append({**own, "id": f"live-{number}", "booked_at": at, "payer": "zeta"})
    for row in history(seed)["Movement"][:200]:
        if row["revision"] == 0 and NOW - row["booked_at"] < timedelta(days=9) and draw.random() < 0.5:
            own = {name: row[name] for name in ("id", "account", "kind")}
            at = row["booked_at"].isoformat()
            events.append(
                {**own, "stream": "Movement", "booked_at": at, "amount": "1.00", "revision": 9, "op": "replace"}
            )
    return events


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None)


def steps(rows: History, seed: int) -> Iterator[tuple[str, pl.DataFrame | None]]:
    """Yield files of random rows of each stream in a random order, and the live events (no frame) among them."""
    draw = Random(seed)  # noqa: S311 - a test's draw
    files: list[tuple[str, pl.DataFrame | None]] = [("live", None)]
    for stream, own in rows.items():
        mixed = draw.sample(own, len(own))
        edges = sorted(draw.sample(range(1, len(own)), 2))
        parts = np.split(np.arange(len(own)), edges)
        files += [(stream, frame([mixed[i] for i in part.tolist()])) for part in parts]
    yield from draw.sample(files, len(files))


def served(owner: Owner) -> dict[tuple[str, str], str]:
    """Return every account's features of every model as of now."""
    return {
        (account, model): repr(owner.features(account, model=model, as_of=NOW_US).features)
        for account in ACCOUNTS
        for model in owner.live.models
    }


def rows_of(dataset: Dataset) -> dict[tuple[Any, ...], bytes]:
    """Return a dataset's features by whom, when and of which event."""
    events = dataset.event_id or [""] * len(dataset)
    keys = zip(dataset.entity.tolist(), dataset.t.tolist(), events, dataset.labels.code.tolist(), strict=True)
    return {key: row.tobytes() for key, row in zip(keys, dataset.X, strict=True)}


def built(owner: Owner) -> list[dict[tuple[Any, ...], bytes]]:
    return [rows_of(one) for one in build_datasets(owner.project, list(owner.project.models.values()), owner.log)]


def true(owner: Owner) -> None:
    """The grid's dataset is the oracle's, bit for bit."""
    project, log = owner.project, owner.log
    model = project.models["account-risk"]
    (dataset,) = build_datasets(project, [model], log)
    schemas = dict(enumerate(log.schemas(), 1))
    records: Mapping[str, Any] = dict(log.read_by_entity())
    assert len(dataset) > 50
    for number in range(len(dataset)):
        own, t = records[dataset.entities[dataset.entity[number]]], int(dataset.t[number])
        expected = values(own, model.features, project.streams, schemas, t, Cut(2**63 - 1, t), None)
        assert bits(dataset.X[number].tolist()) == bits(expected)


def clean(root: Path, seed: int) -> tuple[Any, Any]:
    """Return what one clean import of each stream gives, with the live events behind it."""
    with Owner.open(make_project(root), clock=FixedClock(NOW_US)) as owner:
        for stream, rows in history(seed).items():
            ordered = sorted(rows, key=lambda row: row["known_at"])
            assert owner.import_frame(frame(ordered), stream, known_at="known_at").quarantined == 0
        assert owner.ingest(live(seed), applied=True).quarantined == 0
        Truth(owner).check_features()
        true(owner)
        return served(owner), built(owner)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_files_and_of_live_events_changes_no_value(tmp_path: Path, seed: int) -> None:
    reference = clean(tmp_path / "clean", seed)
    for order in range(3):
        place = make_project(tmp_path / f"order-{order}", engine="[log]\ntail = 100\nseal = 150\n")
        with Owner.open(place, clock=FixedClock(NOW_US)) as owner:
            for stream, rows in steps(history(seed), 10 * seed + order):
                if rows is None:
                    assert owner.ingest(live(seed), applied=True).quarantined == 0
                else:
                    assert owner.import_frame(rows, stream, known_at="known_at").quarantined == 0
            assert served(owner) == reference[0]
            Truth(owner).check(feed=False)
            owner.log.seal(100, 150)
            assert built(owner) == reference[1]
            true(owner)
        with Owner.open(place, clock=FixedClock(NOW_US)) as owner:
            assert owner.log.check() == owner.log.last_position()
            assert served(owner) == reference[0]


def test_contradictions_among_imports_are_found_while_no_model_is_served(tmp_path: Path) -> None:
    (tmp_path / "streamgauge.toml").write_text('[project]\nfile = "lender.py"\n')
    (tmp_path / "lender.py").write_text(PROJECT)
    rows = history(1)["Movement"][:50]
    changed = [{**row, "amount": "3.21"} for row in rows[:7] if row["op"] != "delete"]
    with Owner.open(find_place(tmp_path), clock=FixedClock(NOW_US)) as owner:
        for one in (rows, changed):
            owner.import_frame(frame(one), "Movement", known_at="known_at")
        refused = owner.log.quarantined()
        assert {item.reason for item in refused} == {"conflict"}
        assert len(refused) == len(changed)
        assert {item.event_id for item in refused} == {row["id"] for row in changed}


def test_a_stream_added_later_brings_its_history(tmp_path: Path) -> None:
    """Its features and the others' are those of a project that had it from the beginning."""
    before = PROJECT.partition("class Arrears")[0] + (
        "\ninflow = Movement.where(Movement.amount > 0)\n\n\nclass Flow(sg.Features, entity=Movement.account):\n"
        '    """What the account shows."""\n\n    inflow_sum = inflow.sum(Movement.amount, over="5d")\n'
    )
    rows = history(5)
    places: list[Place] = []
    for name, texts in (("whole", [PROJECT]), ("later", [before, PROJECT])):
        root = tmp_path / name
        root.mkdir()
        (root / "streamgauge.toml").write_text('[project]\nfile = "lender.py"\n[log]\ntail = 20\nseal = 50\n')
        streams = ["Movement", "Application"]
        for text in texts:
            (root / "lender.py").write_text(text)
            with Owner.open(find_place(root), clock=FixedClock(NOW_US)) as owner:
                for stream in [*streams, "Arrears"] if text is PROJECT else streams:
                    owner.import_frame(frame(rows[stream]), stream, known_at="known_at")
                owner.log.seal(20, 50)
            streams = []
        places.append(find_place(root))
    asked = pl.DataFrame(
        [{"account": account, "as_of": NOW - timedelta(days=days)} for account in ACCOUNTS for days in (0, 9, 40)]
    )
    answers = []
    for place in places:
        with streamgauge.open(place.root) as project:
            answers.append([project.features(asked), *(project.dataset(model) for model in project.spec.models)])
    for whole, later in zip(*answers, strict=True):
        kept = [name for name in whole.columns if name != "position"]
        assert later.select(kept).equals(whole.select(kept))
        assert len(whole) > 20
