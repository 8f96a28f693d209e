"""Score 30,000 real clients at the end of each month from April to September 2005, as their data arrives.

Usage: ``python examples/taiwan/run.py [--data DIR] [--json] [--keep DIR] [--clients N]``.

The months are real. The day of the month is not in the data: every event of a month stands at its end.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl

from streamgauge.app.cli.terminal import Progress, note, say, show_json, show_table
from streamgauge.app.project import Project, open_project
from streamgauge.errors import StreamgaugeError
from streamgauge.scoring.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from streamgauge.models.run import TrainingRun

HERE: Final = Path(__file__).resolve().parent
DATA: Final = HERE.parents[2] / "shared" / "data" / "uci_taiwan_default"
FILE: Final = "UCI_Credit_Card.csv"
SHA256: Final = "a0f0ab49d6326671d6cd83be5c88dcf18007025fe9a53ecd699119c871176ca1"
DOI: Final = "10.24432/C55S3H"
AXIS: Final = "The months are real; the day of the month is not in the data: every event of a month stands at its end."
DEFAULTED: Final = datetime(2005, 10, 31, tzinfo=UTC)
SAMPLE: Final = 300


@dataclass(frozen=True, slots=True)
class Month:
    """One month: its end, and the file's columns that tell of it."""

    name: str
    end: datetime
    late: str
    bill: str
    paid: str

    @property
    def model(self) -> str:
        """The model of this month in taiwan.py."""
        return f"taiwan-{self.end:%m}"


MONTHS: Final = [
    Month("April", datetime(2005, 4, 30, tzinfo=UTC), "PAY_6", "BILL_AMT6", "PAY_AMT6"),
    Month("May", datetime(2005, 5, 31, tzinfo=UTC), "PAY_5", "BILL_AMT5", "PAY_AMT5"),
    Month("June", datetime(2005, 6, 30, tzinfo=UTC), "PAY_4", "BILL_AMT4", "PAY_AMT4"),
    Month("July", datetime(2005, 7, 31, tzinfo=UTC), "PAY_3", "BILL_AMT3", "PAY_AMT3"),
    Month("August", datetime(2005, 8, 31, tzinfo=UTC), "PAY_2", "BILL_AMT2", "PAY_AMT2"),
    Month("September", datetime(2005, 9, 30, tzinfo=UTC), "PAY_0", "BILL_AMT1", "PAY_AMT1"),
]
DEFAULT: Final = "default.payment.next.month"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A month's model on clients it was not fitted on.

    Attributes:
        month: The month's name.
        as_of: The moment of the scores.
        model: The model's name.
        version: Its registered version.
        clients: How many were scored.
        bads: How many of them defaulted in October.
        auc: Area under the ROC curve.
        auc_low: Lower end of its 95 % interval (DeLong).
        auc_high: Upper end.
        gini: 2·AUC − 1.
        ks: The largest distance between the score distributions of bads and goods.
        brier: Mean squared error of the PD.
        slope: Calibration slope; 1 is perfect.
        intercept: Calibration intercept beside that slope; 0 is perfect.
    """

    month: str
    as_of: str
    model: str
    version: int
    clients: int
    bads: int
    auc: float
    auc_low: float
    auc_high: float
    gini: float
    ks: float
    brier: float
    slope: float
    intercept: float


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Two ways to the same values.

    Attributes:
        compared: How many values were compared.
        differing: How many differ.
    """

    compared: int
    differing: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found.

    Attributes:
        clients: How many clients there are.
        events: How many events each stream took.
        months: One row a month, measured out of fold.
        features: Features read as each month arrived, against those the models were fitted on: bit for bit.
        served: PDs served from states as events arrive, against those of the same models on the dataset's rows.
        time_axis: What the moments mean.
        seconds: How long the run took.
    """

    clients: int
    events: dict[str, int]
    months: list[Row]
    features: Check
    served: Check
    time_axis: str
    seconds: float


class CannotRun(Exception):
    """The data is not there, it is other data, or the project directory is used already."""


def find_file(folder: Path) -> Path:
    """Return the data file in a folder, after checking that it is the one this example is about.

    Raises:
        CannotRun: It is not there, or its content differs.
    """
    looked = [folder / FILE, folder / DATA.name / FILE]
    path = next((one for one in looked if one.is_file()), None)
    if path is None:
        raise CannotRun(
            f'There is no {FILE} in {folder}. It is the UCI data set "Default of Credit Card Clients" (CC BY 4.0), DOI {DOI}: '
            f"take it from https://doi.org/{DOI} as CSV and name its folder with --data DIR."
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise CannotRun(
            f"{path} is not the file that this example's figures are about: its SHA-256 is {found}, expected {SHA256}. "
            f"Take the data anew from https://doi.org/{DOI}."
        )
    return path


def read_clients(path: Path, count: int | None = None) -> pl.DataFrame:
    """Return the clients, all or evenly spaced `count` of them; SEX, AGE, MARRIAGE and EDUCATION are not even read.

    Args:
        path: The data file.
        count: How many clients, or None for all.
    """
    amounts = [column for month in MONTHS for column in (month.late, month.bill, month.paid)]
    columns = ["ID", "LIMIT_BAL", *amounts, DEFAULT]
    # Whole numbers, though the file writes some as 1e+05.
    clients = pl.read_csv(path, columns=columns, schema_overrides=dict.fromkeys(columns, pl.Float64)).cast(pl.Int64).sort("ID")
    if count is not None and count < len(clients):
        clients = clients.gather_every(len(clients) // count).head(count)
    return clients.with_columns(pl.col("ID").cast(pl.String).alias("client"))


def statements(clients: pl.DataFrame, month: Month) -> pl.DataFrame:
    """Return a month's statements as events."""
    return clients.select(
        _event_id(month),
        "client",
        pl.lit(month.end).alias("month_end"),
        pl.col(month.bill).alias("bill"),
        pl.col("LIMIT_BAL").alias("limit"),
        pl.col(month.late).alias("months_late"),
    )


def payments(clients: pl.DataFrame, month: Month) -> pl.DataFrame:
    """Return as events what was paid in a month."""
    return clients.select(_event_id(month), "client", pl.lit(month.end).alias("month_end"), pl.col(month.paid).alias("amount"))


def defaults(clients: pl.DataFrame) -> pl.DataFrame:
    """Return October's defaults as events."""
    return clients.filter(pl.col(DEFAULT) == 1).select(pl.format("{}-2005-10", "client").alias("id"), "client", pl.lit(DEFAULTED).alias("at"))


def _event_id(month: Month) -> pl.Expr:
    return pl.format("{}-{}", "client", pl.lit(f"{month.end:%Y-%m}")).alias("id")


def take_in(project: Project, frame: pl.DataFrame, stream: str) -> int:
    """Import events that were known at their event time, and return how many.

    Raises:
        CannotRun: Not all were accepted.
    """
    answer = project.import_history(frame, stream, known_after="0s")
    if answer.accepted != len(frame):
        raise CannotRun(f"Only {answer.accepted} of {len(frame)} {stream} events were accepted: {answer.refused[:1]}.")
    return answer.accepted


def arrive(project: Project, clients: pl.DataFrame, month: Month) -> pl.DataFrame:
    """Take in one month, then return the features of every client at its end, as the product knows them by then."""
    begun = time.perf_counter()
    take_in(project, statements(clients, month), "Statement")
    take_in(project, payments(clients, month), "Paid")
    asked = clients.select("client", pl.lit(month.end).alias("as_of"))
    read = project.features(asked, model=month.model)
    note(f"{month.name}: {2 * len(clients):,} events in, {len(read):,} clients read ({time.perf_counter() - begun:.1f} s)")
    return read


def learn(project: Project, month: Month) -> TrainingRun:
    """Train the model of a month on October's defaults and register it."""
    begun = time.perf_counter()
    run = project.train(month.model)
    metrics = run.report.metrics
    note(f"{month.model}: AUC {metrics.auc:.4f} out of fold ({time.perf_counter() - begun:.1f} s)")
    return run


def row_of(month: Month, run: TrainingRun) -> Row:
    """Return a month's figures."""
    metrics = run.report.metrics
    return Row(
        month=month.name,
        as_of=f"{month.end:%Y-%m-%dT%H:%M:%SZ}",
        model=month.model,
        version=0 if run.registered is None else run.registered.version,
        clients=metrics.rows,
        bads=metrics.bads,
        auc=metrics.auc,
        auc_low=metrics.auc_low,
        auc_high=metrics.auc_high,
        gini=metrics.gini,
        ks=metrics.ks,
        brier=metrics.brier,
        slope=metrics.slope,
        intercept=metrics.intercept,
    )


def matrix(rows: pl.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    """Return columns as float64[rows, len(names)], NaN for null."""
    return np.column_stack([rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in names])


def compare_features(read: pl.DataFrame, run: TrainingRun) -> Check:
    """Compare what was read when the month arrived with what the model was fitted on, in every bit."""
    names = run.artefact.features
    fitted = run.rows.with_columns(pl.col("entity").str.strip_prefix("client:").alias("client"))
    both = read.select("client", *names).join(fitted.select("client", *names), on="client", suffix=".fitted", validate="1:1")
    ours = matrix(both, names).view(np.int64)
    theirs = matrix(both, [f"{name}.fitted" for name in names]).view(np.int64)
    return Check(compared=read.height * len(names), differing=int((ours != theirs).sum()) + (read.height - both.height) * len(names))


def serve(place: Path, clients: pl.DataFrame, runs: Sequence[TrainingRun], read: Sequence[pl.DataFrame], progress: Progress) -> Check:
    """Serve the registered models on events as they arrive, and compare each score with the model's on the dataset's row.

    Args:
        place: A project directory that holds the models and no events.
        clients: The clients to serve.
        runs: The months' models.
        read: The months' features; they are the dataset's.
        progress: Told what takes long.
    """
    compared = differing = 0
    with open_project(place, progress=progress) as project:
        for month, run, features in zip(MONTHS, runs, read, strict=True):
            take_in(project, statements(clients, month), "Statement")
            take_in(project, payments(clients, month), "Paid")
            rows = clients.select("client").join(features, on="client", maintain_order="left", validate="1:1")
            expected = Scorer(run.artefact).score_many(matrix(rows, run.artefact.features))
            for client, margin, pd in zip(rows["client"], expected.margin.tolist(), expected.pd.tolist(), strict=True):
                answer = project.score(client, month.model, as_of=month.end)
                compared += 1
                differing += answer.pd != pd or abs(answer.margin - margin) > 1e-12
    return Check(compared=compared, differing=differing)


def make_place(root: Path) -> Path:
    """Make a project directory of this example's project file and settings.

    Raises:
        CannotRun: The directory is used already.
    """
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise CannotRun(f"{root} is not empty. Name a new folder with --keep DIR: a run begins with an empty log.")
    for name in ("taiwan.py", "streamgauge.toml"):
        shutil.copyfile(HERE / name, root / name)
    return root


def run_example(clients: pl.DataFrame, place: Path, serving: Path) -> Outcome:
    """Run the whole example.

    Args:
        clients: The clients, from `read_clients`.
        place: The project directory, from `make_place`.
        serving: Another, where its models are served.
    """
    begun = time.perf_counter()
    with Progress() as progress:
        with open_project(place, progress=progress) as project:
            read = [arrive(project, clients, month) for month in MONTHS]
            bads = take_in(project, defaults(clients), "Default")
            note(f"October: {bads:,} defaults")
            runs = [learn(project, month) for month in MONTHS]
            models = project.place.models
        features = [compare_features(one, run) for one, run in zip(read, runs, strict=True)]
        shutil.copytree(models, serving / models.relative_to(place.resolve()))
        sample = clients.gather_every(max(1, len(clients) // SAMPLE)).head(SAMPLE)
        served = serve(serving, sample, runs, read, progress)
    return Outcome(
        clients=len(clients),
        events={"Statement": len(MONTHS) * len(clients), "Paid": len(MONTHS) * len(clients), "Default": bads},
        months=[row_of(month, run) for month, run in zip(MONTHS, runs, strict=True)],
        features=Check(compared=sum(one.compared for one in features), differing=sum(one.differing for one in features)),
        served=served,
        time_axis=AXIS,
        seconds=round(time.perf_counter() - begun, 1),
    )


def show(outcome: Outcome) -> None:
    """Print the outcome as a table."""
    columns = ("month end", "clients#", "bads#", "AUC#", "Gini#", "KS#", "Brier#", "slope#", "intercept#")
    rows = [
        (
            one.as_of[:10],
            one.clients,
            one.bads,
            *(f"{value:.4f}" for value in (one.auc, one.gini, one.ks, one.brier, one.slope, one.intercept)),
        )
        for one in outcome.months
    ]
    show_table(columns, rows, title="UCI Taiwan: default in October 2005, scored at each month's end, out of fold")
    say(outcome.time_axis)
    say(f"{outcome.features.compared:,} features read on arrival, {outcome.features.differing} differ from those learnt from.")
    say(f"{outcome.served.compared:,} scores served on arrival, {outcome.served.differing} differ from the dataset's.")
    say(f"{sum(outcome.events.values()):,} events of {outcome.clients:,} clients in {outcome.seconds:.0f} s.")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} clients are none; give at least 1")
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; return the exit code: 0, 1 where a check found differences, 2 where the data is not there."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None, epilog=AXIS)
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help=f"the folder of {FILE} (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the project, a new folder, to look at it with streamgauge")
    parser.add_argument("--clients", type=_count, metavar="N", help="only N clients, evenly spaced (default: all)")
    given: Any = parser.parse_args(arguments)
    try:
        clients = read_clients(find_file(given.data), given.clients)
        with tempfile.TemporaryDirectory() as folder:
            place = make_place(given.keep or Path(folder) / "taiwan")
            outcome = run_example(clients, place, make_place(Path(folder) / "serving"))
    except (CannotRun, StreamgaugeError) as error:
        note(str(error))
        return 2
    if given.keep:
        note(f"The project is in {given.keep}: look at it with streamgauge models --project {given.keep}")
    if given.json:
        show_json(outcome)
    else:
        show(outcome)
    return 1 if outcome.features.differing or outcome.served.differing else 0


if __name__ == "__main__":
    sys.exit(main())
