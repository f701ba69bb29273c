"""What a run needs before it begins: device, detector, model, and checks of the settings."""

import os
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch.nn.modules.batchnorm import _BatchNorm

from maskwise.config import BUNDLED, Settings
from maskwise.data.batches import epoch_steps
from maskwise.data.faces import open_detector
from maskwise.errors import SettingsError
from maskwise.models.backbone import (
    check_compiler,
    input_statistics,
    load_pretrained,
    recompute_activations,
)
from maskwise.models.batch_norm import synchronise_batch_norm
from maskwise.models.bundled_weights import bundled_weights
from maskwise.models.depthwise import hasten_depthwise
from maskwise.models.loading import SHIPPED
from maskwise.models.network import FaceModel
from maskwise.models.onnx_classifier import OnnxClassifier
from maskwise.models.weights import HEADS, head_weights, load_head_weights, part_of
from maskwise.training.optim import check_stages
from maskwise.training.prepare import RunRows
from maskwise.training.tracking.trackers import check_trackers
from maskwise.transforms.augment.policy import build_policy
from maskwise.transforms.network_input import input_channels
from maskwise.transforms.preprocess import Preprocess


def check_named(settings: Settings) -> None:
    """Check that what settings name outside of themselves is there.

    Raises:
        DetectorError: the face detector cannot be had.
        SettingsError: the policy of changes is a file that cannot be used, or a tracker is not
            installed.
    """
    build_policy(settings.augment)
    check_trackers(settings)
    mattes = settings.augment.used_mattes
    if settings.preprocess.detector != "none":
        open_detector(settings.preprocess.detector)
    if mattes and not mattes.is_dir():
        raise SettingsError(f"augment.mattes: there is no folder {mattes}")


def make_accelerator(settings: Settings) -> Accelerator:
    """Return what settings name to compute on.

    Raises:
        SettingsError: it is not to be had, or cannot do the precision asked for.
    """
    wanted = settings.train
    found = torch.accelerator.current_accelerator(check_available=True)
    kinds = ["auto", "cpu", *([found.type] if found else [])]
    if wanted.device not in kinds:
        raise SettingsError(
            f"train.device: {wanted.device!r} is not to be had here; take {', '.join(kinds)}"
        )
    on_cpu = wanted.device == "cpu" or found is None
    if wanted.amp == "fp16" and on_cpu:
        raise SettingsError("train.amp: fp16 needs an accelerator; take bf16 or no on a CPU")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        # the library keeps device and precision of a process's first run for all later ones
        AcceleratorState._reset_state(reset_partial_state=True)
    # while the backbone is frozen its weights take no part in a step
    unused = DistributedDataParallelKwargs(find_unused_parameters=settings.optim.freeze_epochs > 0)
    return Accelerator(cpu=on_cpu, mixed_precision=wanted.amp, kwargs_handlers=[unused])


def build_model(settings: Settings, accelerator: Accelerator) -> tuple[FaceModel, Preprocess, str]:
    """Return the network with its first weights, its preprocessing, and where the weights are from.

    Raises:
        SettingsError: timm has no such backbone, or it cannot do what is asked of it.
        WeightsError: the pretrained weights cannot be had.
    """
    torch.manual_seed(settings.train.seed)
    size = (settings.preprocess.height, settings.preprocess.width)
    model = FaceModel(
        settings.model,
        size,
        settings.labels.task_boundaries,
        uncertainty=settings.loss.task_weighting == "uncertainty",
        channels=input_channels(settings.preprocess),
    )
    with accelerator.main_process_first():
        origin = load_pretrained(model.backbone, settings.model, size)
        if settings.model.pretrained_heads:
            _load_heads(model, settings.model.pretrained)
    mean, std = input_statistics(model.backbone)
    if settings.model.pretrained == BUNDLED:
        bundled = OnnxClassifier.load(SHIPPED).info.preprocess
        mean, std = bundled.mean, bundled.std
    preprocess = Preprocess.from_settings(settings.preprocess, mean, std)
    check_stages(model, settings.optim)
    if settings.train.compile:
        check_compiler()
    if accelerator.device.type == "cpu":
        hasten_depthwise(model.backbone)
    if settings.train.recompute:
        recompute_activations(model.backbone)
    if accelerator.num_processes > 1:
        synchronise_batch_norm(model)
    return model, preprocess, origin


def _load_heads(model: FaceModel, choice: str) -> None:
    weights = (
        part_of(bundled_weights(), HEADS)
        if choice == BUNDLED
        else head_weights(Path(choice).expanduser())
    )
    load_head_weights(model.heads, weights, choice)


def check_batches(
    settings: Settings, accelerator: Accelerator, rows: RunRows, model: FaceModel
) -> None:
    """Check that no part of a batch is too small for the model.

    Raises:
        SettingsError: one is.
    """
    photos = rows.epoch_photos(settings)
    parts = accelerator.num_processes * settings.train.accumulate
    smallest = photos // epoch_steps(photos, settings.train.batch_size) // parts
    needed = 2 if any(isinstance(module, _BatchNorm) for module in model.modules()) else 1
    if smallest < needed:
        raise SettingsError(
            f"train.batch_size {settings.train.batch_size} over {photos} photos of an epoch, "
            f"{accelerator.num_processes} process(es) and {settings.train.accumulate} part(s) "
            f"(train.accumulate) leaves {smallest} photo(s) in a part; this model needs {needed}"
        )
