"""P4's peer: the same ONNX model behind a plain FastAPI endpoint, which is given the features and records nothing."""

from __future__ import annotations

import math
import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Request(BaseModel):
    """One row, as the model sees it; null is a null."""

    features: list[float | None]


class Answer(BaseModel):
    """Its raw margin and the PD before calibration."""

    margin: float
    probability: float


def app_of(path: str) -> FastAPI:
    """Return the application that serves a model file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    app = FastAPI()

    @app.post("/score")
    async def score(request: Request) -> Answer:
        row = np.array([[math.nan if value is None else value for value in request.features]])
        margin = float(session.run(["margin"], {"features": row})[0][0])
        return Answer(margin=margin, probability=1 / (1 + math.exp(-margin)))

    return app


if __name__ == "__main__":
    uvicorn.run(app_of(sys.argv[1]), port=int(sys.argv[2]), loop="uvloop", http="httptools", access_log=False)
