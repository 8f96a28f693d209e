"""Learn which card payments are disputed as fraud, then decide new ones as they come: of card, merchant, and both together.

Usage: ``python examples/fraud/run.py [--cards N] [--json] [--keep DIR]``.

The payments are simulated, and so is the clock: it stands at each payment while that is decided.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl

from streamgauge.app.cli.terminal import Progress, note, say, show_json, show_table
from streamgauge.app.owner import Owner
from streamgauge.app.settings import find_place
from streamgauge.clock import FixedClock
from streamgauge.errors import StreamgaugeError
from streamgauge.models.dataset import build_dataset
from streamgauge.models.train import fit_run, register_run
from streamgauge.testing.payments import DEFAULT_END, simulate_payments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from streamgauge.app.answers import DecisionAnswer
    from streamgauge.models.run import TrainingRun

HERE: Final = Path(__file__).resolve().parent
MODEL: Final = "card-fraud"
CARDS: Final = 1_000
DAYS: Final = 730
LIVE: Final = timedelta(days=2)
FIRST: Final = 0.005
STREAMS: Final = ("Payment", "Chargeback")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The model on payments later than those it was fitted on.

    Attributes:
        rows: How many payments.
        bads: How many of them were disputed within 120 days.
        auc: Area under the ROC curve.
        auc_low: Lower end of its 95 % interval, cards resampled with all their payments.
        auc_high: Upper end.
        ks: The largest distance between the score distributions.
        slope: Calibration slope; 1 is perfect.
        intercept: Calibration intercept beside that slope; 0 is perfect.
        bad_rate: The share of bads.
        mean_pd: The mean probability.
    """

    rows: int
    bads: int
    auc: float
    auc_low: float
    auc_high: float
    ks: float
    slope: float
    intercept: float
    bad_rate: float
    mean_pd: float


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """Payments decided as they came, against two other ways to the same values.

    Attributes:
        payments: How many were decided.
        outcomes: How many had each outcome.
        median_ms: How long half of the decisions took at most, durably recorded.
        values: How many feature values the decisions recorded that are numbers of the model's.
        differing: How many of these differ, in any bit, from a dataset built from the log afterwards.
        replayed: How many decisions were recomputed from their records and the log.
        mismatches: How many of these came out otherwise.
    """

    payments: int
    outcomes: dict[str, int]
    median_ms: float
    values: int
    differing: int
    replayed: int
    mismatches: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found.

    Attributes:
        cards: How many cards there are.
        events: How many events each stream has.
        records: How many records the log holds of them: one for each role and pair.
        labels: How many payments have each label.
        test: The model on the test payments.
        captured: The share of test frauds among the half percent of test payments with the highest probability.
        decided: Payments decided as they came.
        seconds: How long the run took.
    """

    cards: int
    events: dict[str, int]
    records: int
    labels: dict[str, int]
    test: Figures
    captured: float
    decided: Decided
    seconds: float


def make_place(root: Path) -> Path:
    """Make a project directory of this example's project file and settings.

    Raises:
        FileExistsError: The directory is used already.
    """
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise FileExistsError(f"{root} is not empty. Name a new folder with --keep DIR: a run begins with an empty log.")
    for name in ("fraud.py", "streamgauge.toml"):
        shutil.copyfile(HERE / name, root / name)
    return root


def take_in(owner: Owner, frames: dict[str, pl.DataFrame], progress: Progress) -> dict[str, int]:
    """Import a history with its arrivals, and return how many events each stream has."""
    events: dict[str, int] = {}
    for stream in STREAMS:
        answer = owner.import_frame(frames[stream], stream, progress, known_at="known_at")
        if answer.quarantined:
            raise StreamgaugeError(f"{answer.quarantined} {stream} events were refused: {answer.refused[:1]}.")
        events[stream] = answer.accepted
    return events


def learn(owner: Owner, progress: Progress) -> TrainingRun:
    """Train the model, register it, and have it served."""
    dataset = build_dataset(owner.project, owner.project.models[MODEL], owner.log, progress=progress)
    run = register_run(owner.project, fit_run(owner.project, dataset, owner.log, progress=progress), owner.registry)
    owner.reload(progress)
    return run


def decide(owner: Owner, clock: FixedClock, frames: dict[str, pl.DataFrame], progress: Progress) -> Decided:
    """Take the events of the last days as they come: payments are decided, chargebacks ingested."""
    events: list[dict[str, Any]] = sorted(
        ({**row, "stream": stream} for stream in STREAMS for row in frames[stream].drop("known_at").to_dicts()),
        key=lambda event: event["at"],
    )
    answers: list[DecisionAnswer] = []
    took: list[float] = []
    for done, event in enumerate(events, start=1):
        clock.set(micros(event["at"]))
        event["at"] = event["at"].isoformat()
        if event["stream"] == "Payment":
            begun = time.perf_counter()
            answers.append(owner.decide(f"decide-{event['id']}", {**event, "amount": str(event["amount"])}))
            took.append(time.perf_counter() - begun)
        else:
            owner.ingest([event], applied=True)
        progress("deciding payments", done, len(events))
    values, differing = compare(owner)
    verified = owner.verify(progress)
    return Decided(
        payments=len(answers),
        outcomes={name: sum(answer.outcome == name for answer in answers) for name in ("approve", "refer", "decline")},
        median_ms=round(float(np.median(took)) * 1_000, 2) if took else 0.0,
        values=values,
        differing=differing,
        replayed=verified.checked,
        mismatches=verified.mismatch,
    )


def compare(owner: Owner) -> tuple[int, int]:
    """Return how many recorded feature values there are, and how many differ from a dataset built now from the log."""
    dataset = build_dataset(owner.project, owner.project.models[MODEL], owner.log)
    rows = {event: row for row, event in enumerate(dataset.event_id or ())}
    values = differing = 0
    for entry in owner.ledger.iterate():
        record = entry.require()
        recorded = dict(zip(record.feature_names, record.features.array.tolist(), strict=True))
        ours = np.array([recorded[name] for name in dataset.names])
        values += len(ours)
        differing += int((ours.view(np.int64) != dataset.X[rows[record.event_id]].view(np.int64)).sum())
    return values, differing


def captured(run: TrainingRun) -> float:
    """Return the share of test frauds among the test payments with the highest probability."""
    test = run.rows.filter(pl.col("part") == "test").sort("pd", descending=True)
    caught = int(test.head(max(1, int(len(test) * FIRST)))["bad"].sum())
    return caught / max(1, int(test["bad"].sum()))


def micros(moment: datetime) -> int:
    """Return a moment in µs since the epoch."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def run_example(frames: dict[str, pl.DataFrame], root: Path) -> Outcome:
    """Run the whole example in a project directory from `make_place`."""
    begun = time.perf_counter()
    opens = DEFAULT_END - LIVE
    clock = FixedClock(micros(opens))
    history = {stream: frame.filter(pl.col("known_at") < opens) for stream, frame in frames.items()}
    later = {stream: frame.filter(pl.col("at") >= opens) for stream, frame in frames.items()}
    with Progress() as progress, Owner.open(find_place(root), clock=clock) as owner:
        take_in(owner, history, progress)
        run = learn(owner, progress)
        decided = decide(owner, clock, later, progress)
        records = owner.log.last_position()
    metrics = run.report.metrics
    return Outcome(
        cards=frames["Payment"]["card"].n_unique(),
        events={stream: len(history[stream]) + len(later[stream]) for stream in STREAMS},
        records=records,
        labels=run.report.labels,
        test=Figures(**{name: getattr(metrics, name) for name in Figures.__struct_fields__}),
        captured=captured(run),
        decided=decided,
        seconds=round(time.perf_counter() - begun, 1),
    )


def show(outcome: Outcome) -> None:
    """Print the outcome as a table."""
    test, decided = outcome.test, outcome.decided
    rows = [
        ("payments", f"{test.rows:,}"),
        ("disputed", f"{test.bads} ({test.bad_rate:.2%})"),
        ("AUC", f"{test.auc:.4f} ({test.auc_low:.4f} to {test.auc_high:.4f})"),
        ("KS", f"{test.ks:.4f}"),
        (f"frauds among the {FIRST:.1%} most probable", f"{outcome.captured:.1%}"),
        ("mean probability", f"{test.mean_pd:.2%}"),
        ("calibration slope, intercept", f"{test.slope:.3f}, {test.intercept:.3f}"),
    ]
    show_table(("test payments", "value#"), rows, title="A chargeback within 120 days of a payment")
    outcomes = ", ".join(f"{count} {name}" for name, count in decided.outcomes.items())
    say(f"{decided.payments:,} payments decided as they came: {outcomes}; half of them within {decided.median_ms} ms.")
    say(f"{decided.values:,} feature values recorded, {decided.differing} differ from a dataset built afterwards.")
    say(f"{decided.replayed:,} decisions replayed from the log, {decided.mismatches} came out otherwise.")
    say(f"{sum(outcome.events.values()):,} events of {outcome.cards:,} cards, {outcome.records:,} records, in {outcome.seconds:.0f} s.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; return the exit code: 0, 1 where a check found a difference, 2 where it cannot run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--cards", type=int, default=CARDS, metavar="N", help="how many cards (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the project, a new folder, to look at it with streamgauge")
    given: Any = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            place = make_place(given.keep or Path(folder) / "fraud")
            outcome = run_example(simulate_payments(given.cards, max(60, given.cards // 6), DAYS), place)
    except (FileExistsError, StreamgaugeError) as error:
        note(str(error))
        return 2
    if given.keep:
        note(f"The project is in {given.keep}: look at it with streamgauge models --project {given.keep}")
    if given.json:
        show_json(outcome)
    else:
        show(outcome)
    return 1 if outcome.decided.differing or outcome.decided.mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
