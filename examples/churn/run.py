"""Learn who lets a subscription lapse, from sessions, charges and changes of state, and compare groups of people.

Usage: ``python examples/churn/run.py [--customers N] [--json] [--keep DIR]``.

The service is simulated, and so is its clock: the run ends when its history does.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl

from streamgauge.app.cli.protected import show_fairness
from streamgauge.app.cli.terminal import Progress, note, say, show_json, show_table
from streamgauge.app.owner import Owner
from streamgauge.app.protecting import fairness, import_protected_frames
from streamgauge.app.settings import find_place
from streamgauge.clock import FixedClock
from streamgauge.errors import StreamgaugeError
from streamgauge.models.dataset import build_dataset
from streamgauge.models.fairness_report import FairnessReport
from streamgauge.models.train import fit_run, register_run
from streamgauge.scoring.scorer import Scorer
from streamgauge.testing.subscriptions import Service, simulate_service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamgauge.models.dataset import Dataset
    from streamgauge.models.run import TrainingRun

HERE: Final = Path(__file__).resolve().parent
MODEL: Final = "churn"
CUSTOMERS: Final = 3_000
DAYS: Final = 540
SAMPLE: Final = 300
TOLERANCE: Final = 1e-12


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The model on weeks it was not fitted on.

    Attributes:
        rows: How many customer weeks.
        bads: After how many of them no charge was paid within 35 days.
        auc: Area under the ROC curve.
        auc_low: Lower end of its 95 % interval, customers resampled with all their weeks.
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


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Scores read from states, against the model on the dataset's rows of the same moment.

    Attributes:
        compared: How many scores.
        differing: How many differ: PD in any digit, margin by more than 1e-12.
    """

    compared: int
    differing: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found.

    Attributes:
        customers: How many customers there are.
        events: How many events each stream has.
        labels: How many customer weeks have each label.
        test: The model on the test weeks.
        served: Scores served, compared.
        truth: Rank correlation of the PD with the latent probability that the customer's next renewal fails.
        fairness: What becomes of groups of people.
        seconds: How long the run took.
    """

    customers: int
    events: dict[str, int]
    labels: dict[str, int]
    test: Figures
    served: Served
    truth: float
    fairness: FairnessReport
    seconds: float


def make_place(root: Path) -> Path:
    """Make a project directory of this example's project file and settings.

    Raises:
        FileExistsError: The directory is used already.
    """
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise FileExistsError(f"{root} is not empty. Name a new folder with --keep DIR: a run begins with an empty log.")
    for name in ("churn.py", "streamgauge.toml"):
        shutil.copyfile(HERE / name, root / name)
    return root


def take_in(owner: Owner, service: Service, progress: Progress) -> dict[str, int]:
    """Import the history with its arrivals, and the protected attributes into their own file; return how many events."""
    events: dict[str, int] = {}
    for stream, frame in service.frames.items():
        answer = owner.import_frame(frame, stream, progress, known_at="known_at")
        if answer.quarantined:
            raise StreamgaugeError(f"{answer.quarantined} {stream} events were refused: {answer.refused[:1]}.")
        events[stream] = answer.accepted
    import_protected_frames(owner.place, [service.people], owner.project.protected["Person"])
    return events


def learn(owner: Owner, progress: Progress) -> tuple[Dataset, TrainingRun]:
    """Train the model, register it, and have it served."""
    spec = owner.project.models[MODEL]
    dataset = build_dataset(owner.project, spec, owner.log, progress=progress)
    run = register_run(owner.project, fit_run(owner.project, dataset, owner.log, progress=progress), owner.registry)
    owner.reload(progress)
    return dataset, run


def serve(owner: Owner, dataset: Dataset, run: TrainingRun) -> Served:
    """Read scores of the newest Monday from states, and compare each with the model's on the dataset's row."""
    newest = np.flatnonzero(dataset.t == dataset.t.max())
    rows = newest[:: max(1, len(newest) // SAMPLE)][:SAMPLE]
    expected = Scorer(run.artefact).score_many(dataset.X[rows])
    differing = 0
    for row, margin, pd in zip(rows.tolist(), expected.margin.tolist(), expected.pd.tolist(), strict=True):
        key = dataset.entities[int(dataset.entity[row])]
        answer = owner.score(key.partition(":")[2], model=MODEL, as_of=int(dataset.t[row]))
        differing += answer.pd != pd or abs(answer.margin - margin) > TOLERANCE
    return Served(compared=len(rows), differing=differing)


def against_truth(run: TrainingRun, service: Service) -> float:
    """Return the rank correlation between the PD of a test week and the latent probability of the next renewal."""
    begins = int(service.end.timestamp() // 86_400) - DAYS
    renewals = service.truth.with_columns(
        pl.format("customer:cust-{}", pl.col("customer").cast(pl.String).str.zfill(5)).alias("entity"), pl.col("day").cast(pl.Int64)
    ).sort("day")
    weeks = run.rows.filter(pl.col("part") == "test").with_columns((pl.col("as_of").dt.epoch("d") - begins).cast(pl.Int64).alias("day"))
    both = weeks.sort("day").join_asof(renewals, on="day", by="entity", strategy="forward", check_sortedness=False).drop_nulls("probability")
    ranked = both.select(pl.corr("pd", "probability", method="spearman"))
    return float(ranked.item())


def run_example(service: Service, root: Path) -> Outcome:
    """Run the whole example in a project directory from `make_place`."""
    begun = time.perf_counter()
    clock = FixedClock(int(service.end.timestamp()) * 1_000_000)
    with Progress() as progress, Owner.open(find_place(root), clock=clock) as owner:
        events = take_in(owner, service, progress)
        dataset, run = learn(owner, progress)
        found = fairness(owner.place, owner.project, MODEL)
        served = serve(owner, dataset, run)
    metrics = run.report.metrics
    return Outcome(
        customers=len(service.people),
        events=events,
        labels=run.report.labels,
        test=Figures(**{name: getattr(metrics, name) for name in Figures.__struct_fields__}),
        served=served,
        truth=against_truth(run, service),
        fairness=found,
        seconds=round(time.perf_counter() - begun, 1),
    )


def show(outcome: Outcome) -> None:
    """Print the outcome as tables."""
    test = outcome.test
    rows = [
        ("customer weeks", test.rows),
        ("lapsed", f"{test.bads} ({test.bad_rate:.2%})"),
        ("AUC", f"{test.auc:.4f} ({test.auc_low:.4f} to {test.auc_high:.4f})"),
        ("KS", f"{test.ks:.4f}"),
        ("mean probability", f"{test.mean_pd:.2%}"),
        ("calibration slope, intercept", f"{test.slope:.3f}, {test.intercept:.3f}"),
        ("rank correlation with the truth", f"{outcome.truth:.3f}"),
    ]
    show_table(("test weeks", "value#"), rows, title="No paid charge within 35 days of a Monday")
    show_fairness(outcome.fairness)
    say(f"{outcome.served.compared:,} scores read from states, {outcome.served.differing} differ from the dataset's.")
    say(f"{sum(outcome.events.values()):,} events of {outcome.customers:,} customers in {outcome.seconds:.0f} s.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; return the exit code: 0, 1 where a served score differs, 2 where it cannot run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, metavar="N", help="how many customers (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the project, a new folder, to look at it with streamgauge")
    given: Any = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            place = make_place(given.keep or Path(folder) / "churn")
            outcome = run_example(simulate_service(given.customers, DAYS), place)
    except (FileExistsError, StreamgaugeError) as error:
        note(str(error))
        return 2
    if given.keep:
        note(f"The project is in {given.keep}: look at it with streamgauge models --project {given.keep}")
    if given.json:
        show_json(outcome)
    else:
        show(outcome)
    return 1 if outcome.served.differing else 0


if __name__ == "__main__":
    sys.exit(main())
