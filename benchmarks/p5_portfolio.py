"""P5: every account of a portfolio scored again as of now, against the overnight batch of SQL and scikit-learn."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.drawn import DAY_US, MODEL, fit_estimator, make_drawn_lender, movements
from benchmarks.measure import Report, Row, Spread, interleave, ratios, seconds
from benchmarks.p5_peer import QUERY, Overnight
from streamgauge.app.owner import Owner
from streamgauge.app.reading import Question
from streamgauge.app.settings import Place

Floats = NDArray[np.float64]
GOAL = "at most 60 s for 1M accounts on 2 cores, and 10 × the peer"
NOTES = (
    f"""The peer is written to be fast: one query (`benchmarks/{QUERY.name}`) over integers in memory, windows as
    filters of one pass, streams without events as constants; `predict_proba` on both cores. It has no calibration,
    no points, no cut and no late events.""",
    """Ours reads the states that the stream keeps, so its cost follows the accounts more than the events; the batch's
    follows the events. An account of the demo has about 200 of them. Both end with a Parquet file.""",
)
_FULL = ((1_000_000, 3), (20_000, 60), (5_000, 200)), 3
_QUICK = ((20_000, 3), (1_000, 60)), 2
_AT_ONCE = 3_000_000
_CHECKED = 100
_CLOSE = 1e-9
_TREES = 200


class Differs(AssertionError):
    """The peer computes another value."""


def run(*, quick: bool) -> Report:
    """Check, then measure: very many accounts with few events each, fewer with more, and some with long histories."""
    sizes, repetitions = _QUICK if quick else _FULL
    checks, rows = [], []
    for accounts, each in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found, measured = measure(Path(folder), accounts, each, repetitions)
        checks.append(found)
        rows += measured
    return Report(
        id="P5",
        title="The whole portfolio as of now",
        size={"accounts": [accounts for accounts, _ in sizes], "events of an account": [each for _, each in sizes]},
        goal=GOAL,
        checks=checks,
        rows=rows,
        notes=NOTES,
    )


def measure(folder: Path, accounts: int, each: int, repetitions: int, *, trees: int = _TREES) -> tuple[str, list[Row]]:
    """Build a portfolio, check that both score it alike, and time both; return what was checked, and the rows."""
    place = make_drawn_lender(folder / "lender", trees=trees)
    past = build(place, accounts, each)
    where = f"{accounts:,} accounts, {accounts * each:,} events"
    with Owner.open(place) as owner:
        names = [name.partition(".")[2] for name in owner.live.models[MODEL].loaded.artefact.features]
        with closing(Overnight(past, names, fit_estimator(len(names), trees))) as batch:
            checked = check(owner, batch, folder)
            now = time.time_ns() // 1_000
            _, rows = batch.features(now)
            timed: dict[str, Callable[[], float]] = {
                "ours": lambda: seconds(lambda: portfolio(owner, folder / "ours.parquet")),
                "peer": lambda: seconds(lambda: batch.score(now, folder / "peer.parquet")),
                "query": lambda: seconds(lambda: batch.features(now)),
                "model": lambda: seconds(lambda: batch.probabilities(rows)),
            }
            found = interleave(repetitions, timed, warm_up=False)
    query, model = (Spread.of(found[name]).median for name in ("query", "model"))
    return f"{checked} ({where})", [
        Row(f"Streamgauge, all scored and written ({where})", Spread.of(found["ours"]), "s"),
        Row(
            f"DuckDB SQL + scikit-learn ({where})",
            Spread.of(found["peer"]),
            "s",
            ratios(found["peer"], found["ours"]),
            f"{query:.2f} s of it SQL, {model:.2f} s scikit-learn",
        ),
    ]


def build(place: Place, accounts: int, each: int) -> pl.DataFrame:
    """Import a history, and return it."""
    now = time.time_ns() // 1_000
    total = accounts * each
    frames = [
        movements(
            min(_AT_ONCE, total - start), accounts, now - 200 * DAY_US, now - DAY_US, seed=start, prefix=f"h{start}-"
        )
        for start in range(0, total, _AT_ONCE)
    ]
    with Owner.open(place) as owner:
        for frame in frames:
            owner.import_frame(frame, "Movement", known_after_us=3_600_000_000)
    return pl.concat(frames)


def portfolio(owner: Owner, out: Path) -> int:
    """Score the portfolio, and return how many accounts it has."""
    return owner.portfolio(out, lambda _step, _done, _of: None, model=MODEL)


def check(owner: Owner, batch: Overnight, folder: Path) -> str:
    """Hold the peer's features and margins against ours as of the same moment.

    Raises:
        Differs: One is another.
    """
    count = portfolio(owner, folder / "checked.parquet")
    ours = pl.read_parquet(folder / "checked.parquet")
    now = int(ours["as_of"].dt.epoch("us")[0])
    accounts, rows = batch.features(now)
    if sorted(accounts) != ours["entity"].to_list():
        raise Differs(f"The peer scores {len(accounts)} accounts, ours {count}.")
    probability = batch.probabilities(rows)
    theirs = pl.DataFrame({"entity": accounts, "number": np.arange(len(accounts))})
    order = ours.join(theirs, on="entity", how="left", maintain_order="left")["number"].to_numpy()
    model = owner.live.models[MODEL]
    scale = np.nanmax(np.abs(rows), axis=0, initial=1.0)
    for at in range(min(_CHECKED, count)):
        row = owner.reader.read(Question(f"account:{ours['entity'][at]}", now), model.bound).row
        own = model.inputs(row.reshape(1, -1))[0]
        other = rows[order[at]]
        for name, a, b, of in zip(batch.names, own.tolist(), other.tolist(), scale.tolist(), strict=True):
            if np.isnan(a) != np.isnan(b) or abs(a - b) > _CLOSE * of:
                raise Differs(f"{name} of {ours['entity'][at]}: {b}, ours {a}")
    margin = ours["margin"].to_numpy()
    own_probability = 1 / (1 + np.exp(-margin))
    alike = np.abs(own_probability - probability[order]) <= _CLOSE
    # A sum of floats that lies upon a split's threshold may fall to its other side.
    if alike.mean() < 1 - 1e-4:
        raise Differs(f"{int((~alike).sum())} of {count} scores differ.")
    return (
        f"{len(batch.names)} features of {min(_CHECKED, count)} accounts, and {int(alike.sum()):,} of {count:,} scores"
    )
