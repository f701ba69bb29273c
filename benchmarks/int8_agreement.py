"""Whether an int8 file predicts on this processor as exact arithmetic does, and how fast.

    python -m benchmarks.int8_agreement MODEL.onnx MANIFEST [--photos 1200]

Exact is the same file with every product computed in floats (`session.disable_quant_qdq`). Files
with 8-bit weights differ on x86-64 processors without VNNI, files with 7-bit weights nowhere.
Times are of one thread, by turns, medians of five rounds.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions

from maskwise.config import CacheSettings
from maskwise.data.cache import open_frames
from maskwise.data.frames import photo_refs
from maskwise.data.framing import Framer
from maskwise.data.manifest import read_manifest
from maskwise.labels import TASKS
from maskwise.models.int8_support import adds_products_exactly
from maskwise.models.onnx_file import FRAMES, exact_options, parse_info

ROUNDS: Final = 5
TIMED: Final = 64
"""Photos of a round."""
BATCH: Final = 64


def session(path: Path, exact: bool) -> InferenceSession:
    """Return a file as this processor runs it, or computed exactly."""
    options = exact_options() if exact else SessionOptions()
    options.intra_op_num_threads = 1
    return InferenceSession(path, options, providers=["CPUExecutionProvider"])


def predicted(run: InferenceSession, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.int64]]:
    """Return the predicted class of each task for face crops (n, height, width, 3)."""
    parts = np.array_split(pixels, -(-len(pixels) // BATCH))
    found = [run.run([*TASKS], {FRAMES: part}) for part in parts]
    return {
        task: np.concatenate([one[place] for one in found]).argmax(axis=1)
        for place, task in enumerate(TASKS)
    }


def seconds(run: InferenceSession, pixels: NDArray[np.uint8]) -> float:
    """Return the seconds that single photos take."""
    began = time.perf_counter()
    for place in range(len(pixels)):
        run.run(None, {FRAMES: pixels[place : place + 1]})
    return time.perf_counter() - began


def main(words: Sequence[str] | None = None) -> None:
    """Print agreement and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("model", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--photos", type=int, default=1200)
    options = parser.parse_args(words)
    usual, exact = session(options.model, exact=False), session(options.model, exact=True)
    info = parse_info(options.model, usual.get_modelmeta().custom_metadata_map)
    frame = read_manifest(options.manifest)
    frame = frame.sample(min(options.photos, len(frame)), seed=0)
    frames = open_frames(photo_refs(frame), Framer(info.preprocess), CacheSettings())
    pixels = next(iter(frames.batches([np.arange(len(frame))])))
    vnni = "yes, or not needed" if adds_products_exactly() else "no"
    print(f"{len(frame)} photos; weights of {info.weight_bits or 8} bits; VNNI: {vnni}")
    ours, theirs = predicted(usual, pixels), predicted(exact, pixels)
    for task in TASKS:
        print(f"{task}: {(ours[task] == theirs[task]).mean():.4f} as exact arithmetic")
    some = pixels[:TIMED]
    times = [(seconds(usual, some), seconds(exact, some)) for _ in range(ROUNDS)]
    usual_ms, exact_ms = (
        statistics.median(part) * 1000 / len(some) for part in zip(*times, strict=True)
    )
    print(f"{usual_ms:.2f} ms a photo, exact {exact_ms:.2f} ms")


if __name__ == "__main__":
    main()
