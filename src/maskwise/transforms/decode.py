"""Any photo file or array -> an upright 8-bit RGB image, or a `PhotoError` that says why not."""

import hashlib
import io
import warnings
from os import PathLike
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from maskwise.errors import PhotoError
from maskwise.transforms.jpeg_bytes import ended_jpegs
from maskwise.transforms.photo_bytes import bare_photo

MAX_PIXELS: Final = 100_000_000
MAX_BYTES: Final = 500_000_000
"""Of a file: more than the pixels of any photo that is taken need."""
MIN_SIDE: Final = 16
MAX_ASPECT: Final = 20
USUAL_FORMATS: Final = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")
"""What cameras, phones and browsers save."""
FORMATS: Final = (*USUAL_FORMATS, "DIB", "TIFF", "PPM", "JPEG2000", "TGA", "ICO")
"""What photos are saved as. Others that Pillow opens run programs (EPS) or fetch (stubs)."""
_STRIP: Final = 256
"""Rows that are converted at a time."""
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the image upright."""
PHOTO_TYPES: Final = (str, PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray)
PhotoLike = str | PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[np.generic]


def decode_photo(
    photo: PhotoLike, most_pixels: int = MAX_PIXELS, formats: tuple[str, ...] = FORMATS
) -> Image.Image:
    """Return a photo as an upright RGB image.

    Takes a path, the bytes of a file (JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, JPEG 2000, AVIF, TGA
    or ICO), a Pillow image or an array (H, W), (H, W, 1|3|4) of uint8,
    uint16, or float in 0..1. The EXIF orientation is applied, transparency is laid over white,
    16-bit grey is scaled down, and of an animation the first frame is taken. A photo of more than
    `most_pixels` is refused before it is decoded. `formats` are those that files may have, as
    Pillow calls them.

    Raises:
        PhotoError: missing, empty, no image, cut short, too large, too small, too narrow, or none
            of these kinds.
    """
    if isinstance(photo, np.ndarray):
        return _checked(Image.fromarray(_to_uint8(photo)), photo_name(photo), most_pixels)
    if isinstance(photo, Image.Image):
        return _upright_rgb(photo, photo_name(photo), most_pixels)
    if not isinstance(photo, (str, PathLike, bytes, bytearray, memoryview)):
        raise PhotoError(
            "expected a path, the bytes of a file, a Pillow image or an array, got "
            f"{type(photo).__name__}"
        )
    name = photo_name(photo)
    content = _bare(_content(photo, name), name)
    try:
        return _decoded(content, name, most_pixels, formats)
    except PhotoError:
        whole = _without_last_marker(content, name, most_pixels)
        if whole is None:
            raise
        return whole


def photo_size(
    content: bytes, most_pixels: int = MAX_PIXELS, formats: tuple[str, ...] = FORMATS
) -> tuple[int, int]:
    """Return the width and height that a photo file states, which is not decoded for it.

    Raises:
        PhotoError: Empty, no image, too large, too small, too narrow, or none of the formats.
    """
    name = photo_name(content)
    with _open(_bare(_content(content, name), name), name, formats) as image:
        _check_size(image.size, name, most_pixels)
        return image.size


def _decoded(content: bytes, name: str, most_pixels: int, formats: tuple[str, ...]) -> Image.Image:
    # no name here keeps the opened image alive beside what is made of it
    return _upright_rgb(_open(content, name, formats), name, most_pixels, opened=True)


def _without_last_marker(content: bytes, name: str, most_pixels: int) -> Image.Image | None:
    """Return the photo of a JPEG file that lacks its last marker only, or None."""
    digest: bytes | None = None
    for ended in ended_jpegs(content):
        try:
            photo = _decoded(ended, name, most_pixels, ("JPEG",))
        except PhotoError:
            return None
        before, digest = digest, hashlib.sha256(photo.tobytes()).digest()
        if before == digest:
            return photo
    return None


def photo_name(photo: PhotoLike) -> str:
    """Return what an error calls a photo: its path, where it has one."""
    return str(photo) if isinstance(photo, (str, PathLike)) else "the photo"


def _content(photo: str | PathLike[str] | bytes | bytearray | memoryview, name: str) -> bytes:
    """Return the bytes of a file, if there are any, and no more than a photo can have."""
    try:
        path = Path(photo) if isinstance(photo, (str, PathLike)) else None
        size = path.stat().st_size if path else memoryview(photo).nbytes  # type: ignore[arg-type]
        if size > MAX_BYTES:
            raise PhotoError(f"{name}: {size:,} bytes are more than {MAX_BYTES:,}")
        content = path.read_bytes() if path else bytes(photo)  # type: ignore[arg-type]
    except OSError as error:
        raise PhotoError(f"{name}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise PhotoError(f"{name!r}: no path ({error})") from error
    if not content:
        raise PhotoError(f"{name}: the file is empty")
    return content


def _bare(content: bytes, name: str) -> bytes:
    """Return a file as its decoder is given it."""
    try:
        return bare_photo(content)
    except ValueError as error:
        raise PhotoError(f"{name}: a damaged image ({error})") from error


def _open(content: bytes, name: str, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    try:
        with warnings.catch_warnings():
            # odd metadata is common and harmless, and a bomb is refused below by our own limit
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:
        few = "" if formats == FORMATS else f" here ({', '.join(formats)})"
        raise PhotoError(f"{name}: not an image that can be read{few}") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name}: more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # each format's decoder raises kinds of its own
        raise PhotoError(f"{name}: a damaged image ({error})") from error


def _upright_rgb(
    image: Image.Image, name: str, most_pixels: int, opened: bool = False
) -> Image.Image:
    _check_size(image.size, name, most_pixels)
    decoded = not (image.info or isinstance(image, ImageFile.ImageFile))
    if decoded and image.mode == "RGB" and _orientation(image) == 1:
        return image  # as it was decoded here before; copies of large photos cost time
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _first_frame(image)
            turn = _TURNS.get(_orientation(image))
            image = image.transpose(turn) if turn is not None else image
            if opened and image.mode == "RGB" and not image.has_transparency_data:
                upright = image._new(image.im)  # a copy would double the memory
            else:
                upright = _to_rgb(image)
            upright.info = {}  # or whoever decodes the result would turn it again
            return upright
    except Exception as error:  # each format's decoder raises kinds of its own
        raise PhotoError(f"{name}: cut short or damaged ({error})") from error


def _first_frame(image: Image.Image) -> Image.Image:
    """Return the loaded image; of an animation a copy of the first frame, at any position."""
    if not getattr(image, "is_animated", False):
        image.load()
        return image
    position = image.tell()
    try:
        image.seek(0)
        return image.copy()
    finally:
        image.seek(position)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; ImageOps.exif_transpose fails on odd values of other tags."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 # metadata that cannot be parsed turns nothing
        return 1
    return orientation if isinstance(orientation, int) else 1


def _checked(image: Image.Image, name: str, most_pixels: int) -> Image.Image:
    _check_size(image.size, name, most_pixels)
    return _to_rgb(image)


def _check_size(size: tuple[int, int], name: str, most_pixels: int) -> None:
    width, height = size
    if width * height > most_pixels:
        raise PhotoError(f"{name}: {width}x{height} is more than {most_pixels:,} pixels")
    if min(size) < MIN_SIDE:
        raise PhotoError(f"{name}: {width}x{height} is smaller than {MIN_SIDE} pixels")
    if max(size) > MAX_ASPECT * min(size):
        raise PhotoError(f"{name}: {width}x{height} is too narrow to hold a face")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_grey(image))
    return _over_white(image) if image.has_transparency_data else image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    """Lay an image over white, strip by strip to save memory."""
    width, height = image.size
    laid = Image.new("RGB", image.size)
    for top in range(0, height, _STRIP):
        layer = image.crop((0, top, width, min(top + _STRIP, height))).convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        laid.paste(Image.alpha_composite(white, layer).convert("RGB"), (0, top))
    return laid


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    """Return grey of more than 8 bits as (height, width) of 8, strip by strip to save memory."""
    values = np.asarray(image)
    white = _white(image.mode, values)
    grey = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _STRIP):
        strip = slice(start, start + _STRIP)
        grey[strip] = (values[strip] * (255 / white)).clip(0, 255).astype(np.uint8)
    return grey


def _white(mode: str, values: NDArray[np.generic]) -> float:
    """Return the value that stands for white: a mode of 32 bits does not say."""
    if mode.startswith("I;16"):
        return 65535
    most = float(values.max(initial=0))
    return next((white for white in (1, 255, 65535) if most <= white), most)


def _to_uint8(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return an array (H, W) or (H, W, 3|4) of uint8 from the kinds that `decode_photo` takes."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise PhotoError(f"expected an array (H, W) or (H, W, 3), got shape {array.shape}")
    if array.dtype == np.uint8:
        return array.astype(np.uint8, copy=False)
    if array.dtype == np.uint16:
        return (array.astype(np.float64) / 257).round().astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        values = array.astype(np.float64)
        if not (np.isfinite(values).all() and ((values >= 0) & (values <= 1)).all()):
            raise PhotoError("expected floats from 0 to 1; pass uint8 for values from 0 to 255")
        return (values * 255).round().astype(np.uint8)
    raise PhotoError(f"expected an array of uint8, uint16 or float, got {array.dtype}")
