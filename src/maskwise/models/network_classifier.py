"""A network that answers photos."""

from collections.abc import Sequence

import torch

from maskwise.models.bundle import ModelInfo
from maskwise.models.classifier import Frames
from maskwise.models.decision import Decision
from maskwise.models.inference import choose_device, photo_probabilities
from maskwise.models.looks import looks_at
from maskwise.models.network import Network
from maskwise.models.probabilities import Probabilities
from maskwise.models.views import Views
from maskwise.transforms.preprocess import Preprocess


class NetworkClassifier:
    """A network with what belongs to it."""

    def __init__(self, network: Network, info: ModelInfo) -> None:
        self.network = network
        self.info = info
        self.tasks: Sequence[str] = info.model.tasks
        self.boundaries = info.task_boundaries
        self.mean_ages = info.mean_ages
        self.val_fold = info.val_fold
        self.decision = Decision()
        self.trained_on = info.trained_on
        self._device = torch.device("cpu")
        self.networks = len(info.model.tasks) if info.model.head == "tasks" else 1

    @property
    def preprocesses(self) -> dict[str, Preprocess]:
        """See `Classifier`."""
        return {self.info.preprocess.frame_key: self.info.preprocess}

    @property
    def about(self) -> dict[str, str]:
        """See `Classifier`."""
        settings, frame = self.info.model, self.info.preprocess
        return {
            "model": f"{settings.backbone}, {settings.head} head, {frame.width}x{frame.height}",
            "first weights": self.info.pretrained,
        }

    def place(self, device: str) -> None:
        """See `Classifier`."""
        self._device = choose_device(device)
        self.network.to(self._device).to(memory_format=torch.channels_last)

    def check_views(self, views: Views) -> None:
        """See `Classifier`; a network looks in all ways."""

    def answer(self, frames: Frames, views: Views) -> Probabilities:
        """See `Classifier`."""
        preprocess = self.info.preprocess
        pixels = torch.from_numpy(frames[preprocess.frame_key]).to(self._device)
        looks = looks_at(pixels, views, preprocess.spare, self.info.augment)
        with torch.inference_mode():
            answers = [photo_probabilities(self.network, photos, preprocess) for photos in looks]
        return views.counted(answers)
