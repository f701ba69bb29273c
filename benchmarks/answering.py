"""How soon the model that comes along gives its first answer, and how fast it is then, on one core.

    python -m benchmarks.answering [PHOTO]

Without a photo it is a drawn person of 384x512 pixels. First answers are those of `maskwise
predict PHOTO`, a new process each; the others are of one process that has answered before.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import maskwise
from maskwise.data.samples import write_samples

_FIRST: Final = 5
_WARM: Final = 200


def main(words: Sequence[str] | None = None) -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photo", type=Path, nargs="?")
    options = parser.parse_args(words)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        photo = options.photo or _drawn(Path(folder))
        command = [sys.executable, "-m", "maskwise", "predict", str(photo)]
        first = _seconds(lambda: subprocess.run(command, capture_output=True, check=True), _FIRST)
        content = photo.read_bytes()
    model = maskwise.load()
    frames = model.frame_photo(content)
    found = "a face is found" if not frames[0].missed else "no face is found"
    whole = _seconds(lambda: model.predict(content), _WARM)
    answer = _seconds(lambda: model.answer_frames(["photo"], [frames]), _WARM)
    print(f"{photo.name} ({found}), medians on one core")
    print(f"first answer of a new process: {first:.2f} s")
    print(f"then: {1000 * whole:.1f} ms a face, with decoding the file and finding the face")
    print(f"of which the answer itself: {1000 * answer:.1f} ms")


def _drawn(folder: Path) -> Path:
    write_samples(folder, people=1, eval_people=1)
    return next((folder / "train" / "images").rglob("normal.jpg"))


def _seconds(action: Callable[[], object], times: int) -> float:
    """Return the median time of an action, a first one left out."""
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


if __name__ == "__main__":
    main()
