"""Makes docs/images/people.jpg: drawn people, and what the model of `make demo` answers.

python docs/people_picture.py demo
"""

import csv
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from maskwise.labels import TASKS, age_group_text

COLUMNS, ROWS = 7, 2
WIDTH, HEIGHT, TEXT = 192, 256, 46
COLOURS = {"wear": "#2e7d4f", "incorrect": "#b26a00", "not_wear": "#b3261e"}


def pick(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return photos of all mask states in turn, in the order of the file."""
    by_state = [[row for row in rows if row["mask"] == state] for state in TASKS["mask"]]
    turns = [row for group in zip(*by_state, strict=False) for row in group]
    return turns[: COLUMNS * ROWS]


def main() -> None:
    """Draw the sheet from a finished demo folder."""
    demo = Path(sys.argv[1])
    with (demo / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = pick(list(csv.DictReader(file)))
    sheet = Image.new("RGB", (COLUMNS * WIDTH, ROWS * (HEIGHT + TEXT)), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for place, row in enumerate(rows):
        left, top = place % COLUMNS * WIDTH, place // COLUMNS * (HEIGHT + TEXT)
        with Image.open(demo / "samples" / "eval" / "images" / row["ImageID"]) as photo:
            sheet.paste(photo.resize((WIDTH, HEIGHT)), (left, top))
        state = f"{row['mask'].replace('_', ' ')}  {float(row['p_' + row['mask']]):.0%}"
        pen.text((left + 8, top + HEIGHT + 4), state, COLOURS[row["mask"]], font)
        person = f"{row['gender']}, {age_group_text(row['age_group'])}"
        pen.text((left + 8, top + HEIGHT + 23), person, "#24303d", font)
    sheet.save(Path(__file__).parent / "images" / "people.jpg", quality=88)


if __name__ == "__main__":
    main()
