"""Contact sheets of many pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwise.data.sheets import contact_sheet, spread, write_sheet

COLOURS = ("red", "green", "blue", "black", "white")


def test_sheet_shows_every_picture_whole_in_order() -> None:
    tiles = [(Image.new("RGB", (200, 100), colour), "") for colour in COLOURS]
    sheet = contact_sheet(tiles, columns=2, side=50)
    assert sheet.size == (100, 150)
    for place, (tile, _) in enumerate(tiles):
        x, y = place % 2 * 50, place // 2 * 50
        for dx, dy in ((1, 14), (25, 25), (48, 35)):  # 50x25 in the middle of its square
            assert sheet.getpixel((x + dx, y + dy)) == tile.getpixel((0, 0))
        for dy in (5, 45):
            assert sheet.getpixel((x + 25, y + dy)) == (245, 245, 245)


def captioned(caption: str, side: int = 60) -> np.ndarray:
    """Return the strip below one picture that has this caption, and above which one has one."""
    tiles = [(Image.new("L", (9, 30)), "x"), (Image.new("RGBA", (30, 9)), caption)]
    sheet = contact_sheet(tiles, columns=1, side=side)
    assert sheet.size == (side, 2 * (side + 14))
    return np.asarray(sheet)[-14:]


def test_captions_stand_below_and_lose_their_end() -> None:
    assert (captioned("") == 245).all()
    strip = captioned("photo-7.jpg of a long name")
    assert (strip < 100).any()
    assert (strip[:, :3] == 245).all()
    assert (strip[:, -3:] == 245).all()
    np.testing.assert_array_equal(strip, captioned("photo-7.jpg of another name"))
    assert (strip != captioned("photo-8.jpg of a long name")).any()
    np.testing.assert_array_equal(captioned("two\nlines"), captioned("two lines"))
    np.testing.assert_array_equal(captioned("W", side=8), captioned("", side=8))


def test_sheet_of_nothing_and_of_the_narrowest() -> None:
    assert contact_sheet([], columns=3, side=20).size == (60, 20)
    assert contact_sheet([(Image.new("RGB", (1, 900)), "")], columns=1, side=40).size == (40, 40)


@pytest.mark.parametrize("name", ["sheet.jpg", "sheet.png", "sheet.PNG"])
def test_sheet_is_written_in_the_kind_of_its_name(name: str, tmp_path: Path) -> None:
    write_sheet(tmp_path / name, [(Image.new("RGB", (50, 50), "red"), "red")], 1, 40)
    with Image.open(tmp_path / name) as sheet:
        assert (sheet.size, sheet.format == "PNG") == ((40, 54), not name.endswith("jpg"))
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_spread_reaches_both_ends() -> None:
    assert spread(100, 5) == [0, 24, 49, 74, 99]
    assert spread(3, 5) == [0, 1, 2]
    assert spread(1, 5) == [0]
    assert spread(0, 5) == []
    assert spread(9, 1) == [0]
