"""Feast: it stores, joins and serves features that something else computes; here pandas does, every hour on the hour.

The job takes the newest revision of each id among what has arrived, drops deletes, aggregates the last 24 hours of
every account, and pushes a row for each into the offline and the online store (files and SQLite). A question gets the
newest row by then: online as served, and by `get_historical_features` for a training set.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from answering import EMPTY, Answer, answer
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.data_source import PushMode
from feast.types import Float64, String
from scenario import EVERY, HOUR, START, WINDOW, Scenario

FEATURES = ("count", "total", "mean")
NAMED = [f"day:{name}" for name in FEATURES]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(us: int) -> datetime:
    """Return a moment as Feast takes it."""
    return EPOCH + timedelta(microseconds=us)


def feast(scenario: Scenario) -> tuple[Sequence[Answer], Sequence[Answer]]:
    """Run the hourly job, read online in between, and join for training at last."""
    with tempfile.TemporaryDirectory() as folder:
        store = opened(Path(folder))
        raw = pd.DataFrame(scenario.packed()["arrivals"])
        served: list[Answer] = []
        hour = START + HOUR
        for question in scenario.questions:
            while hour <= question.t:
                store.push("payments", snapshot(raw, hour), to=PushMode.ONLINE_AND_OFFLINE)
                hour += HOUR
            found = store.get_online_features(NAMED, [{"account": question.account}]).to_dict()
            served.append(answered([found[name][0] for name in FEATURES]))
        return served, trained(store, scenario)


def opened(folder: Path) -> FeatureStore:
    """Return a new feature store with the one feature view."""
    offline = folder / "day.parquet"
    rows = snapshot(pd.DataFrame(columns=["known_at", "id", "account", "event_time", "cents", "revision", "op"]), START)
    rows.to_parquet(offline)
    config = RepoConfig(
        project="truth",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    account = Entity(name="account", join_keys=["account"], value_type=ValueType.STRING)
    batch = FileSource(path=str(offline), timestamp_field="event_timestamp", created_timestamp_column="created")
    view = FeatureView(
        name="day",
        entities=[account],
        ttl=timedelta(days=30),
        schema=[Field(name="account", dtype=String), *(Field(name=name, dtype=Float64) for name in FEATURES)],
        source=PushSource(name="payments", batch_source=batch),
    )
    store.apply([account, view])
    return store


def snapshot(raw: pd.DataFrame, hour: int) -> pd.DataFrame:
    """Return the features of every account as of an hour, of what had arrived by then."""
    newest = raw[raw["known_at"] <= hour].sort_values("revision").drop_duplicates("id", keep="last")
    inside = (newest["op"] != "delete") & (newest["event_time"] > hour - WINDOW) & (newest["event_time"] <= hour)
    rows = newest[inside].assign(amount=lambda one: one["cents"].astype(float) / 100).groupby("account")["amount"]
    found = rows.agg(count="count", total="sum", mean="mean").reindex(list(EVERY))
    found = found.fillna({"count": 0.0, "total": 0.0}).astype(float).rename_axis("account").reset_index()
    return found.assign(event_timestamp=pd.Timestamp(moment(hour)), created=pd.Timestamp(moment(hour)))


def trained(store: FeatureStore, scenario: Scenario) -> list[Answer]:
    """Return what a training set holds for the questions."""
    asked = pd.DataFrame(
        {
            "account": [question.account for question in scenario.questions],
            "event_timestamp": pd.to_datetime([moment(question.t) for question in scenario.questions]),
            "place": range(len(scenario.questions)),
        }
    )
    found = store.get_historical_features(asked, NAMED).to_df().sort_values("place")
    return [answered(row) for row in found[list(FEATURES)].to_numpy().tolist()]


def answered(values: Sequence[Any]) -> Answer:
    """Return an answer of what Feast gave; no row is an empty window."""
    count, total, mean = (None if one is None or math.isnan(one) else float(one) for one in values)
    return EMPTY if count is None else (count, total, mean)


if __name__ == "__main__":
    answer(feast)
