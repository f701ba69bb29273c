"""An ONNX file that answers photos; no training framework is needed."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from maskwise.cores import core_count
from maskwise.errors import RunError, SettingsError, listed
from maskwise.labels import NUM_CLASSES, TASKS
from maskwise.models.classifier import Frames
from maskwise.models.int8_support import adds_products_exactly
from maskwise.models.onnx_file import (
    AGE,
    CLASSES,
    FRAMES,
    OnnxInfo,
    exact_options,
    parse_info,
    read_sealed,
)
from maskwise.models.probabilities import Probabilities
from maskwise.models.views import Views
from maskwise.transforms.preprocess import Preprocess

_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_OUTPUTS: Final[dict[str, tuple[int, ...]]] = {
    **{task: (len(words),) for task, words in TASKS.items()},
    CLASSES: (NUM_CLASSES,),
    AGE: (),
}
"""Name -> shape for each photo."""


class OnnxClassifier:
    """An ONNX file of `maskwise export`; see `Classifier`."""

    tasks: Sequence[str] = tuple(TASKS)

    def __init__(self, content: bytes, path: Path, threads: int = 0) -> None:
        self._content = content
        self._path = path
        self._threads = threads
        self._exactly = False
        self._session = self._open("cpu")
        self.info: OnnxInfo = parse_info(path, self._session.get_modelmeta().custom_metadata_map)
        if self.info.may_overflow and not adds_products_exactly():
            warnings.warn(
                f"{path} has 8-bit weights, whose products this processor cannot add exactly; it "
                "is computed in floats instead, which takes two to three times as long. Export "
                "it again with maskwise export --int8, which writes 7-bit weights",
                RuntimeWarning,
                stacklevel=2,
            )
            self._exactly = True
            self._session = self._open("cpu")
        self._check_shapes()
        self.boundaries = self.info.task_boundaries
        self.mean_ages = self.info.mean_ages
        self.val_fold = self.info.val_fold
        self.decision = self.info.decision
        self.networks = self.info.networks
        sources = self.info.trained_on
        self.trained_on = None if sources is None else frozenset(sources)

    @classmethod
    def load(cls, path: Path, threads: int = 0) -> Self:
        """Load a file; `threads` is how many a photo may keep busy, 0 for one a core.

        Raises:
            RunError: there is none, it is damaged, or another version wrote it.
        """
        return cls(read_sealed(path)[0], path, threads)

    @property
    def preprocesses(self) -> dict[str, Preprocess]:
        """See `Classifier`."""
        return {self.info.preprocess.frame_key: self.info.preprocess}

    @property
    def about(self) -> dict[str, str]:
        """See `Classifier`."""
        return {**self.info.about, "file": f"ONNX, {self.info.precision}"}

    def place(self, device: str) -> None:
        """See `Classifier`."""
        if device not in ("auto", *_PROVIDERS):
            raise SettingsError(f"device {device!r}: an ONNX file runs on auto, cpu or cuda")
        if device == "cuda":
            if _PROVIDERS[device] not in onnxruntime.get_available_providers():
                raise SettingsError("device 'cuda' is not to be had: install onnxruntime-gpu")
            self._session = self._open(device)

    def check_views(self, views: Views) -> None:
        """See `Classifier`."""
        if not views.upright:
            raise SettingsError(
                "an ONNX file takes --views 1 or flip; the others need the run folder"
            )

    def answer(self, frames: Frames, views: Views) -> Probabilities:
        """See `Classifier`."""
        pixels = frames[self.info.preprocess.frame_key]
        answers = []
        for mirrored, _, _ in views.looks:
            look = pixels[:, :, ::-1] if mirrored else pixels
            named = self._outputs(look)
            answers.append(
                Probabilities(named[CLASSES], {task: named[task] for task in TASKS}, named[AGE])
            )
        return views.counted(answers)

    def _outputs(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Return what the network says of pixels (n, height, width, 3).

        Raises:
            RunError: It fails, or says something of another shape.
        """
        try:
            values = self._session.run(list(_OUTPUTS), {FRAMES: pixels})
        except Exception as error:  # the runtime raises errors of many kinds
            raise RunError(f"{self._path} cannot be run: {_first_line(error)}") from error
        named = dict(zip(_OUTPUTS, values, strict=True))
        wrong = [
            f"{name}: {value.dtype} {value.shape}"
            for name, value in named.items()
            if value.dtype != np.float32 or value.shape != (len(pixels), *_OUTPUTS[name])
        ]
        if wrong:
            raise RunError(f"{self._path} gives other outputs than it states:\n{listed(wrong)}")
        return named

    def _check_shapes(self) -> None:
        """Check that the network takes the frames of its metadata and gives what is read of it.

        Raises:
            RunError: It does not.
        """
        width, height = self.info.preprocess.frame_size
        expected: dict[str, tuple[str, tuple[int, ...]]] = {
            FRAMES: ("tensor(uint8)", (height, width, 3)),
            **{name: ("tensor(float)", shape) for name, shape in _OUTPUTS.items()},
        }
        stated = {
            one.name: (one.type, tuple(one.shape[1:]))
            for one in (*self._session.get_inputs(), *self._session.get_outputs())
        }
        wrong = [
            f"{name}: expected {kind} (n, {', '.join(map(str, shape))}), found {stated.get(name)}"
            for name, (kind, shape) in expected.items()
            if stated.get(name) != (kind, shape)
        ]
        if wrong:
            raise RunError(f"{self._path} is no network of Maskwise:\n{listed(wrong)}")

    def _open(self, device: str) -> onnxruntime.InferenceSession:
        options = exact_options() if self._exactly else onnxruntime.SessionOptions()
        # the runtime counts all cores, and threads that share one wait in each other's way
        options.intra_op_num_threads = self._threads or core_count()
        try:
            return onnxruntime.InferenceSession(
                self._content, options, providers=[_PROVIDERS[device]]
            )
        except Exception as error:  # the runtime raises errors of many kinds
            raise RunError(f"{self._path} cannot be run: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
