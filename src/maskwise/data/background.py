"""Replaces what stands behind a person, with the library rembg, and keeps the mattes.

A matte is a grey image of the photo's size: 255 is person, 0 is background. It is saved under the
SHA-256 of the photo's file, so that it is found again wherever the photo is moved.
"""

import io
import math
import sys
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from maskwise.data.boxes import parse_box
from maskwise.data.derived import Outcome, Row, save_photo
from maskwise.data.mattes import MATTES, find_matte, save_matte
from maskwise.errors import BackgroundError, SettingsError
from maskwise.storage import file_digest
from maskwise.transforms.decode import decode_photo

Replacement = Literal["white", "grey", "blur", "random"]
Pixels = NDArray[np.floating[Any]]

DEFAULT_MODEL: Final = "u2net_human_seg"
"""Made for people, 320 pixels wide, Apache-2.0."""
LEAST_KEPT: Final = 0.02
MOST_KEPT: Final = 0.995
"""Shares of a photo between which a matte is believed."""
LEAST_OF_FACE: Final = 0.5
"""The share of the middle of a face box that a matte must keep to be believed."""
BLUR: Final = 0.04
"""Standard deviation of the blur as a share of the photo's longer side."""
_BLUR_SIDE: Final = 256
"""The longer side at which is blurred: large photos would take minutes and look the same."""
_PLAIN: Final = {"white": 255, "grey": 128}
_CELLS: Final = (1, 2, 5)
"""Random colours on a side, scaled up: a plain colour, a gradient, low-frequency noise."""
_UNFIT: Final = ("sam", "u2net_cloth_seg", "ben_custom", "dis_custom", "u2net_custom")
"""Models of rembg that want points or a file beside the photo, or that find clothes."""


@dataclass(frozen=True)
class Remover:
    """A model that tells people from background; see `open_remover`."""

    model: str
    _session: Any

    def matte(self, image: Image.Image) -> Image.Image:
        """Return the matte of an upright RGB photo: mode L, the same size, 255 is person.

        Raises:
            BackgroundError: the model fails, or its answer is no matte of this photo.
        """
        import rembg

        try:
            with np.errstate(all="ignore"):  # a photo of one colour makes rembg divide by zero
                matte = rembg.remove(image, session=self._session, only_mask=True)
        except Exception as error:
            raise BackgroundError(
                f"the model {self.model} of rembg failed: {_first_line(error)}"
            ) from error
        if not isinstance(matte, Image.Image) or matte.size != image.size:
            raise BackgroundError(f"the model {self.model} of rembg gives no matte of a photo")
        return matte.convert("L")


@cache
def open_remover(model: str = DEFAULT_MODEL) -> Remover:
    """Return a model of rembg, opened once per process.

    A model that is not there yet is downloaded by rembg, which is announced on standard error.

    Raises:
        BackgroundError: rembg is not installed, or the model is unknown to it, cannot be fetched
            or is damaged.
    """
    rembg, sessions = _import_rembg()
    # models that send photos to a service, which rembg knows too, would break a promise
    usable = sorted(name for name, kind in sessions.items() if kind.is_local())
    usable = [name for name in usable if name not in _UNFIT]
    if model not in usable:
        raise BackgroundError(
            f"rembg has no model {model!r} that works here on a photo alone; "
            f"expected one of: {', '.join(usable)}"
        )
    kind, file = sessions[model], f"{model}.onnx"
    there, place = kind.resolve_existing(file), Path(kind.model_dir()) / file
    if not there:
        sys.stderr.write(f"rembg downloads its model {model} to {place}\n")
    try:
        return Remover(model, rembg.new_session(model))
    except Exception as error:
        if there:
            what = f"cannot open the model {there}: {_first_line(error)}; remove it and try again"
        else:
            what = (
                f"cannot fetch the model {model}: {_first_line(error)}; put {file} by hand at "
                f"{place} or in {kind.legacy_home()}; U2NET_HOME names another folder for both"
            )
        raise BackgroundError(what) from error


def _import_rembg() -> tuple[Any, Any]:
    """Return rembg and its models by name."""
    try:
        # without onnxruntime rembg prints advice about itself and exits
        with redirect_stdout(io.StringIO()):
            import rembg
            from rembg.sessions import sessions
    except SystemExit as error:
        raise _needs_rembg("onnxruntime is missing") from error
    except Exception as error:
        raise _needs_rembg(_first_line(error)) from error
    if not hasattr(sessions[DEFAULT_MODEL], "resolve_existing"):
        raise _needs_rembg("it is older than 2.0.80")
    return rembg, sessions


def _needs_rembg(reason: str) -> BackgroundError:
    return BackgroundError(
        f"removing backgrounds needs the library rembg ({reason}): "
        "pip install 'maskwise[background]'"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def doubt(matte: Image.Image, box: str | None = None) -> str:
    """Return why a matte is not to be believed, or nothing; `box` is a face, as in a manifest."""
    shares = np.asarray(matte, dtype=np.float32) / 255
    kept = float(shares.mean())
    if not LEAST_KEPT <= kept <= MOST_KEPT:
        return f"background not found: {kept:.1%} of photo kept"
    if box:
        left, top, right, bottom = parse_box(box)
        across, down = (right - left) / 4, (bottom - top) / 4
        rows = slice(max(math.floor(top + down), 0), max(math.ceil(bottom - down), 0))
        columns = slice(max(math.floor(left + across), 0), max(math.ceil(right - across), 0))
        middle = shares[rows, columns]
        of_face = float(middle.mean()) if middle.size else 0.0
        if of_face < LEAST_OF_FACE:
            return f"background not found: {of_face:.0%} of face kept"
    return ""


def replace_background(
    image: Image.Image, matte: Image.Image, replacement: Replacement, rng: np.random.Generator
) -> Image.Image:
    """Return an RGB photo with another background; `rng` draws it where it is 'random'."""
    pixels = np.asarray(image, dtype=np.float32)
    person = np.asarray(matte, dtype=np.float32)[:, :, None] / 255
    if replacement == "blur":
        behind = _blurred(pixels, 1 - person)
    elif replacement == "random":
        behind = _drawn(image.size, rng)
    else:
        behind = np.full(3, _PLAIN[replacement], dtype=np.float32)
    mixed = person * pixels + (1 - person) * behind
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))


def _blurred(pixels: Pixels, background: Pixels) -> Pixels:
    """Return the blurred background (H, W, 3), smeared into where the person stands.

    Pixels count by their share (H, W, 1) of background, so that no halo of the person appears.
    """
    height, width = pixels.shape[:2]
    shrink = min(_BLUR_SIDE / max(height, width), 1.0)
    small = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    weights = background**4  # pixels at the edge show some of the person
    layers = _resized(np.concatenate([pixels * weights, weights], axis=2), small)
    sigma = BLUR * max(small)
    smooth = gaussian_filter(layers, (sigma, sigma, 0))
    colours = smooth[:, :, :3] / np.maximum(smooth[:, :, 3:], 1e-9)
    return _resized(colours, (width, height))


def _drawn(size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return a random background (H, W, 3): plain, a gradient or low-frequency noise."""
    cells = _CELLS[rng.integers(len(_CELLS))]
    return _resized(rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32), size)


def _resized(layers: Pixels, size: tuple[int, int]) -> Pixels:
    """Scale an array (H, W, layers) to `size`, (width, height)."""
    scaled = [
        Image.fromarray(np.ascontiguousarray(layer)).resize(size, Image.Resampling.BILINEAR)
        for layer in layers.transpose(2, 0, 1)
    ]
    return np.stack([np.asarray(layer) for layer in scaled], axis=2)


@dataclass(frozen=True)
class BackgroundStep:
    """Replaces the background of a photo; a step of `derive_set`.

    Random draws follow from the seed and the photo's file alone. A photo whose matte is not to be
    believed stays as it is, with a note.
    """

    name: ClassVar[str] = "background"
    model: str = DEFAULT_MODEL
    replacement: Replacement = "grey"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what a person may mistype.

        Raises:
            SettingsError: the replacement is unknown or the seed negative.
        """
        known = get_args(Replacement)
        if self.replacement not in known:
            raise SettingsError(f"no replacement {self.replacement!r}; take {', '.join(known)}")
        if self.seed < 0:
            raise SettingsError(f"seed {self.seed}: expected 0 or more")

    def options(self) -> dict[str, Any]:
        """Return everything that decides the result, as JSON values."""
        return asdict(self)

    def __call__(self, row: Row, stem: str, out: Path) -> Outcome:
        """Write images/`stem`.jpg, and the mattes of the photo and of the new one.

        Raises:
            BackgroundError: the model cannot be used.
            PhotoError: the photo cannot be used.
            StorageError: the disk is full or the folder cannot be written.
        """
        photo, digest = decode_photo(row["photo"]), file_digest(Path(row["photo"]))
        matte = find_matte(out / MATTES, digest)
        if matte is None:
            matte = open_remover(self.model).matte(photo)
        note = doubt(matte, row["box"])
        if not note:
            save_matte(out / MATTES, digest, matte)
            rng = np.random.default_rng([self.seed, int(digest, 16)])
            photo = replace_background(photo, matte, self.replacement, rng)
        name = f"images/{stem}.jpg"
        save_photo(photo, out / name)
        if not note:
            save_matte(out / MATTES, file_digest(out / name), matte)
        return Outcome([{**row, "photo": name}], note)
