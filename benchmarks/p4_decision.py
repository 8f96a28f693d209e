"""P4: one decision over HTTP, recorded durably before it is answered, against servers that only score."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import streamgauge as sg
from benchmarks.lender import MODEL, make_lender
from benchmarks.measure import PEERS, ROOT, Report, Row, Spread, interleave, ratios
from benchmarks.measure import seconds as seconds_of
from benchmarks.p4_servers import Server, feast, mlflow, ours, plain
from streamgauge.app import wiring
from streamgauge.app.settings import find_place
from streamgauge.scoring.artefact import ModelArtefact

Floats = NDArray[np.float64]
GOAL = "p99 at most 5 ms at 500/s; saturation at least 0.6 × plain FastAPI on one core, scaling with workers"
WORKERS = 2
RATE, CONNECTIONS, OPEN_CONNECTIONS = 500, 16, 64
_MOST = 20_000
"""The most bodies of one load; a decision's id is used once."""


class Differs(AssertionError):
    """A peer scores a row differently."""


class Bodies:
    """Requests to decide, each of its own id, over the accounts of the lender."""

    def __init__(self, borrowers: int) -> None:
        self._borrowers = borrowers
        self._number = 0

    def take(self, count: int) -> list[bytes]:
        """Return so many new ones."""
        now = datetime.now(UTC).isoformat()
        return [self._one(now) for _ in range(count)]

    def _one(self, now: str) -> bytes:
        self._number += 1
        event = {
            "stream": "Application",
            "id": f"bench-{self._number}",
            "account": f"acc-{self._number * 7919 % self._borrowers:05d}",
            "asked_at": now,
            "amount": f"{1000 + self._number % 9000}.00",
            "term_months": 6 + self._number % 30,
        }
        return json.dumps({"decision_id": f"bench-{self._number}", "event": event}).encode()


def run(*, quick: bool) -> Report:
    """Check, then measure."""
    borrowers, seconds, repetitions = (1_500, 2.0, 1) if quick else (5_000, 10.0, 3)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as servers:
        project = make_lender(Path(folder) / "lender", borrowers, 730)
        artefact = artefact_of(project)
        onnx = Path(folder) / "model.onnx"
        onnx.write_bytes(artefact.onnx)
        saved = None if quick else _mlflow_model(project, artefact, Path(folder))
        bodies = Bodies(borrowers)
        with ours(project) as own, plain(onnx) as peer:
            rows, checks = check(own, peer, artefact, bodies.take(50))
            if saved is not None:
                online = saved.with_name("online.npz")
                np.savez(online, rows=np.array(rows))
                checks.append(check_feast(peer, rows, onnx, online))
        twin = Path(shutil.copytree(project, Path(folder) / "twin"))
        own = servers.enter_context(ours(project))
        others = [servers.enter_context(ours(twin, WORKERS)), servers.enter_context(plain(onnx))]
        if saved is not None:
            others.append(servers.enter_context(mlflow(saved)))
            others.append(servers.enter_context(feast(onnx, saved.with_name("online.npz"))))
        feeds: dict[str, Callable[[int], Sequence[bytes]]] = {own.name: bodies.take}
        feeds |= {other.name: _fed(other, bodies, rows) for other in others}
        measured = _measure([own, *others], feeds, seconds, repetitions)
        measured += _commits(Path(folder) / "commits.sqlite")
    notes = [
        (
            f"Each decision appends its event, applies it, computes {len(artefact.features)} features, exact reasons, "
            "and records them durably, before it is answered. The peers are given the finished row and keep nothing."
        ),
        (
            "Each server has one core to itself, the load another; the one with workers has every core, that "
            "of the load too. At 500/s time counts from when a request was due."
        ),
        "CPU by step is that of the threads that do it; append and record are the time of their durable commits.",
    ]
    if saved is None:
        notes.append("`mlflow models serve` and Feast are measured in the full form, with `make bench-venv`.")
    else:
        notes += [
            "`mlflow models serve` has one worker and scikit-learn's estimator, fitted alike on such rows.",
            "Feast reads the finished row of an account from SQLite; somebody else has to compute and push it.",
        ]
    return Report(
        id="P4",
        title="Decision: one POST, features, score, reasons and a durable record",
        size={
            "features": len(artefact.features),
            "accounts": borrowers,
            "rate": RATE,
            "connections": CONNECTIONS,
            "seconds": int(seconds),
        },
        goal=GOAL,
        checks=checks,
        rows=measured,
        notes=notes,
    )


def check(
    own: Server, peer: Server, artefact: ModelArtefact, bodies: Sequence[bytes]
) -> tuple[list[Floats], list[str]]:
    """Decide some, give their recorded features to the plain peer; return its rows and what was found equal.

    Raises:
        Differs: The peer's margin is another one.
    """
    rows: list[Floats] = []
    nulls = 0
    for body in bodies:
        answer = own.post(body)
        record = own.get(f"/v1/decisions/{answer['decision_id']}?full=true")
        row = row_of(record["features"], artefact)
        nulls += int(np.isnan(row).sum())
        margin = float(peer.post(plain_body(row))["margin"])
        if abs(margin - record["margin"]) > 1e-12:
            raise Differs(
                f"{peer.name} gives {margin!r} where decision {answer['decision_id']} has {record['margin']!r}."
            )
        rows.append(row)
    if nulls > sum(row.size for row in rows) / 2:
        raise Differs("Most features are null: the decisions are about accounts without a history.")
    return rows, [
        f"{len(rows)} decisions have the margin, within 1e-12, that {peer.name} gives their recorded features"
    ]


def check_feast(peer: Server, rows: Sequence[Floats], onnx: Path, online: Path) -> str:
    """Hold the margins that Feast's online store gives against the plain peer's of the same rows.

    Raises:
        Differs: One is another.
    """
    with feast(onnx, online) as server:
        for account, row in enumerate(rows):
            margin, other = (
                float(one.post(body)["margin"])
                for one, body in ((server, account_body(account)), (peer, plain_body(row)))
            )
            if margin != other:
                raise Differs(f"{server.name} gives {margin!r} where {peer.name} gives {other!r}.")
    return f"{len(rows)} margins of {server.name} equal {peer.name}'s"


def row_of(features: Mapping[str, float | None], artefact: ModelArtefact) -> Floats:
    """Return recorded features as the model sees them."""
    values = (features[name] for name in artefact.features)
    row = np.array([[math.nan if value is None else value for value in values]], np.float64)
    coded: Floats = artefact.coding.encode(row)[0]
    return coded


def plain_body(row: Floats) -> bytes:
    """Return the plain peer's request for a row."""
    return json.dumps({"features": [None if math.isnan(value) else value for value in row.tolist()]}).encode()


def account_body(account: int) -> bytes:
    """Return the request to Feast for an account."""
    return json.dumps({"account": account}).encode()


def mlflow_body(row: Floats) -> bytes:
    """Return `mlflow models serve`'s request for a row."""
    return json.dumps({"inputs": [[None if math.isnan(value) else value for value in row.tolist()]]}).encode()


def artefact_of(project: Path) -> ModelArtefact:
    """Return the champion that a project serves."""
    registry = wiring.open_registry(find_place(project))
    champion = registry.champion(MODEL)
    if champion is None:
        raise ValueError(f"The project has no champion of {MODEL}.")
    return registry.load(champion)


def _fed(server: Server, bodies: Bodies, rows: Sequence[Floats]) -> Callable[[int], Sequence[bytes]]:
    return bodies.take if server.path == "/v1/decisions" else _repeated(server, rows)


def _repeated(server: Server, rows: Sequence[Floats]) -> Callable[[int], Sequence[bytes]]:
    if server.path == "/account":
        return lambda count: [account_body(i % len(rows)) for i in range(count)]
    render = plain_body if server.path == "/score" else mlflow_body
    rendered = [render(row) for row in rows]
    return lambda count: [rendered[i % len(rendered)] for i in range(count)]


def _measure(
    servers: Sequence[Server],
    feeds: Mapping[str, Callable[[int], Sequence[bytes]]],
    seconds: float,
    repetitions: int,
) -> list[Row]:
    for server in servers:
        server.load(feeds[server.name](_MOST), min(seconds, 2.0), CONNECTIONS)

    def at_rate(server: Server) -> Any:  # noqa: ANN401 - JSON
        return server.load(feeds[server.name](int(RATE * seconds)), seconds, OPEN_CONNECTIONS, RATE)

    def saturated(server: Server) -> Any:  # noqa: ANN401 - JSON
        return server.load(feeds[server.name](_MOST), seconds, CONNECTIONS)

    rows = []
    for label, work in ((f"{RATE}/s", at_rate), (f"{CONNECTIONS} connections", saturated)):
        works = {server.name: (lambda server=server, work=work: work(server)) for server in servers}
        found = interleave(repetitions, works, warm_up=False)
        own = found[servers[0].name]
        items = ("p50", "p99", "cpu") if work is at_rate else ("p50", "p99", "rate", "cpu")
        for item in items:
            for name, outcomes in found.items():
                figures, mine = [one[item] for one in outcomes], [one[item] for one in own]
                ratio = None if name == servers[0].name else ratios(figures, mine, more_is_better=item == "rate")
                unit = "/s" if item == "rate" else "s"
                shown = "CPU of one answer" if item == "cpu" else item
                rows.append(Row(f"{name}, {shown} ({label})", Spread.of(figures), unit, ratio))
    return rows + _steps(servers[0], feeds[servers[0].name], seconds)


_STEPS = {
    "HTTP, validation, answer": 'thread_cpu_seconds_total{thread="MainThread"}',
    "append": 'thread_cpu_seconds_total{thread="append"}',
    "apply, features, score": 'thread_cpu_seconds_total{thread="engine"}',
    "reasons, policy, record": 'thread_cpu_seconds_total{thread="decisions"}',
}


def _steps(server: Server, feed: Callable[[int], Sequence[bytes]], seconds: float) -> list[Row]:
    """Measure where the time of a decision goes, at saturation."""
    before = server.metrics()
    server.load(feed(_MOST), seconds, CONNECTIONS)
    after = server.metrics()

    def grown(name: str) -> float:
        return after[f"streamgauge_{name}"] - before.get(f"streamgauge_{name}", 0.0)

    decisions = grown("decision_seconds_count")
    rows = [
        Row(f"CPU of {step}, a decision", Spread.of([grown(name) / decisions]), "s") for step, name in _STEPS.items()
    ]
    for commit in ("append", "record"):
        groups = grown(f"{commit}_seconds_count")
        spread = Spread.of([grown(f"{commit}_seconds_sum") / groups])
        rows.append(Row(f"durable {commit} of {decisions / groups:.0f} decisions, mean", spread, "s"))
    return rows


def _commits(path: Path, count: int = 300) -> list[Row]:
    """Measure what the disk makes of one durable commit: a decision waits for two, one after another."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE commits (body BLOB)")
        times = sorted(
            seconds_of(lambda: connection.execute("INSERT INTO commits VALUES (zeroblob(400))")) for _ in range(count)
        )
    return [
        Row(f"one durable commit of this disk, {name}", Spread.of([times[int(count * share)]]), "s")
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]


def _mlflow_model(project: Path, artefact: ModelArtefact, folder: Path) -> Path | None:
    """Fit and save the peer's model in the peers' environment; None where that is not set up."""
    python = PEERS / "python"
    if not (PEERS / "mlflow").exists():
        return None
    with sg.open(project) as opened:
        dataset = opened.dataset(MODEL)
    labelled = dataset.filter(dataset["label"].is_in(["good", "bad"]))
    rows = labelled.select(artefact.features).to_numpy().astype(np.float64)
    np.savez(folder / "rows.npz", rows=rows, bad=(labelled["label"] == "bad").to_numpy().astype(np.int64))
    trees = len(getattr(artefact.ensemble.model, "roots", ()))
    subprocess.run(
        [python, ROOT / "benchmarks" / "mlflow_model.py", folder / "rows.npz", folder / "mlflow", str(trees)],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    return folder / "mlflow"
