"""P1's peer, PySpark Structured Streaming: ``python p1_spark.py EVENTS_PORT SCORES_PORT``, in the peers' environment.

Lines of JSON come over one socket; each micro-batch parses them, adds each to its account's running count and sum of
amounts, by a built-in stateful aggregation, and writes the accounts' new values to another socket. That is the least
that a fresh feature needs: no windows, no model, and nothing is durable.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f


def main(events_port: int, scores_port: int) -> None:
    """Stream until the source closes."""
    cores = len(os.sched_getaffinity(0))
    session = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", str(cores))
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    scores = socket.create_connection(("127.0.0.1", scores_port))
    lines = session.readStream.format("socket").option("host", "127.0.0.1").option("port", events_port).load()
    event = f.from_json("value", "account STRING, amount DOUBLE").alias("event")
    totals = lines.select(event).groupBy("event.account").agg(f.count("*").alias("n"), f.sum("event.amount"))

    def publish(batch: DataFrame, _number: int) -> None:
        rows = batch.collect()
        if rows:
            scores.sendall("".join(f"{row['account']} {row['n']}\n" for row in rows).encode())

    with tempfile.TemporaryDirectory() as folder:
        query = (
            totals.writeStream.outputMode("update")
            .foreachBatch(publish)
            .option("checkpointLocation", folder)
            .trigger(processingTime="0 seconds")
            .start()
        )
        scores.sendall(b"ready 0\n")
        query.awaitTermination()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
