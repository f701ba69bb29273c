"""Data that tests make: small coloured photos whose labels can be seen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from maskwise.data.manifest import manifest_from_rows, write_manifest
from maskwise.labels import TASKS

pytest_plugins = ["service"]
TINY = (
    "model.backbone=test_efficientnet",
    "model.pretrained=none",
    "preprocess.height=32",
    "preprocess.width=32",
    "preprocess.detector=none",
    "cache.workers=0",
    "train.batch_size=8",
    "train.device=cpu",
)
"""Settings that train in seconds."""


def photo_array(mask: int, gender: int, age_group: int, seed: int) -> np.ndarray:
    """Return a noisy 40x40 photo that shows its labels: lower band, upper band, stripe."""
    noise = np.random.default_rng(seed).integers(0, 60, (40, 40, 3))
    pixels = noise + 40
    pixels[20:, :, mask] += 120
    pixels[:12, :, 2 * gender] += 100
    pixels[12:20, : 10 + 12 * age_group] += 90
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def make_set() -> Callable[..., Path]:
    return write_set


def write_set(folder: Path, train: int = 24, val: int = 13, unknown: bool = False) -> Path:
    """Write photos and a split manifest to a folder; return the manifest.

    With `unknown`, half the people have a mask label only and half gender and age only.
    """
    (folder / "photos").mkdir(parents=True)
    rows: list[dict[str, object]] = []
    for number in range(train + val):
        mask, gender, group = number % 3, number // 3 % 2, number // 6 % 3
        path = folder / "photos" / f"{number:03d}.png"
        Image.fromarray(photo_array(mask, gender, group, number)).save(path)
        row: dict[str, object] = {
            "photo": str(path),
            "person": f"p{number}",
            "mask": TASKS["mask"][mask],
            "gender": TASKS["gender"][gender],
            "age": (22, 45, 68)[group],
            "source": "made",
            "fold": "train" if number < train else "val",
        }
        if unknown:
            hidden = ("gender", "age") if number % 2 else ("mask",)
            row |= dict.fromkeys(hidden)
        rows.append(row)
    manifest = folder / "manifest.csv"
    write_manifest(manifest_from_rows(rows), manifest)
    return manifest


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest of 24 training and 13 validation photos, all labels known."""
    return write_set(tmp_path / "data")


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Settings that train in seconds, with a cache of their own."""
    return [*TINY, f"cache.folder={tmp_path / 'cache'}"]


def read_rows(manifest: Path) -> pl.DataFrame:
    """Return a manifest as it stands in its file, all text."""
    return pl.read_csv(manifest, infer_schema=False)
