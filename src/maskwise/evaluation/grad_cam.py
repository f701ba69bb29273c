"""Grad-CAM: which parts of a network's last feature map speak for its answer.

Selvaraju and others, 2017, 'Grad-CAM: Visual Explanations from Deep Networks', section 3.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as nnf

from maskwise.errors import SettingsError
from maskwise.evaluation.explain import HeatMap, Map, Pixels
from maskwise.labels import TASKS
from maskwise.models.classifier import Classifier
from maskwise.models.network import FaceModel, TaskModels
from maskwise.models.network_classifier import NetworkClassifier
from maskwise.models.outputs import task_log_probabilities
from maskwise.models.stages import last_map, pooled
from maskwise.models.views import Views
from maskwise.transforms.network_input import middle, network_input, to_planes


def grad_cam_maps(classifier: Classifier, frame: Pixels, tasks: Sequence[str]) -> list[HeatMap]:
    """Return a map for each task, of one photo's frame (height, width, 3); 0 to 1.

    Raises:
        SettingsError: the model is no single network, or its features are no map.
    """
    if not isinstance(classifier, NetworkClassifier):
        raise SettingsError(
            "--method grad-cam needs the run folder of one network; occlusion takes every model"
        )
    preprocess = classifier.info.preprocess
    answer = classifier.answer({preprocess.frame_key: frame[None]}, Views())
    told = classifier.decision.calibrated(answer).tasks
    device = next(classifier.network.parameters()).device
    photos = middle(torch.from_numpy(frame.copy())[None].to(device), preprocess.spare)
    pixels = network_input(to_planes(photos), preprocess)
    maps = []
    for task in tasks:
        word = int(told[task][0].argmax())
        values = np.pad(
            _word_map(_model_of(classifier, task), pixels, task, word), preprocess.spare
        )
        maps.append(HeatMap(task, TASKS[task][word], float(told[task][0, word]), values))
    return maps


def _model_of(classifier: NetworkClassifier, task: str) -> FaceModel:
    network = classifier.network
    model = network.tasks[task] if isinstance(network, TaskModels) else network
    if not isinstance(model, FaceModel):
        raise TypeError(f"the network of {task} is a {type(model).__name__}")
    return model


def _word_map(model: FaceModel, pixels: torch.Tensor, task: str, word: int) -> Map:
    """Return (height, width) of the pixels (1, channels, height, width): what speaks for a word."""
    backbone = model.backbone
    with torch.enable_grad():
        features, earlier = last_map(backbone, pixels)
        features = features.detach()
        if features.ndim != 4:
            raise SettingsError(
                "--method grad-cam needs a backbone whose features are a map, such as an "
                "EfficientNet; --method occlusion takes every model"
            )
        features.requires_grad_()
        outputs = model.heads(pooled(backbone, features, earlier))
        score = task_log_probabilities(outputs)[task][0, word]
        (slopes,) = torch.autograd.grad(score, features)
    if features.shape[1] != getattr(backbone, "num_features", features.shape[1]):
        features, slopes = (part.permute(0, 3, 1, 2) for part in (features, slopes))
    spoken = (slopes.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1, keepdim=True).relu()
    spread = nnf.interpolate(spoken, pixels.shape[2:], mode="bicubic").clamp(min=0)[0, 0]
    values: Map = (spread / spread.max().clamp(min=1e-12)).detach().cpu().numpy()
    return values.astype(np.float32)
