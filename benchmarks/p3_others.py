"""P3's peers of an environment of their own: ``python p3_others.py NAME EVENTS.parquet OUT.parquet REPETITIONS``.

Spark computes the features by range windows, from a cached table, on as many threads as there are cores. Feast cannot
compute windows: it is given the finished features and joins them to each event's account and moment, which is what a
training set costs there on top. Both print the seconds of each repetition as JSON, after one that is not counted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DAY_US = 86_400_000_000
WINDOWS_DAYS = (7, 30)
CARD = 0
"""The number of the kind `card`: `benchmarks.payments.KINDS`."""


def spark(source: Path, target: Path) -> Callable[[], object]:
    """Range windows over accounts in order of event time."""
    from pyspark.sql import SparkSession, Window
    from pyspark.sql import functions as f

    cores = len(os.sched_getaffinity(0))
    session = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "8g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", str(cores))
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    payments = session.read.parquet(str(source)).cache()
    payments.count()
    amount, card = f.col("amount"), f.col("kind") == CARD
    columns = [f.col("account"), f.col("at")]
    for days in WINDOWS_DAYS:
        rows = Window.partitionBy("account").orderBy("at").rangeBetween(1 - days * DAY_US, 0)
        columns += [
            f.count(amount).over(rows).alias(f"count_{days}d"),
            f.sum(amount).over(rows).alias(f"total_{days}d"),
            f.avg(amount).over(rows).alias(f"mean_{days}d"),
            f.min(amount).over(rows).alias(f"least_{days}d"),
            f.max(amount).over(rows).alias(f"most_{days}d"),
            f.stddev_pop(amount).over(rows).alias(f"std_{days}d"),
            f.count(f.when(card, amount)).over(rows).alias(f"card_count_{days}d"),
            f.coalesce(f.sum(f.when(card, amount)).over(rows), f.lit(0)).alias(f"card_total_{days}d"),
        ]
    features = payments.select(*columns)
    features.orderBy("account", "at").coalesce(1).write.mode("overwrite").parquet(str(target))
    return lambda: features.write.format("noop").mode("overwrite").save()


def feast(source: Path, target: Path) -> Callable[[], object]:
    """`get_historical_features` over a file of finished features."""
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, Int64

    given = pd.read_parquet(source)
    names = [name for name in given.columns if name not in {"account", "at", "amount", "kind"}]
    folder = target.with_name("feast")
    folder.mkdir()
    given["event_timestamp"] = pd.to_datetime(given["at"], unit="us", utc=True)
    given[["account", "event_timestamp", *names]].to_parquet(folder / "features.parquet")
    config = RepoConfig(
        project="payments",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    account = Entity(name="account", join_keys=["account"], value_type=ValueType.INT64)
    view = FeatureView(
        name="spending",
        entities=[account],
        ttl=None,
        schema=[Field(name="account", dtype=Int64), *(Field(name=name, dtype=Float64) for name in names)],
        source=FileSource(path=str(folder / "features.parquet"), timestamp_field="event_timestamp"),
    )
    store.apply([account, view])
    asked = given[["account", "event_timestamp", "at"]]

    def joined() -> Any:  # noqa: ANN401 - pandas has no types here
        return store.get_historical_features(asked, [f"spending:{name}" for name in names]).to_df()

    found = joined().sort_values(["account", "at"])
    found[["account", "at", *names]].to_parquet(target)
    return joined


PEERS: dict[str, Callable[[Path, Path], Callable[[], object]]] = {"spark": spark, "feast": feast}


def main(name: str, source: str, target: str, repetitions: str) -> None:
    """Run one peer."""
    work = PEERS[name](Path(source), Path(target))
    seconds = []
    for _ in range(int(repetitions) + (name == "spark")):  # Feast's answer that was written has warmed it up
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds[-int(repetitions) :]))


if __name__ == "__main__":
    main(*sys.argv[1:])
