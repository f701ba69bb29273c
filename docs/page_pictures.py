"""Makes docs/images/page.png and docs/images/checkpoint.png: the page, and drawn people.

python docs/page_pictures.py
"""

import io
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

from PIL import Image

from maskwise.data.drawn.people import plan_person
from maskwise.data.drawn.photos import plan_photo
from maskwise.data.drawn.scene import draw_person
from maskwise.labels import MaskState
from maskwise.serving.screenshot import (
    browser_program,
    checkpoint_picture,
    opened,
    photos_picture,
    served,
)

IMAGES = Path(__file__).resolve().parent / "images"
SHOWN = ((1, MaskState.WEAR), (3, MaskState.INCORRECT), (0, MaskState.NOT_WEAR))
SCENES = ((1, ()), (3, SHOWN[:1]), (2, ()), (9, SHOWN[:2]))
RATE = 30


def person(number: int, state: MaskState) -> Image.Image:
    """Return a photo of a drawn person."""
    plan = plan_photo(0, number, "train", 6, state)
    return draw_person(plan_person(0, number, "train"), plan)


def main() -> None:
    """Take both pictures."""
    program = browser_program()
    if program is None:
        sys.exit("there is no Chromium: make browser")
    with tempfile.TemporaryDirectory() as folder, served(None) as address:
        place = Path(folder)
        photos = []
        for number, state in SHOWN:
            photos.append(place / f"{state}.jpg")
            person(number, state).save(photos[-1], quality=92)
        with (place / "door.mjpeg").open("wb") as film:
            for seconds, people in SCENES:
                picture = Image.new("RGB", (640, 360), (120, 130, 140))
                for column, (number, state) in enumerate(people):
                    shown = person(number, state).resize((240, 320))
                    picture.paste(shown, ((column + 1) * 640 // (len(people) + 1) - 120, 40))
                frame = io.BytesIO()
                picture.save(frame, "JPEG", quality=90)
                film.write(frame.getvalue() * seconds * RATE)
        # the page shows the name of the camera, which is the film's path
        with chdir(place), opened(program, address, Path("door.mjpeg")) as page:
            photos_picture(page, photos, IMAGES / "page.png")
            checkpoint_picture(page, 2, IMAGES / "checkpoint.png")
    for name in ("page.png", "checkpoint.png"):
        with Image.open(IMAGES / name) as taken:
            taken.convert("P", palette=Image.Palette.ADAPTIVE).save(IMAGES / name, optimize=True)


if __name__ == "__main__":
    main()
