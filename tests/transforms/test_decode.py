"""Every kind of photo decodes to the right pixels, or to a PhotoError that names it."""

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from maskwise.errors import PhotoError
from maskwise.transforms.decode import MAX_PIXELS, decode_photo

Pixels = NDArray[np.uint8]
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(height: int = 32, width: int = 48) -> Pixels:
    """Return an image with a colour of its own in each quarter: red, green over blue, white."""
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = WHITE
    return pixels


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(photo: object) -> Pixels:
    image = decode_photo(photo)  # type: ignore[arg-type]
    assert image.mode == "RGB"
    return np.asarray(image)


def noise(seed: int = 0, height: int = 40, width: int = 50) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Return an EXIF block of (tag, type, count, value) entries."""
    body = b"".join(
        struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
        for tag, kind, count, value in entries
    )
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + b"\0\0\0\0"


def claiming_png(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that claims a size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data


# the EXIF standard: which side of the picture the first row and the first column hold
ORIENTATIONS = {
    1: lambda p: p,  # top, left
    2: lambda p: p[:, ::-1],  # top, right
    3: lambda p: p[::-1, ::-1],  # bottom, right
    4: lambda p: p[::-1],  # bottom, left
    5: lambda p: p.transpose(1, 0, 2),  # left, top
    6: lambda p: p[:, ::-1].transpose(1, 0, 2),  # right, top
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: lambda p: p[::-1].transpose(1, 0, 2),  # left, bottom
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_is_applied_once(orientation: int) -> None:
    upright = corners()
    stored = Image.fromarray(np.ascontiguousarray(ORIENTATIONS[orientation](upright)))
    tag = exif((0x112, 3, 1, struct.pack("<H", orientation)))
    once = decode_photo(encoded(stored, "PNG", exif=tag))
    np.testing.assert_array_equal(np.asarray(once), upright)
    np.testing.assert_array_equal(decoded(once), upright)
    jpeg = decoded(encoded(stored, "JPEG", quality=95, subsampling=0, exif=tag)).astype(int)
    assert jpeg.shape == upright.shape
    assert np.abs(jpeg - upright)[4:12, 4:20].max() < 8  # inside the red quarter


def test_unknown_orientation_leaves_the_photo_as_it_is() -> None:
    tag = exif((0x112, 3, 1, struct.pack("<H", 9)))
    content = encoded(Image.fromarray(corners()), "PNG", exif=tag)
    np.testing.assert_array_equal(decoded(content), corners())


@pytest.mark.parametrize(
    "entry",
    [(0x11A, 2, 2, b"x\0"), (0x11A, 7, 2, b"xy"), (0x100, 5, 1, b"\0"), (0x112, 2, 2, b"x\0")],
    ids=["resolution a word", "resolution bytes", "width a ratio", "orientation a word"],
)
def test_odd_exif_does_not_spoil_a_photo(entry: tuple[int, int, int, bytes]) -> None:
    turned = (0x112, 3, 1, struct.pack("<H", 6))
    entries = sorted({each[0]: each for each in (turned, entry)}.values())
    content = encoded(Image.fromarray(corners()), "JPEG", exif=exif(*entries))
    image = decode_photo(content)
    assert image.size == ((48, 32) if entry[0] == 0x112 else (32, 48))


def test_cmyk_jpeg_has_its_colours() -> None:
    image = Image.new("RGB", (32, 32), (200, 30, 60)).convert("CMYK")
    pixels = decoded(encoded(image, "JPEG", quality=95)).astype(int)
    assert np.abs(pixels - (200, 30, 60)).max() <= 8


def test_16_bit_grey_png_is_scaled_to_8_bits() -> None:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    pixels = decoded(encoded(Image.fromarray(values * 257), "PNG"))
    np.testing.assert_array_equal(pixels, np.repeat(values[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (20, 20), 77), (77, 77, 77)),
        (Image.new("1", (20, 20), 1), WHITE),
        (Image.new("LA", (20, 20), (100, 128)), (177, 177, 177)),
        (Image.new("LA", (20, 20), (100, 255)), (100, 100, 100)),
        (Image.new("RGBA", (20, 20), (0, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (20, 20), (255, 0, 0, 127)), (255, 128, 128)),
        (Image.new("RGBA", (20, 20), (9, 8, 7, 255)), (9, 8, 7)),
    ],
    ids=["grey", "bits", "LA half", "LA full", "RGBA none", "RGBA half", "RGBA full"],
)
def test_modes_over_white(image: Image.Image, expected: tuple[int, int, int]) -> None:
    for photo in (image, encoded(image, "PNG")):
        pixels = decoded(photo).astype(int)
        assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_transparent_palette_entry_is_white(transparency: int | bytes) -> None:
    image = Image.new("P", (32, 20), 0)
    image.putpalette([10, 200, 30, 90, 0, 0])
    image.paste(1, (16, 0, 32, 20))
    pixels = decoded(encoded(image, "PNG", transparency=transparency))
    assert (pixels[:, :16] == (10, 200, 30)).all()
    assert (pixels[:, 16:] == WHITE).all()


def test_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (24, 20), colour) for colour in (RED, BLUE, GREEN)]
    path = tmp_path / "moving.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50)
    assert (decoded(path) == RED).all()
    with Image.open(path) as opened:
        opened.seek(2)
        assert (decoded(opened) == RED).all()


def test_paths_bytes_images_and_arrays_give_the_same(tmp_path: Path) -> None:
    image = noise()
    path = tmp_path / "photo.png"
    image.save(path)
    for photo in (path, str(path), path.read_bytes(), image, np.asarray(image)):
        np.testing.assert_array_equal(decoded(photo), np.asarray(image))


def test_arrays_of_every_kind() -> None:
    rgb = np.asarray(noise(1))
    grey = np.ascontiguousarray(rgb[:, :, 0])
    grey_rgb = np.repeat(grey[:, :, None], 3, axis=2)
    half = np.dstack([rgb, np.zeros_like(grey)])
    cases: list[tuple[NDArray[np.generic], Pixels]] = [
        (rgb.astype(np.uint16) * 257, rgb),
        ((rgb / 255).astype(np.float32), rgb),
        (rgb / 255, rgb),
        (grey, grey_rgb),
        (grey[:, :, None], grey_rgb),
        (grey.astype(np.uint16) * 257, grey_rgb),
        (grey / 255, grey_rgb),
        (half, np.full_like(rgb, 255)),
        (rgb[::-1, ::-1], rgb[::-1, ::-1]),
    ]
    for array, expected in cases:
        np.testing.assert_array_equal(decoded(array), expected)


def test_array_of_the_user_is_not_changed() -> None:
    array = corners()
    decoded(array)
    np.testing.assert_array_equal(array, corners())


JPEG = encoded(noise(), "JPEG")
BAD_FILES = {
    "empty": b"",
    "zeros": bytes(500),
    "text": b"this is a letter, not a photo\n" * 20,
    "cut in the header": JPEG[:40],
    "cut in the pixels": JPEG[: len(JPEG) // 2],
    "png cut": encoded(noise(), "PNG")[:1500],
    "bomb over the limit of Pillow": claiming_png(60_000, 60_000),
    "bomb over our limit": claiming_png(15_000, 10_000),
    "bomb at which Pillow warns": claiming_png(9_500, 9_500),
    "1x1": encoded(Image.new("RGB", (1, 1)), "PNG"),
    "narrow and thin": encoded(Image.new("1", (20_000, 10)), "PNG"),
    "narrow": encoded(Image.new("1", (2_000, 99)), "PNG"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_file_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "holiday 1.jpg"
    path.write_bytes(BAD_FILES[kind])
    for photo in (path, str(path)):
        with pytest.raises(PhotoError) as raised:
            decode_photo(photo)
        assert str(path) in str(raised.value)
        assert len(str(raised.value)) < len(str(path)) + 120
    with pytest.raises(PhotoError, match="the photo"):
        decode_photo(BAD_FILES[kind])


def test_limits_are_told_in_pixels() -> None:
    assert 15_000 * 10_000 > MAX_PIXELS > 9_500 * 9_500
    with pytest.raises(PhotoError, match="15000x10000 is more than 100,000,000 pixels"):
        decode_photo(claiming_png(15_000, 10_000))
    with pytest.raises(PhotoError, match="more than 100,000,000 pixels"):
        decode_photo(claiming_png(60_000, 60_000))


def test_smallest_and_narrowest_photos_still_pass() -> None:
    assert decode_photo(Image.new("RGB", (16, 16))).size == (16, 16)
    assert decode_photo(Image.new("RGB", (16, 320))).size == (16, 320)


def test_missing_path_and_folder_are_named(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.jpg", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(PhotoError, match=words) as raised:
            decode_photo(path)
        assert str(path) in str(raised.value)


def test_path_with_a_nul_is_a_photo_error() -> None:
    with pytest.raises(PhotoError):
        decode_photo("a\0b.jpg")


@pytest.mark.parametrize(
    "array",
    [
        np.full((20, 20, 3), 1.5),
        np.full((20, 20, 3), -0.1),
        np.full((20, 20), np.nan),
        np.full((20, 20, 3), 200.0),
        np.zeros((20, 20, 2), dtype=np.uint8),
        np.zeros((1, 20, 20, 3), dtype=np.uint8),
        np.zeros(400, dtype=np.uint8),
        np.zeros((20, 20, 3), dtype=np.int64),
        np.zeros((20, 20), dtype=bool),
        np.zeros((0, 0, 3), dtype=np.uint8),
        np.zeros((0, 20, 3), dtype=np.float32),
        np.zeros((5, 5, 3), dtype=np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_wrong_array_is_a_photo_error(array: NDArray[np.generic]) -> None:
    with pytest.raises(PhotoError):
        decode_photo(array)


def test_image_cut_short_but_opened_before_is_a_photo_error() -> None:
    with Image.open(io.BytesIO(JPEG[: len(JPEG) // 2])) as image, pytest.raises(PhotoError):
        decode_photo(image)


KINDS = ["JPEG", "PNG", "GIF", "BMP", "WEBP"] + ["AVIF"] * features.check("avif")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes_give_a_photo_or_a_photo_error(kind: str) -> None:
    image = noise().quantize(16) if kind == "GIF" else noise()
    whole = encoded(image, kind, **({"exif": exif((0x112, 3, 1, b"\6"))} if kind != "GIF" else {}))
    draw = random.Random(7)
    failed = 0
    for _ in range(250):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 2, 5))):
            damaged[draw.randrange(min(len(whole), 400))] = draw.randrange(256)
        try:
            decode_photo(bytes(damaged))  # a warning would be an error, too
        except PhotoError:
            failed += 1
    assert failed > 5


def test_programs_are_run_for_no_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = tmp_path / "called"
    for name in ("gs", "gswin64c"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ntouch {called}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(PhotoError, match="not an image that can be read"):
        decode_photo(eps)
    assert not called.exists()


def test_a_jpeg_file_of_very_many_scans_is_refused() -> None:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(file, "JPEG", progressive=True)
    content = file.getvalue()
    assert 1 < content.count(b"\xff\xda") < 20
    assert decode_photo(content).size == (64, 64)
    last = content.rindex(b"\xff\xda")
    many = content[:last] + 200 * content[last:-2] + content[-2:]
    with pytest.raises(PhotoError, match="more than 100 scans"):
        decode_photo(many)


def test_deep_grey_is_scaled_strip_by_strip() -> None:
    values = np.arange(700 * 40, dtype=np.uint16).reshape(700, 40) * 2
    image = Image.fromarray(values)
    assert image.mode == "I;16"
    grey = np.asarray(decode_photo(image))[..., 0]
    assert np.array_equal(grey, (values / 65535 * 255).astype(np.uint8))
