"""Bytes of JPEG files: segments before the pixels, scans, and a last marker that is missing."""

import re
import struct
from collections.abc import Iterator
from typing import Final

JPEG: Final = b"\xff\xd8"
_MOST_SEGMENTS: Final = 20_000
"""Of 64 kB, more than a file may have."""
_MOST_TABLES: Final = 262_144
"""Bytes of all segments that pixels depend on; 2 kB are usual."""
_MOST_SCANS: Final = 100
"""Of which ten are usual: each costs a pass over the whole photo."""
_MARKER: Final = re.compile(rb"\xff[^\0\xff\xd0-\xd7]")
"""A marker; restarts are none."""
_ALONE: Final = frozenset((0x01, 0xD8))
"""Markers without a segment."""
_SCAN, _END = 0xDA, 0xD9
_NEEDED: Final = frozenset((*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xEE))
"""Frames and tables, and Adobe's segment, which says what the colours are."""
_COLOURS: Final = b"JFIF\0"
"""Begins a segment that says so, too."""
_TURNING: Final = (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0")
"""Begins metadata that may say which way a photo is up."""
_MOST_TEXT: Final = 524_288
"""Bytes of such metadata; what comes after is left out."""
_RESTARTS: Final = b"\xff\xdd"
"""Says that the pixels come in parts, with a marker after each."""
_START_OF_SCAN: Final = b"\xff\xda"
_MOST_WORK: Final = 300_000_000
"""Scans times pixels of a photo that is decoded again with another end."""
_END_OF_JPEG: Final = b"\xff\xd9"
_FILLERS: Final = (b"", b"\xaa\x55\x33" * 40)
"""What may stand before the end of a JPEG file: no pixel depends on it, if all are there."""


def bare_jpeg(content: bytes) -> bytes:
    """Return a JPEG file without the segments that no pixel depends on.

    Raises:
        ValueError: It has too many segments, tables or scans.
    """
    kept, tables, texts = [JPEG], 0, 0
    for marker, start, end in _segments(content, len(JPEG)):
        if marker in (_SCAN, _END):
            kept.append(content[start:])
            if marker == _SCAN and content.count(_START_OF_SCAN) > _MOST_SCANS:
                _check_scans(content, start)
            return b"".join(kept)
        if marker in _NEEDED or (marker == 0xE0 and content.startswith(_COLOURS, start + 4)):
            tables += end - start
            if tables > _MOST_TABLES:
                raise ValueError(f"a JPEG file with tables of more than {_MOST_TABLES:,} bytes")
        elif content.startswith(_TURNING, start + 4) and texts + end - start <= _MOST_TEXT:
            texts += end - start
        else:
            continue
        kept.append(content[start:end])
    return b"".join(kept)


def _segments(content: bytes, place: int) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, start and end of each segment, to the first scan or the end.

    Bytes between them are passed over, as decoders do.

    Raises:
        ValueError: There are too many.
    """
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(content, place)
        if found is None:
            return  # cut short: the decoder says so
        start, place = found.span()
        marker = content[start + 1]
        if marker in (_SCAN, _END):
            yield marker, start, len(content)
            return
        if marker not in _ALONE:
            length = content[place : place + 2]
            place += max(struct.unpack(">H", length)[0], 2) if len(length) == 2 else 2
            yield marker, start, place
    raise ValueError(f"a JPEG file of more than {_MOST_SEGMENTS:,} segments")


def _check_scans(content: bytes, place: int) -> None:
    """Check the number of scans; what follows the photo, such as a film, has none.

    Raises:
        ValueError: There are too many, or too many segments between them.
    """
    scans = segments = 0
    while (found := _MARKER.search(content, place)) is not None:
        marker, place = content[found.start() + 1], found.end()
        if marker == _END:
            return
        scans += marker == _SCAN
        segments += 1
        if scans > _MOST_SCANS or segments > _MOST_SEGMENTS:
            raise ValueError(f"a JPEG file of more than {_MOST_SCANS} scans")
        if marker not in _ALONE and len(content) >= place + 2:
            place += struct.unpack_from(">H", content, place)[0]


def _has_all_scans(content: bytes) -> bool:
    """Return whether each component of a JPEG file has a scan of each coefficient's last bit."""
    frames = [
        start for marker, start, _ in _segments(content, len(JPEG)) if marker in (0xC0, 0xC1, 0xC2)
    ]
    if not frames or not 0 < content.count(_START_OF_SCAN) <= _MOST_SCANS:
        return False
    places = [found.start() for found in re.finditer(_START_OF_SCAN, content)]
    header = content[frames[-1] : places[0]]
    count = header[9] if len(header) > 9 else 0
    if len(header) < 10 + 3 * count or header[4] != 8:
        return False
    height, width = struct.unpack_from(">HH", header, 5)
    if len(places) * height * width > _MOST_WORK:
        return False
    missing = {header[10 + 3 * part]: set(range(64)) for part in range(count)}
    for place in places:
        parts = content[place + 4] if place + 4 < len(content) else 0
        chosen = content[place + 5 : place + 5 + 2 * parts : 2]
        rest = content[place + 5 + 2 * parts : place + 8 + 2 * parts]
        if len(rest) == 3 and not rest[2] & 15:
            for component in chosen:
                missing.get(component, set()).difference_update(range(rest[0], rest[1] + 1))
    return count > 0 and not any(missing.values())


def ended_jpegs(content: bytes) -> tuple[bytes, ...]:
    """Return a JPEG file that lacks its last marker with two different ends, else nothing.

    A decoder fills what is missing of the pixels from whatever follows. So both are equal pictures
    only if nothing but the marker is missing.

    Args:
        content: A file as `bare_jpeg` returns it.
    """
    bare = content.removesuffix(b"\xff")
    if not content.startswith(JPEG) or content.rstrip(b"\0").endswith(_END_OF_JPEG):
        return ()
    if _RESTARTS in content or not _has_all_scans(content):
        return ()  # after a restart a decoder waits for the next marker, whatever comes before
    return tuple(bare + filler + _END_OF_JPEG for filler in _FILLERS)
