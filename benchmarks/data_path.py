"""Photos a second in training: the plain loop of the seed projects against this data path.

    python -m benchmarks.data_path [--photos 384] [--size 128] [--passes 3]

Same model, same size, same batch, same optimizer. The plain loop decodes with Pillow in four
worker processes, transforms each photo by itself (resize, flip, rotation, colour jitter, blur,
erasing: the kinds of our default augmentation) and trains in fp32. `bare` is the model on random
tensors, with nothing to read: the ceiling. The three are timed in turn, pass by pass, so that a
machine that changes its speed changes it for all.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from maskwise.config import AugmentSettings, CacheSettings, ModelSettings, PreprocessSettings
from maskwise.data.batches import DeviceFrames, epoch_batches
from maskwise.data.cache import open_frames
from maskwise.data.frames import PhotoRef
from maskwise.data.framing import Framer
from maskwise.data.samples import write_samples
from maskwise.models.network import FaceModel
from maskwise.transforms.augment.augment import Augment
from maskwise.transforms.augment.draws import draw
from maskwise.transforms.network_input import network_input
from maskwise.transforms.preprocess import Preprocess

BATCH = 32
MEAN = STD = (0.5, 0.5, 0.5)
Step = Callable[[torch.Tensor, torch.Tensor], None]


class PlainPhotos(Dataset[tuple[torch.Tensor, int]]):
    """Decodes and transforms one photo at a time, every time."""

    def __init__(self, paths: list[str], size: int) -> None:
        self._paths = paths
        self._transform = transforms.Compose(
            [
                transforms.Resize(size),
                transforms.CenterCrop(size),
                transforms.RandomHorizontalFlip(),
                transforms.RandomAffine(12, (0.06, 0.06), (0.85, 1.15), (-4, 4, -4, 4)),
                transforms.ColorJitter(0.25, 0.25, 0.3, 8 / 360),
                transforms.RandomGrayscale(0.05),
                transforms.RandomApply([transforms.GaussianBlur(9, (0.1, 1.2))], 0.1),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
                transforms.RandomErasing(0.1, (0.02, 0.15)),
            ]
        )

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        with Image.open(self._paths[place]) as image:
            return self._transform(image.convert("RGB")), place % 3


def training_step(model: FaceModel, device: torch.device) -> Step:
    """Return one step of AdamW on the mask head."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    loss = nn.CrossEntropyLoss()

    def step(photos: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss(model(photos)["mask"], labels.to(device)).backward()
        optimizer.step()

    return step


def plain_pass(
    loader: DataLoader[tuple[torch.Tensor, int]], step: Step, device: torch.device
) -> None:
    """Train one pass as the seeds do."""
    for photos, labels in loader:
        step(photos.to(device), labels)


def cached_batches(
    refs: list[PhotoRef],
    preprocess: Preprocess,
    cache: CacheSettings,
    device: torch.device,
    epoch: int,
) -> Iterator[torch.Tensor]:
    """Yield augmented batches through the project's own data path."""
    rows = np.arange(len(refs))
    reader = DeviceFrames(open_frames(refs, Framer(preprocess), cache), rows, device, 4e9)
    augment = Augment(AugmentSettings())
    batches = epoch_batches(rows, BATCH, 0, epoch)
    for batch, frames in zip(batches, reader.batches(batches), strict=True):
        photos = network_input(augment(frames, draw(batch, 0, epoch)), preprocess)
        yield photos.contiguous(memory_format=torch.channels_last)


def timed(work: Callable[[], None], photos: int, device: torch.device) -> float:
    """Return photos a second."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return photos / (time.perf_counter() - start)


def main() -> None:
    """Print a table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=int, default=384)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    options = parser.parse_args()
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        write_samples(Path(folder) / "set", people=-(-options.photos // 7), eval_people=1)
        paths = sorted(str(path) for path in (Path(folder) / "set" / "train").rglob("*.jpg"))
        run(paths[: options.photos], options, device, Path(folder) / "cache")


def run(paths: list[str], options: argparse.Namespace, device: torch.device, folder: Path) -> None:
    """Time every pass of the three ways in turn."""
    settings = ModelSettings(backbone=options.backbone, pretrained="none")
    shape = (options.size, options.size)
    ours = FaceModel(settings, shape).to(device).to(memory_format=torch.channels_last).train()
    theirs = FaceModel(settings, shape).to(device).train()
    our_step, their_step = training_step(ours, device), training_step(theirs, device)
    refs = [PhotoRef(path) for path in paths]
    size = PreprocessSettings(height=options.size, width=options.size, detector="none")
    preprocess = Preprocess.from_settings(size, MEAN, STD)
    cache = CacheSettings(folder=folder)
    # four workers, as the seeds have, also where the machine has fewer cores
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    loader = DataLoader(PlainPhotos(paths, options.size), BATCH, shuffle=True, num_workers=4)
    noise = torch.randn(BATCH, 3, options.size, options.size, device=device)
    noise = noise.contiguous(memory_format=torch.channels_last)
    batches = len(epoch_batches(np.arange(len(paths)), BATCH, 0, 0))

    def bare() -> None:
        for _ in range(batches):
            our_step(noise, torch.zeros(BATCH, dtype=torch.long))

    def ours_pass(epoch: int) -> None:
        for photos in cached_batches(refs, preprocess, cache, device, epoch):
            our_step(photos, torch.zeros(len(photos), dtype=torch.long))

    bare()  # warm up
    their_step(noise.contiguous(), torch.zeros(BATCH, dtype=torch.long))
    print(f"{options.backbone} at {options.size} px, {len(paths)} photos 384x512, {device}")
    print(f"{'pass':>5} {'plain':>9} {'maskwise':>9} {'bare':>9}  photos/s")
    rows = []
    for number in range(1, options.passes + 1):
        plain = timed(lambda: plain_pass(loader, their_step, device), len(paths), device)
        cached = timed(partial(ours_pass, number), len(paths), device)
        ceiling = timed(bare, batches * BATCH, device)
        rows.append((plain, cached, ceiling))
        print(f"{number:>5} {plain:>9.1f} {cached:>9.1f} {ceiling:>9.1f}", flush=True)
    later = rows[1:] or rows
    print(f"first pass: {rows[0][1] / rows[0][0]:.2f} times the plain loop")
    print(f"later passes: {statistics.median(c / p for p, c, _ in later):.2f} times the plain loop")
    share = statistics.median(cached / ceiling for _, cached, ceiling in later)
    print(f"later passes: {100 * share:.0f} % of the bare model")


if __name__ == "__main__":
    main()
