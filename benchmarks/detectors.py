"""How well and how fast the face detectors find the faces of whole photos.

    python -m benchmarks.detectors ../shared/data/scenes [--calls 50]

The folder of scenes holds photos and `boxes.csv` (file, mask, left, top, right, bottom in pixels).
A face found counts as right if it shares 0.4 of its union with a true box; better scores choose
first, and each true box is taken once. The boxes of the scenes leave out many a small face in the
background, which counts as a false find, so the precision is a lower bound.
"""

import argparse
import csv
import statistics
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from maskwise.data.boxes import overlap
from maskwise.data.faces import DETECTORS, Detector, Face, open_detector
from maskwise.errors import DetectorError
from maskwise.labels import MaskState
from maskwise.transforms.decode import decode_photo
from maskwise.transforms.preprocess import Box

EDGES = ("left", "top", "right", "bottom")
SHARE = 0.4
FRAME = (640, 480)
WARM_UP = 5


@dataclass(frozen=True)
class Truth:
    """A face that a person has boxed."""

    state: str
    box: Box


def read_truth(scenes: Path) -> dict[Path, list[Truth]]:
    """Return the true faces of each photo."""
    truth = defaultdict(list)
    with (scenes / "boxes.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            left, top, right, bottom = (float(row[edge]) for edge in EDGES)
            truth[scenes / row["file"]].append(Truth(row["mask"], (left, top, right, bottom)))
    return truth


def matched(faces: list[Face], truth: list[Truth]) -> list[Truth]:
    """Return the true faces that were found; the faces come with the best score first."""
    free, found = list(truth), []
    for face in faces:
        best = max(free, key=lambda true: overlap(face.box, true.box), default=None)
        if best and overlap(face.box, best.box) >= SHARE:
            free.remove(best)
            found.append(best)
    return found


def milliseconds(detector: Detector, frame: Image.Image, calls: int) -> float:
    """Return the median time of a call, once the detector is warm."""
    times = []
    for _ in range(WARM_UP + calls):
        start = time.perf_counter()
        detector.find(frame)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[WARM_UP:])


def row(name: str, truth: dict[Path, list[Truth]], calls: int) -> str:
    """Return one detector's line of the table."""
    photos = {path: decode_photo(path) for path in truth}
    detector = open_detector(name)
    faces = {path: detector.find(photo) for path, photo in photos.items()}
    found = [true for path in truth for true in matched(faces[path], truth[path])]
    hits = Counter(true.state for true in found)
    all_faces = Counter(true.state for boxes in truth.values() for true in boxes)
    recalls = [hits[state] / all_faces[state] for state in MaskState]
    precision = len(found) / sum(map(len, faces.values()))
    frame = ImageOps.fit(next(iter(photos.values())), FRAME)
    times = [milliseconds(open_detector(name, threads), frame, calls) for threads in (1, 2)]
    shares = [*recalls, len(found) / all_faces.total(), precision]
    return "".join(
        [f"{name:<12}", *(f"{share:>11.3f}" for share in shares), *(f"{ms:>10.1f}" for ms in times)]
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--calls", type=int, default=50)
    options = parser.parse_args()
    truth = read_truth(options.scenes)
    boxes = sum(map(len, truth.values()))
    print(f"{len(truth)} photos with {boxes} faces; milliseconds for a frame {FRAME[0]}x{FRAME[1]}")
    names = [*(str(state) for state in MaskState), "all", "precision"]
    columns = [*(f"{name:>11}" for name in names), "  1 thread", " 2 threads"]
    print(f"{'recall of':<12}" + "".join(columns))
    for name in DETECTORS:
        try:
            print(row(name, truth, options.calls), flush=True)
        except DetectorError as error:
            print(f"{name:<12} {error}")


if __name__ == "__main__":
    main()
