"""The example on real clients: features as pandas computes them, scores that improve, plain words without the data."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest

from examples.taiwan import run
from streamgauge.app.owner import Owner
from streamgauge.app.project import Project, open_project
from streamgauge.app.settings import find_place
from streamgauge.definitions.loader import load_project
from streamgauge.features.state import EntityState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SCRIPT: Final = run.HERE / "run.py"
REAL: Final = (run.DATA / run.FILE).is_file()
needs_data = pytest.mark.skipif(not REAL, reason=f"{run.FILE} is not beside the checkout (DOI {run.DOI})")
# The file's own order: September first. Written out again, so that a month taken for another is noticed.
NEWEST_FIRST: Final = (9, 8, 7, 6, 5, 4)
END: Final = ("2005-09-30", "2005-08-31", "2005-07-31", "2005-06-30", "2005-05-31", "2005-04-30")
LATE: Final = ("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")
BILLS: Final = ("BILL_AMT1", "BILL_AMT2", "BILL_AMT3", "BILL_AMT4", "BILL_AMT5", "BILL_AMT6")
PAID: Final = ("PAY_AMT1", "PAY_AMT2", "PAY_AMT3", "PAY_AMT4", "PAY_AMT5", "PAY_AMT6")
NAMES: Final = (
    *(f"bill_mean_last_{n}" for n in (1, 3, 6)),
    "bill_std",
    *(f"paid_last_{n}" for n in (1, 3, 6)),
    *(f"late_max_last_{n}" for n in (1, 3, 6)),
    "late_mean",
    "late",
    "since_late",
    "limit",
    "usage",
)


def drawn_clients(count: int, seed: int) -> pl.DataFrame:
    """Clients with the file's columns and nobody's data: bills overpaid or all equal, some never late."""
    rng = np.random.default_rng(seed)
    columns = {
        "ID": np.arange(1, count + 1),
        "LIMIT_BAL": rng.integers(1, 100, count) * 10_000,
    }
    for month in run.MONTHS:
        columns[month.late] = np.where(np.arange(count) % 5 == 0, -1, rng.integers(-2, 10, count))
        columns[month.bill] = np.where(np.arange(count) % 7 == 0, 999_999, rng.integers(-5_000, 1_700_000, count))
        columns[month.paid] = rng.integers(0, 900_000, count)
    columns[run.DEFAULT] = (columns["PAY_0"] + rng.normal(0, 4, count) > 4).astype(np.int64)
    return pl.DataFrame(columns).with_columns(pl.col("ID").cast(pl.String).alias("client"))


def computed(clients: pl.DataFrame, month: run.Month) -> pd.DataFrame:
    """Every feature of `taiwan.py` at a month's end, straight from the file's columns.

    Whole dollars in place of cents change no bit of a sum or a mean, which divide exact numbers either way. A standard
    deviation is written in cents, because a root follows.
    """
    table = clients.to_pandas().set_index("client")
    newest = NEWEST_FIRST.index(month.end.month)
    bill, late, paid = (table[list(columns[newest:])] for columns in (BILLS, LATE, PAID))
    cents = bill * 100
    n = 6 - newest
    spread = n * (cents**2).sum(axis=1) - cents.sum(axis=1) ** 2
    out: dict[str, Any] = {}
    for last in (1, 3, 6):
        out[f"bill_mean_last_{last}"] = bill.iloc[:, :last].mean(axis=1)
        out[f"paid_last_{last}"] = paid.iloc[:, :last].sum(axis=1)
        out[f"late_max_last_{last}"] = late.iloc[:, :last].max(axis=1)
    out["bill_std"] = np.sqrt(spread.astype(np.float64)) / (n * 100)
    out["late_mean"] = late.mean(axis=1)
    out["late"] = (late > 0).sum(axis=1)
    out["since_late"] = np.select(
        [late[column] > 0 for column in late],
        [(pd.Timestamp(END[newest]) - pd.Timestamp(end)).total_seconds() for end in END[newest:]],
        np.nan,
    )
    out["limit"] = table["LIMIT_BAL"]
    out["usage"] = bill.iloc[:, 0] / table["LIMIT_BAL"]
    return pd.DataFrame(out, index=table.index).astype(np.float64)[list(NAMES)]


def deviation(clients: pl.DataFrame, month: run.Month) -> NDArray[np.float64]:
    """The bills' standard deviation as pandas computes it, in its own order of operations."""
    known = list(BILLS[NEWEST_FIRST.index(month.end.month) :])
    found: NDArray[np.float64] = clients.to_pandas()[known].std(axis=1, ddof=0).to_numpy()
    return found


def project_in(folder: Path) -> Project:
    return open_project(run.make_place(folder))


def served_features(project: Project) -> set[str]:
    return {feature.name for feature in project.spec.models["taiwan-09"].features}


def assert_equal_to_pandas(clients: pl.DataFrame, folder: Path) -> None:
    with project_in(folder) as project:
        assert served_features(project) == {f"Client.{name}" for name in NAMES}
        for month in run.MONTHS:
            read = run.arrive(project, clients, month)
            ours = run.matrix(read, [f"Client.{name}" for name in NAMES])
            theirs = computed(clients, month)
            assert read["client"].to_list() == theirs.index.to_list()
            # In every bit, nulls included: both write NaN for null, and neither has a −0.
            differing = (ours.view(np.int64) != theirs.to_numpy(copy=True).view(np.int64)).sum(axis=0)
            assert dict(zip(NAMES, differing.tolist(), strict=True)) == dict.fromkeys(NAMES, 0), month.name
            # pandas subtracts a rounded mean from each bill first; we never round before the root.
            np.testing.assert_allclose(
                ours[:, NAMES.index("bill_std")], deviation(clients, month), rtol=1e-12, atol=1e-9, err_msg=month.name
            )


def test_the_features_of_drawn_clients_are_what_pandas_computes(tmp_path: Path) -> None:
    assert_equal_to_pandas(drawn_clients(400, seed=5), tmp_path)


@needs_data
@pytest.mark.slow
def test_the_features_of_all_clients_at_each_month_end_are_what_pandas_computes(tmp_path: Path) -> None:
    clients = run.read_clients(run.find_file(run.DATA))
    assert (len(clients), clients[run.DEFAULT].sum()) == (30_000, 6_636)
    assert_equal_to_pandas(clients, tmp_path)


def test_a_later_month_changes_no_feature_of_an_earlier_one(tmp_path: Path) -> None:
    clients = drawn_clients(50, seed=6)
    with project_in(tmp_path) as project:
        before = [run.arrive(project, clients, month) for month in run.MONTHS]
        run.take_in(project, run.defaults(clients), "Default")
        for month, read in zip(run.MONTHS, before, strict=True):
            asked = clients.select("client", pl.lit(month.end).alias("as_of"))
            assert project.features(asked, model=month.model).equals(read)


@needs_data
@pytest.mark.e2e
@pytest.mark.slow
def test_the_score_improves_as_events_arrive_and_is_served_as_it_was_learnt(tmp_path: Path) -> None:
    kept = tmp_path / "kept"

    ended = started("--json", "--clients", "3000", "--keep", kept)

    assert ended.returncode == 0, ended.stderr
    outcome = msgspec.json.decode(ended.stdout, type=run.Outcome)  # JSON is all that stands on standard output
    auc = [month.auc for month in outcome.months]
    assert auc == sorted(auc)
    assert 0.63 < auc[0] < 0.71
    assert auc[-1] > 0.75
    assert [month.model for month in outcome.months] == [f"taiwan-0{number}" for number in range(4, 10)]
    assert {(month.clients, month.bads) for month in outcome.months} == {(3_000, outcome.events["Default"])}
    assert all(month.auc_low < month.auc < month.auc_high for month in outcome.months)
    assert all(month.gini == 2 * month.auc - 1 and 0 < month.ks < 1 for month in outcome.months)
    assert all(0.1 < month.brier < 0.18 for month in outcome.months)
    assert all(0.8 < month.slope < 1.2 and abs(month.intercept) < 0.2 for month in outcome.months)
    assert outcome.features == run.Check(compared=3_000 * 6 * len(NAMES), differing=0)
    assert outcome.served == run.Check(compared=6 * run.SAMPLE, differing=0)
    assert "day of the month is not in the data" in outcome.time_axis
    assert_kept_by_states(kept, run.read_clients(run.find_file(run.DATA), 3_000).head(run.SAMPLE))


def assert_kept_by_states(place: Path, clients: pl.DataFrame) -> None:
    """The states themselves, not the log behind them, hold what the scores of each month come from."""
    with Owner.open(find_place(place)) as owner:
        for month in run.MONTHS:
            model = owner.live.models[month.model]
            states = owner.engine.applier.store.get_many([f"client:{client}" for client in clients["client"]])
            at = int(month.end.timestamp()) * 1_000_000
            rows = [EntityState.decode(model.bound.layout, data or b"").compute(model.bound, at) for data in states]
            names = [name.removeprefix("Client.") for name in model.loaded.program.names]
            expected = computed(clients, month)[names].to_numpy(copy=True)
            assert np.array_equal(np.array(rows).view(np.int64), expected.view(np.int64))


def test_a_value_that_differs_is_counted(tmp_path: Path) -> None:
    clients = drawn_clients(200, seed=7)
    with project_in(tmp_path) as project:
        read = [run.arrive(project, clients, month) for month in run.MONTHS][-1]
        run.take_in(project, run.defaults(clients), "Default")
        trained = run.learn(project, run.MONTHS[-1])

    assert run.compare_features(read, trained) == run.Check(compared=200 * len(NAMES), differing=0)
    changed = read.with_columns(pl.col("Client.limit") + pl.when(pl.col("client") == "9").then(1.0).otherwise(0.0))
    assert run.compare_features(changed, trained) == run.Check(compared=200 * len(NAMES), differing=1)
    assert run.compare_features(read.head(199), trained).differing == 0


def test_no_protected_attribute_enters(tmp_path: Path) -> None:
    columns = ["ID", "LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE"]
    columns += [name for month in run.MONTHS for name in (month.late, month.bill, month.paid)] + [run.DEFAULT]
    row: dict[str, object] = dict.fromkeys(columns, 1) | {"PAY_AMT5": "1e+05"}
    path = tmp_path / run.FILE
    pl.DataFrame([{name: str(value) for name, value in row.items()}]).write_csv(path)

    clients = run.read_clients(path)

    assert not {"SEX", "AGE", "MARRIAGE", "EDUCATION"} & set(clients.columns)
    assert clients["PAY_AMT5"].to_list() == [100_000]
    fields = {field.name for stream in load_project(run.HERE / "taiwan.py").streams.values() for field in stream.fields}
    assert fields == {"bill", "limit", "months_late", "amount"}


def started(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def without_data(folder: Path) -> None:
    """Leave the folder empty."""


def with_other_data(folder: Path) -> None:
    (folder / run.FILE).write_text("ID,LIMIT_BAL\n1,20000\n")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("prepare", "said"), [(without_data, "There is no UCI_Credit_Card.csv"), (with_other_data, "SHA-256 is")]
)
def test_without_the_right_data_the_example_says_where_to_get_it(
    prepare: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    prepare(tmp_path)

    ended = started("--data", tmp_path, "--json")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert run.DOI in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_directory_that_is_used_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(run.CannotRun, match="not empty"):
        run.make_place(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
