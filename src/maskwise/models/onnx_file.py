"""An ONNX file of Maskwise: a network and all that belongs to it, and a checksum, its seal.

The seal shows damage. It does not show who wrote a file: anybody can compute it.
"""

import hashlib
import re
from pathlib import Path
from typing import Any, Final, Literal

import onnxruntime
from pydantic import BaseModel, ConfigDict, ValidationError

from maskwise.config import Boundaries
from maskwise.config.base import wrong_values
from maskwise.errors import RunError, listed
from maskwise.labels import TASKS
from maskwise.models.decision import Decision
from maskwise.storage import replacing
from maskwise.transforms.preprocess import Preprocess
from maskwise.version import __version__

FORMAT: Final = 1
ABOUT: Final = "maskwise"
"""Key of the metadata under which an `OnnxInfo` stands, as JSON."""
SEAL: Final = "maskwise_sha256"
"""Key of the metadata under which the file's SHA-256 stands, taken with zeros in its place."""
FRAMES: Final = "frames"
CLASSES: Final = "classes"
AGE: Final = "age"
NOTE: Final = (
    "Weights inherit the terms of the photos that they were trained on; the licence of the code "
    "does not cover them. Gender and age group are guesses from looks: do not decide about a "
    "person with them."
)
UNSEALED: Final = "0" * 64
"""What stands in a seal's place while it is taken."""
_SEALED: Final = re.compile(rb"maskwise_sha256\x12@([0-9a-f]{64})")
"""The seal in the file: key, then tag and length of its value, as protobuf writes them."""

_EXTERNAL: Final = b"\x0a\x08location"
"""Key of a tensor's reference to another file (`TensorProto.external_data`), which the runtime
would read from the working folder."""

WEIGHT_BITS: Final = 7
"""Of int8 weights: their products with 8-bit values cannot overflow, whatever the processor."""

Precision = Literal["fp32", "fp16", "int8"]


class OnnxInfo(BaseModel):
    """Everything beside the network that is needed to use an ONNX file.

    The input `frames` is uint8 (n, height, width, 3), RGB, made as `preprocess` says. Outputs are
    calibrated probabilities: 'mask' (n, 3), 'gender' (n, 2), 'age_group' (n, 3), 'classes' (n, 18),
    and 'age' (n,) in years, NaN where the model tells age groups only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = FORMAT
    version: str = __version__
    precision: Precision
    weight_bits: Literal[7, 8] | None = None
    """Of int8 weights: 7 predicts the same on every processor; None is an older file, of 8."""
    labels: dict[str, list[str]] = {task: [*words] for task, words in TASKS.items()}
    task_boundaries: Boundaries
    mean_ages: tuple[float, float, float]
    """Mean training age of each group, in years."""
    preprocess: Preprocess
    decision: Decision
    """How answers follow from the outputs, which are calibrated."""
    networks: int
    about: dict[str, str]
    """What the model is, for people."""
    source: str
    """SHA-256 of the model that was exported."""
    val_fold: str
    """The fold of a manifest that it was not trained on."""
    trained_on: list[str] | None = None
    """The sources of its training photos; None where that is not known."""
    metrics: dict[str, float] = {}
    checked: dict[str, Any] = {}
    """How the file differs from the model that was exported."""
    note: str = NOTE

    @property
    def may_overflow(self) -> bool:
        """Whether some processors add products of its weights wrongly."""
        return self.precision == "int8" and self.weight_bits != WEIGHT_BITS


def exact_options() -> onnxruntime.SessionOptions:
    """Return options with which values of an int8 graph are computed in floats, and so exactly."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def seal(content: bytes, target: Path) -> str:
    """Write an ONNX file that is not sealed yet to `target`, with its seal; return that.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    if _SEALED.findall(content) != [UNSEALED.encode()]:
        raise ValueError("the file has no place for a seal, or is sealed")
    digest = hashlib.sha256(content).hexdigest()
    with replacing(target) as temporary:
        temporary.write_bytes(content.replace(_found(UNSEALED), _found(digest)))
    return digest


def _found(value: str) -> bytes:
    return SEAL.encode() + b"\x12@" + value.encode()


def read_sealed(path: Path) -> tuple[bytes, str]:
    """Return the content of an ONNX file of Maskwise, and its seal.

    Raises:
        RunError: there is none, it is no file of Maskwise, or not as it was written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"there is no model {path}: {error.strerror or error}") from error
    seals = _SEALED.findall(content)
    if len(seals) != 1:
        raise RunError(f"{path} is no ONNX file of maskwise export")
    found = seals[0].decode()
    unsealed = content.replace(_found(found), _found(UNSEALED))
    if hashlib.sha256(unsealed).hexdigest() != found:
        raise RunError(
            f"{path} was damaged or altered after maskwise export wrote it: its checksum differs"
        )
    if _EXTERNAL in content:
        raise RunError(f"{path} keeps weights in other files; maskwise export writes one file")
    return content, found


def parse_info(path: Path, metadata: dict[str, str]) -> OnnxInfo:
    """Return what the metadata of an ONNX file says.

    Raises:
        RunError: another version wrote it.
    """
    try:
        info = OnnxInfo.model_validate_json(metadata.get(ABOUT, ""))
    except ValidationError as error:
        raise RunError(
            f"{path} is not of this Maskwise {__version__}; export it anew, or use the version "
            f"that wrote it:\n{listed(wrong_values(error))}"
        ) from error
    if info.labels != {task: [*words] for task, words in TASKS.items()}:
        raise RunError(f"{path} has other labels than this Maskwise {__version__}: {info.labels}")
    return info
