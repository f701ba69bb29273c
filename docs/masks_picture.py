"""Makes docs/images/masks.jpg: drawn people, bare and with masks drawn on them.

python docs/masks_picture.py [FOLDER OF YUNET'S FILE]
"""

import sys
import tempfile
from pathlib import Path

import polars as pl
from PIL import Image

from maskwise.data.derived import derive_set
from maskwise.data.faces import best_detector
from maskwise.data.masks import MaskStep, person_folders
from maskwise.data.options import ImportOptions
from maskwise.data.samples import write_samples
from maskwise.data.sheets import Tile, write_sheet
from maskwise.data.sources import import_source

PEOPLE, WORN, WRONG = 6, 4, 5


def main() -> None:
    """Draw sample people, draw masks on them, and lay both out, a person a row."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as name:
        samples, out = Path(name) / "samples", Path(name) / "masked"
        write_samples(samples, people=PEOPLE, seed=4)
        frame = import_source(samples / "train", ImportOptions("samples"))
        bare = frame.filter(pl.col("mask") == "not_wear")
        step = MaskStep(best_detector(folder), folder, WORN, WRONG, 1, seed=7)
        made = derive_set(bare, out, step, 0, stems=person_folders(bare))
        tiles: list[Tile] = []
        for outcome in made.outcomes:
            *masked, normal = outcome.rows
            for row in (normal, *masked):
                drawn = row["drawn"]
                caption = f"{drawn['kind']}: {drawn['place']}" if drawn["kind"] else "bare"
                with Image.open(out / row["photo"]) as photo:
                    middle = photo.crop((52, 92, 332, 442)).convert("RGB")
                tiles.append((middle, caption))
        target = Path(__file__).parent / "images" / "masks.jpg"
        write_sheet(target, tiles, columns=1 + WORN + WRONG, side=150)


if __name__ == "__main__":
    main()
