"""P4's peer, Feast's online store and the same ONNX model behind FastAPI: ``feast_server.py MODEL ROWS.npz PORT``.

A request names an account; its row is read with `get_online_features` from SQLite, as Feast's own feature server does,
and scored. It is not `feast serve`, for the model has to be scored in the same request, which Feast's own server does
not do. The rows were computed and written elsewhere; nothing is recorded.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import uvicorn
from fastapi import FastAPI
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64
from pydantic import BaseModel


class Request(BaseModel):
    """One account."""

    account: int


class Answer(BaseModel):
    """Its raw margin and the PD before calibration."""

    margin: float
    probability: float


def store_of(rows: np.ndarray, folder: Path) -> tuple[FeatureStore, list[str]]:
    """Return a store that holds a row of features for each account, and their names."""
    names = [f"f{number}" for number in range(rows.shape[1])]
    frame = pd.DataFrame(rows, columns=names).assign(
        account=np.arange(len(rows)), event_timestamp=pd.Timestamp.now(tz="UTC")
    )
    frame.to_parquet(folder / "rows.parquet")
    store = FeatureStore(
        config=RepoConfig(
            project="decisions",
            provider="local",
            registry=str(folder / "registry.db"),
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )
    )
    account = Entity(name="account", join_keys=["account"], value_type=ValueType.INT64)
    view = FeatureView(
        name="account",
        entities=[account],
        ttl=None,
        schema=[Field(name="account", dtype=Int64), *(Field(name=name, dtype=Float64) for name in names)],
        source=FileSource(path=str(folder / "rows.parquet"), timestamp_field="event_timestamp"),
    )
    store.apply([account, view])
    store.write_to_online_store("account", frame)
    return store, names


def app_of(model: str, rows: np.ndarray, folder: Path) -> FastAPI:
    """Return the application that serves a model file over rows of features."""
    store, names = store_of(rows, folder)
    features = [f"account:{name}" for name in names]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    app = FastAPI()

    @app.post("/account")
    async def score(request: Request) -> Answer:
        found = store.get_online_features(features, [{"account": request.account}]).to_dict()
        row = np.array([[math.nan if found[name][0] is None else found[name][0] for name in names]])
        margin = float(session.run(["margin"], {"features": row})[0][0])
        return Answer(margin=margin, probability=1 / (1 + math.exp(-margin)))

    return app


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        app = app_of(sys.argv[1], np.load(sys.argv[2])["rows"], Path(place))
        uvicorn.run(app, port=int(sys.argv[3]), loop="uvloop", http="httptools", access_log=False)
