"""What one would write first: a FastAPI route that decodes a photo and asks a torch model.

MODEL=runs/NAME/best uvicorn benchmarks.load.plain:app

With MIRROR=1 it answers by the photo and its mirror image, as files made with --mirror do.
"""

import io
import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from fastapi import FastAPI, UploadFile
from fastapi.params import File
from PIL import Image

from maskwise.labels import TASKS
from maskwise.models.bundle import load_bundle
from maskwise.models.outputs import task_log_probabilities
from maskwise.transforms.network_input import network_input, to_planes

MIRROR = os.environ.get("MIRROR") == "1"
app = FastAPI()
model, info = load_bundle(Path(os.environ["MODEL"]))


@app.post("/v1/classify")
def classify(photos: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Answer one cut out face."""
    size = info.preprocess.frame_size
    image = Image.open(io.BytesIO(photos.file.read())).convert("RGB").resize(size)
    photo = torch.from_numpy(np.array(image))
    frames = torch.stack([photo, photo.flip(1)] if MIRROR else [photo])
    with torch.inference_mode():
        outputs = model(network_input(to_planes(frames), info.preprocess))
    found = task_log_probabilities(outputs)
    return {
        task: dict(zip(map(str, words), found[task].exp().mean(dim=0).tolist(), strict=True))
        for task, words in TASKS.items()
    }
