"""Photo files that lack or carry what no pixel depends on, and files that are really cut short."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from maskwise.errors import PhotoError
from maskwise.transforms.decode import decode_photo
from maskwise.transforms.photo_bytes import MOST_CHUNKS, PNG, without_needless_chunks

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
    assert len(without_needless_chunks(content)) < len(content)
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
        assert without_needless_chunks(content) == content
    large = PngImagePlugin.PngInfo()
    large.add_itxt("XML:com.adobe.xmp", LARGE, zip=True)
    assert decode_photo(saved("PNG", pnginfo=large)).size == PHOTO.size
