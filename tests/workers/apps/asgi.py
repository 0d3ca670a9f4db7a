"""A FastAPI app with an observed model: called on the event loop and on its threads; also a program of its own."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI

import mlobs

mlobs.configure(export_interval=60, flush_timeout=20)
app = FastAPI()


@mlobs.observe(model="m", version="1")
def predict(rows: Any) -> float:
    return 0.5


@app.get("/thread")
def on_a_thread() -> int:
    predict(np.ones((1, 3)))
    return os.getpid()


@app.get("/loop")
async def on_the_loop() -> int:
    predict(np.ones((1, 3)))
    return os.getpid()


if __name__ == "__main__":
    uvicorn.run(app, fd=int(sys.argv[1]), access_log=False)
