"""Photo files of up to 20 MB with few pixels and much work for a decoder, or with far too many."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from PIL import Image

MOST_BYTES: Final = 19_900_000
"""The service takes requests of 20 MB."""
_PNG: Final = b"\x89PNG\r\n\x1a\n"


def _jpeg(width: int = 64, height: int = 64, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "gray").save(file, "JPEG", **options)
    return file.getvalue()


def _saved(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _chunk(kind: bytes, content: bytes = b"") -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _png(*chunks: bytes, width: int = 64, height: int = 64) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = _chunk(b"IDAT", zlib.compress(bytes((1 + 3 * width) * height), 9))
    return b"".join((_PNG, header, *chunks, pixels, _chunk(b"IEND")))


def _filled(part: bytes, taken: int = 2000) -> bytes:
    """Return as many copies of a part as fit a request beside so many bytes."""
    return part * ((MOST_BYTES - taken) // len(part))


def exif_of_many_tags(size: int) -> bytes:
    """Return metadata in which every tag claims all of its bytes as its value."""
    entries = min(65_000, (size - 64) // 12)
    tags = b"".join(
        struct.pack("<HHII", 40_000 + number % 25_000, 7, size - 16, 8) for number in range(entries)
    )
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", entries) + tags).ljust(size, b"\0")


def ppm_comment() -> bytes:
    """A comment that is read byte by byte."""
    return b"P6\n#" + _filled(b"x") + b"\n64 64\n255\n" + bytes(64 * 64 * 3)


def ppm_plain() -> bytes:
    """Pixels in words."""
    side = 1800
    return b"P3\n%d %d\n255\n" % (side, side) + b"7 " * (3 * side * side)


def jpeg_empty_comments() -> bytes:
    """Comments without a letter."""
    photo = _jpeg()
    return photo[:2] + _filled(_segment(0xFE, b"")) + photo[2:]


def jpeg_fill_bytes() -> bytes:
    """Bytes that may stand before any marker."""
    photo = _jpeg()
    return photo[:2] + _filled(b"\xff") + photo[2:]


def jpeg_stuffed_bytes() -> bytes:
    """Bytes between markers that decoders pass over."""
    photo = _jpeg()
    return photo[:2] + _filled(b"\xff\0") + photo[2:]


def jpeg_many_tags() -> bytes:
    """Metadata in several segments, which decoders join."""
    photo, exif = _jpeg(), exif_of_many_tags(500_000)
    parts = [exif[start : start + 65_000] for start in range(0, len(exif), 65_000)]
    return photo[:2] + b"".join(_segment(0xE1, b"Exif\0\0" + part) for part in parts) + photo[2:]


def jpeg_many_pictures() -> bytes:
    """A list of pictures whose tags claim all of its bytes."""
    photo = _jpeg()
    listing = _segment(0xE2, b"MPF\0" + exif_of_many_tags(65_000))
    return photo[:2] + listing + photo[2:]


def jpeg_scans() -> bytes:
    """As many scans of a large photo as are taken."""
    photo = _jpeg(5000, 5000, progressive=True)
    end = photo.rindex(b"\xff\xd9")
    last = photo[photo.rindex(b"\xff\xda") : end]
    return photo[:end] + last * 60 + photo[end:]


def png_chunks() -> bytes:
    """Empty chunks that nobody knows."""
    return _png(_filled(_chunk(b"teSt")))


def png_tiny_pixels() -> bytes:
    """Pixels in chunks of a byte."""
    pixels = np.random.default_rng(0).integers(0, 255, (760, 681 * 3 + 1), np.uint8)
    pixels[:, 0] = 0
    packed = zlib.compress(pixels.tobytes(), 0)[: MOST_BYTES // 13 - 100]
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 681, 760, 8, 2, 0, 0, 0))
    return b"".join(
        (_PNG, header, *(_chunk(b"IDAT", bytes([byte])) for byte in packed), _chunk(b"IEND"))
    )


def png_many_tags() -> bytes:
    """Metadata whose tags claim all of its bytes."""
    return _png(_chunk(b"eXIf", exif_of_many_tags(500_000)))


def png_profile() -> bytes:
    """A colour profile that unpacks to 200 MB."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1_000_000)) for _ in range(200)) + packer.flush()
    return _png(_chunk(b"iCCP", b"a\0\0" + packed))


def png_large() -> bytes:
    """98 megapixels of one colour."""
    return _png(width=9900, height=9900)


def png_texts() -> bytes:
    """Texts of a megabyte that may say which way a photo is up."""
    packed = zlib.compress(b"exif" + bytes(1_000_000), 9)
    return _png(_filled(_chunk(b"zTXt", b"Raw profile type exif\0\0" + packed)))


def bmp_runs() -> bytes:
    """Rows of a single pixel and an end, of 25 megapixels."""
    side = 5000
    rows = b"\x01\x07\0\0" * side + b"\0\x01"
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(rows), 0, 0, 256, 0)
    head = struct.pack("<2sIHHI", b"BM", 54 + 1024 + len(rows), 0, 0, 54 + 1024)
    return head + info + bytes(1024) + rows


def jpeg_tail_of_scans() -> bytes:
    """A photo without tables or an end, and starts of scans behind it."""
    photo = _jpeg()
    frame = photo.index(b"\xff\xc0")
    return photo[:2] + photo[frame : frame + 19] + _filled(b"\xff\xda")


def webp_clear() -> bytes:
    """A photo of 25 megapixels that is clear and turned, in a hundred bytes."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = 6
    clear = Image.new("RGBA", (5000, 5000), (9, 9, 9, 99))
    clear.save(file, "WEBP", lossless=True, exif=exif)
    return file.getvalue()


def gif_stray_byte() -> bytes:
    """Comments behind a byte that belongs to no block."""
    photo = _saved(Image.new("P", (64, 64)), "GIF")
    image = photo.index(b"\x2c", 13 + 3 * (2 << (photo[10] & 7)) if photo[10] & 128 else 13)
    return photo[:image] + b"\0" + _filled(b"\x21\xfe\x01x\0") + photo[image:]


def gif_comments() -> bytes:
    """Comments of a letter."""
    photo = _saved(Image.new("P", (64, 64)), "GIF")
    image = photo.index(b"\x2c", 13 + 3 * (2 << (photo[10] & 7)) if photo[10] & 128 else 13)
    return photo[:image] + _filled(b"\x21\xfe\x01x\0") + photo[image:]


def gif_comment_blocks() -> bytes:
    """One comment of many parts."""
    photo = _saved(Image.new("P", (64, 64)), "GIF")
    image = photo.index(b"\x2c", 13 + 3 * (2 << (photo[10] & 7)) if photo[10] & 128 else 13)
    return photo[:image] + b"\x21\xfe" + _filled(b"\xff" + b"x" * 255) + b"\0" + photo[image:]


def gif_frames() -> bytes:
    """A great many frames."""
    photo = _saved(Image.new("P", (16, 16)), "GIF")
    image = photo.index(b"\x2c", 13 + 3 * (2 << (photo[10] & 7)) if photo[10] & 128 else 13)
    return photo[:image] + _filled(photo[image:-1]) + b"\x3b"


def ico_with_large_picture() -> bytes:
    """An icon of 256 pixels, it says, with 98 megapixels in it."""
    inner = png_large()
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(inner), 22) + inner


def tiff_tags() -> bytes:
    """Tags that claim all bytes as their value."""
    size = MOST_BYTES
    entries = 65_000
    tags = b"".join(
        struct.pack("<HHII", number + 500, 7, size - 100, 8) for number in range(entries)
    )
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", entries) + tags).ljust(size, b"\0")


def jp2_boxes() -> bytes:
    """Empty boxes."""
    return (
        b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x14ftypjp2 \0\0\0\0jp2 " + _filled(b"\0\0\0\x08free")
    )


def webp_large() -> bytes:
    """A canvas of 268 megapixels."""
    photo = _saved(Image.new("RGB", (64, 64)), "WEBP")
    canvas = b"VP8X" + struct.pack("<IB3x", 10, 0) + (16_382).to_bytes(3, "little") * 2
    body = b"WEBP" + canvas + photo[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_many_tags() -> bytes:
    """Metadata whose tags claim all of its bytes."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "WEBP", exif=exif_of_many_tags(500_000))
    return file.getvalue()


def bombs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the name of each, and what makes it."""
    for make in (
        ppm_comment, ppm_plain, jpeg_empty_comments, jpeg_fill_bytes, jpeg_stuffed_bytes,
        jpeg_many_tags, jpeg_many_pictures, jpeg_scans, png_chunks, png_tiny_pixels, png_many_tags,
        png_profile, png_large, gif_comments, gif_comment_blocks, gif_frames,
        png_texts, bmp_runs, jpeg_tail_of_scans, webp_clear,
        gif_stray_byte, ico_with_large_picture, tiff_tags, jp2_boxes, webp_large, webp_many_tags,
    ):  # fmt: skip
        yield make.__name__.replace("_", " "), make
