"""Photo files that lack or carry what no pixel depends on, and files that are really cut short."""

import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.soak.bombs import MOST_BYTES, bombs
from PIL import Image, ImageOps, PngImagePlugin

from maskwise.errors import PhotoError
from maskwise.transforms.decode import USUAL_FORMATS, decode_photo
from maskwise.transforms.photo_bytes import bare_photo
from maskwise.transforms.png_bytes import MOST_CHUNKS, PNG

RANDOM = np.random.default_rng(0)
PHOTO = Image.fromarray(RANDOM.integers(0, 256, (30, 24, 3), dtype=np.uint8)).resize((72, 90))
LARGE = "x" * 3_000_000


def saved(kind: str, photo: Image.Image = PHOTO, **options: Any) -> bytes:
    file = io.BytesIO()
    photo.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_may_lack_its_last_marker_and_nothing_else(mode: str, progressive: bool) -> None:
    whole = saved("JPEG", PHOTO.convert(mode), progressive=progressive)
    expected = decode_photo(whole).tobytes()
    for cut in (1, 2):
        assert decode_photo(whole[:-cut]).tobytes() == expected
    for cut in (*range(3, 40), *range(40, len(whole) - 400, 3)):
        with pytest.raises(PhotoError, match=r"cut short|damaged|not an image"):
            decode_photo(whole[:-cut])


def text_chunks(**options: Any) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in options.items():
        info.add_text(key, value, zip=True)
    return info


@pytest.mark.parametrize(
    "content",
    [
        saved("PNG", pnginfo=text_chunks(parameters=LARGE)),
        saved("PNG", pnginfo=text_chunks(**{f"t{n}": LARGE[:900_000] for n in range(80)})),
        saved("PNG", icc_profile=bytes(3_000_000)),
        saved("PNG", PHOTO.quantize(16), transparency=0, pnginfo=text_chunks(a=LARGE)),
    ],
)
def test_large_texts_and_profiles_of_a_png_are_left_out(content: bytes) -> None:
    assert len(bare_photo(content)) < len(content)
    assert decode_photo(content).size == PHOTO.size


def test_what_pixels_depend_on_stays() -> None:
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    turned = saved("PNG", exif=exif, pnginfo=text_chunks(a=LARGE))
    assert decode_photo(turned).size == PHOTO.size[::-1]
    clear = saved("PNG", PHOTO.quantize(16), transparency=0)
    texts = saved("PNG", PHOTO.quantize(16), transparency=0, pnginfo=text_chunks(a="b"))
    assert decode_photo(texts).tobytes() == decode_photo(clear).tobytes()
    with pytest.raises(PhotoError):
        decode_photo(saved("PNG")[:-200])


def test_chunks_without_end_are_refused() -> None:
    chunk = b"\0\0\0\0abCd\0\0\0\0"
    header = saved("PNG")[len(PNG) :][:25]
    with pytest.raises(PhotoError, match="more than 100,000 chunks"):
        decode_photo(PNG + header + chunk * (MOST_CHUNKS + 1))


def test_a_file_that_is_larger_than_photos_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as file:
        file.truncate(6_000_000_000)
    with pytest.raises(PhotoError, match=r"sparse\.jpg: 6,000,000,000 bytes are more than"):
        decode_photo(path)


@pytest.mark.parametrize("interval", [1, 4])
def test_a_jpeg_in_parts_that_is_cut_is_refused(interval: int) -> None:
    whole = saved("JPEG", restart_marker_blocks=interval)
    assert decode_photo(whole).size == PHOTO.size
    for cut in range(3, len(whole) - 400):
        with pytest.raises(PhotoError):
            decode_photo(whole[:-cut])


def test_texts_that_turn_a_photo_are_kept() -> None:
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    for packed in (False, True):
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp, zip=packed)
        content = saved("PNG", pnginfo=info)
        assert decode_photo(content).size == decode_photo(Image.open(io.BytesIO(content))).size
        assert b"xmpmeta" in bare_photo(content) or packed
    large = PngImagePlugin.PngInfo()
    large.add_itxt("XML:com.adobe.xmp", LARGE, zip=True)
    assert decode_photo(saved("PNG", pnginfo=large)).size == PHOTO.size


def test_what_follows_a_jpeg_is_no_scan_of_it() -> None:
    """Phones append films of some megabytes, in which any bytes stand."""
    whole = saved("JPEG", progressive=True)
    film = np.random.default_rng(0).integers(0, 256, 9_000_000, np.uint8).tobytes()
    assert film.count(b"\xff\xda") > 100
    assert decode_photo(whole + film).tobytes() == decode_photo(whole).tobytes()


def test_segments_that_turn_a_jpeg_or_say_its_colours_stay() -> None:
    exif = Image.Exif()
    exif[274] = 6
    options = {"exif": exif, "comment": b"x" * 60_000, "icc_profile": bytes(200_000)}
    large = saved("JPEG", **options)
    assert len(large) > 260_000 > 20_000 > len(bare_photo(large))
    assert decode_photo(large).size == PHOTO.size[::-1]
    assert decode_photo(large).tobytes() == decode_photo(saved("JPEG", exif=exif)).tobytes()
    for mode in ("CMYK", "L"):
        photo = saved("JPEG", PHOTO.convert(mode))
        opened = Image.open(io.BytesIO(photo)).convert("RGB")
        assert decode_photo(photo).tobytes() == opened.tobytes()
    filled = large[:2] + b"\xff" * 9 + b"\xff\0" * 9 + large[2:]
    assert decode_photo(filled).tobytes() == decode_photo(large).tobytes()
    for junk in (b"x", b"junk!", b"\xff\x00\x12\x34"):  # decoders pass over it
        assert decode_photo(large[:2] + junk + large[2:]).tobytes() == decode_photo(large).tobytes()


def segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def test_of_several_metadata_the_decoder_chooses() -> None:
    """As Pillow does: the last XMP, and parts of EXIF that stand in several segments."""
    plain, exif = saved("JPEG"), Image.Exif()
    exif[274], exif[270] = 6, "x" * 300
    whole, xmp = exif.tobytes().removeprefix(b"Exif\0\0"), b"http://ns.adobe.com/xap/1.0/\0"
    for more in (
        segment(xmp + b"<a/>") + segment(xmp + b'<a tiff:Orientation="6"/>'),
        segment(b"Exif\0\0") + segment(b"Exif\0\0" + whole),
        segment(b"Exif\0\0" + whole[:8]) + segment(b"Exif\0\0" + whole[8:]),
    ):
        photo = plain[:2] + more + plain[2:]
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(photo)))
        assert decode_photo(photo).size == turned.size == PHOTO.size[::-1]


def test_a_jpeg_that_is_cut_anywhere_is_told() -> None:
    whole = saved("JPEG")
    for end in range(2, len(whole) - 400):
        with pytest.raises(PhotoError):
            decode_photo(whole[:end])


def test_what_follows_a_png_is_no_chunk_of_it() -> None:
    whole, exif = saved("PNG"), Image.Exif()
    exif[274] = 6
    turning = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    for more in (bytes(1_300_000), turning * 200):
        assert decode_photo(whole + more).tobytes() == PHOTO.tobytes()
    many = whole[:33] + chunk(b"tEXt", b"XML:com.adobe.xmp\0<a/>") * 120 + whole[33:]
    assert decode_photo(many).tobytes() == PHOTO.tobytes()


def test_every_control_of_a_gif_counts() -> None:
    clear = PHOTO.quantize(16)
    whole = saved("GIF", clear, transparency=3)
    place = whole.index(b"!\xf9\x04")
    more = whole[: place + 8] + b"!\xf9\x04\0\0\0\0\0" + whole[place + 8 :]
    opened = Image.open(io.BytesIO(more)).convert("RGBA")
    white = Image.new("RGBA", opened.size, "white")
    expected = Image.alpha_composite(white, opened).convert("RGB")
    assert decode_photo(more).tobytes() == expected.tobytes()


def test_a_bitmap_of_white_space_is_no_header() -> None:
    photo = b"P4\n1000 1000\n" + b" " * 125_000
    assert decode_photo(photo).size == (1000, 1000)


def test_of_a_gif_the_first_picture_is_decoded() -> None:
    clear = PHOTO.quantize(16)
    clear.info["transparency"] = 3
    others = [PHOTO.rotate(90 * turn).quantize(16) for turn in range(1, 4)]
    first = decode_photo(saved("GIF", clear))
    options = {"save_all": True, "append_images": others, "comment": b"x" * 1000}
    film = saved("GIF", clear, **options)
    assert decode_photo(film).tobytes() == first.tobytes()
    assert len(bare_photo(film)) < len(film) / 2
    with pytest.raises(PhotoError):
        decode_photo(saved("GIF", clear)[:-300])


def test_pixels_of_a_png_in_many_chunks_are_joined() -> None:
    whole = saved("PNG")
    place = whole.index(b"IDAT")
    size = int.from_bytes(whole[place - 4 : place], "big")
    pixels = whole[place + 4 : place + 4 + size]
    small = b"".join(
        chunk(b"IDAT", pixels[start : start + 7]) for start in range(0, len(pixels), 7)
    )
    many = whole[: place - 4] + small + whole[place + 8 + size :]
    assert bare_photo(many) == bare_photo(whole)
    assert decode_photo(many).tobytes() == PHOTO.tobytes()
    for cut in (200, 2000):
        with pytest.raises(PhotoError, match="cut short"):
            decode_photo(many[:-cut])


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


@pytest.mark.parametrize(("name", "make"), list(bombs()))
def test_no_file_that_is_small_in_pixels_takes_long(name: str, make: Callable[[], bytes]) -> None:
    """Processor time, which others on the machine do not change much; the worst took nine seconds.

    Memory is that of the interpreter alone; what decoders take beside it is seen by `make soak`.
    """
    bomb = make()
    assert len(bomb) <= MOST_BYTES + 100_000
    tracemalloc.start()
    began = time.thread_time()
    with suppress(PhotoError):
        assert max(decode_photo(bomb, 25_000_000, USUAL_FORMATS).size) <= 5000
    seconds = time.thread_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 4, name
    assert peak < 6 * MOST_BYTES, name
