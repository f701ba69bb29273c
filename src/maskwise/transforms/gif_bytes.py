"""Bytes of GIF files: the first picture."""

import re
from typing import Final

GIF: Final = (b"GIF87a", b"GIF89a")
_HEADER: Final = 13
_EXTENSION, _PICTURE, _END = b"!", b",", b";"
_BLOCK: Final = re.compile(rb"[!,;]")
"""Begins a block; decoders pass over other bytes."""
_CONTROL: Final = b"\xf9"
"""The kind of extension that says what of the next picture is clear."""
_MOST_CONTROLS: Final = 100
_MOST_BLOCKS: Final = 500_000
"""Of 255 bytes, more than any photo needs."""


class _Blocks:
    """Steps over blocks, of which a file may have so many."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._left = _MOST_BLOCKS

    def after(self, place: int) -> int:
        """Return where a row of blocks ends that begins at `place`; past the end, if it is cut.

        Raises:
            ValueError: There are too many.
        """
        while place < len(self.content):
            self._left -= 1
            if not self._left:
                raise ValueError(f"a GIF file of more than {_MOST_BLOCKS:,} blocks")
            size = self.content[place]
            place += 1 + size
            if not size:
                return place
        return len(self.content)


def _colours(flags: int) -> int:
    """Return the bytes of a table of colours, from the byte that says whether there is one."""
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


def first_picture(content: bytes) -> bytes:
    """Return a GIF file of the first picture alone, without comments.

    Raises:
        ValueError: It has more blocks than any photo needs.
    """
    if len(content) <= _HEADER:
        return content
    blocks = _Blocks(content)
    place = _HEADER + _colours(content[10])
    kept = [content[:place]]
    while (found := _BLOCK.search(content, place)) is not None:
        place = found.start()
        if found[0] == _EXTENSION:
            after = blocks.after(place + 2)
            if content[place + 1 : place + 2] == _CONTROL and len(kept) < _MOST_CONTROLS:
                kept.append(content[place:after])
            place = after
        elif found[0] == _PICTURE and place + 9 < len(content):
            after = blocks.after(place + 11 + _colours(content[place + 9]))
            whole = after < len(content) or content.endswith(b"\0")
            return b"".join((*kept, content[place:after], _END if whole else b""))
        else:
            break
    return b"".join(kept)
